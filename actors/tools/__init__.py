"""Tools: what a model may ask a session to do."""

from __future__ import annotations

from actors.tools.tool import Tool, ToolFunction, ToolRegistry

__all__ = ["Tool", "ToolFunction", "ToolRegistry"]
