"""The words of others for what happens here: pure functions, folds and tables over events and records."""

from __future__ import annotations

from actors.projections.chat_updates import ChatEvent, chat_events
from actors.projections.grouping import message_groups
from actors.projections.orchestrator import OrchestratorProjection
from actors.projections.orchestrator_events import OrchestratorEvent
from actors.projections.registry_events import RegistryEvent, RegistryProjection, RuntimeDocument
from actors.projections.statuses import is_generating

__all__ = [
    "ChatEvent",
    "OrchestratorEvent",
    "OrchestratorProjection",
    "RegistryEvent",
    "RegistryProjection",
    "RuntimeDocument",
    "chat_events",
    "is_generating",
    "message_groups",
]
