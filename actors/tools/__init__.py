"""Tools: what a model may ask a session to do."""

from __future__ import annotations

from actors.tools.registry import ToolRegistry
from actors.tools.tool import Tool, ToolContext, ToolFunction

__all__ = ["Tool", "ToolContext", "ToolFunction", "ToolRegistry"]
