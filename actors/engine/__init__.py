"""The engine: from settings to many chat sessions, and the face that callers use."""

from __future__ import annotations

from actors.engine.composition import EngineThread, open_engine, start_engine
from actors.engine.face import Engine, EngineStatistics
from actors.engine.options import EngineOptions, ModelFor
from actors.engine.reports import MemoryEstimate

__all__ = [
    "Engine",
    "EngineOptions",
    "EngineStatistics",
    "EngineThread",
    "MemoryEstimate",
    "ModelFor",
    "open_engine",
    "start_engine",
]
