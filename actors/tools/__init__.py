"""Tools: what a model may ask a session to do."""

from __future__ import annotations

from actors.tools.arguments import wrong_arguments
from actors.tools.function import tool
from actors.tools.health import ToolHealthReport, ToolProblem
from actors.tools.registry import ToolRegistry
from actors.tools.running import ToolOutcome, ToolRunner, ToolStatistics
from actors.tools.tool import Tool, ToolContext, ToolFunction, ToolKind

__all__ = [
    "Tool",
    "ToolContext",
    "ToolFunction",
    "ToolHealthReport",
    "ToolKind",
    "ToolOutcome",
    "ToolProblem",
    "ToolRegistry",
    "ToolRunner",
    "ToolStatistics",
    "tool",
    "wrong_arguments",
]
