"""Tools: what a model may ask a session to do."""

from __future__ import annotations

from actors.tools.arguments import wrong_arguments
from actors.tools.registry import ToolRegistry
from actors.tools.tool import Tool, ToolContext, ToolFunction, ToolKind

__all__ = ["Tool", "ToolContext", "ToolFunction", "ToolKind", "ToolRegistry", "wrong_arguments"]
