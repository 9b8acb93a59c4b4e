"""Which tools can be called."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from actors.tools.tool import Tool
from runtime import get_logger

__all__ = ["ToolHealthReport", "ToolProblem", "health_of"]

_log = get_logger("tools")


class ToolProblem(msgspec.Struct, frozen=True):
    name: str
    reason: str


class ToolHealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """The tools by name, each in one of the three.

    - `healthy`: can be called.
    - `broken`: a call of it would fail, and why: its server is gone, its function cannot be imported.
    - `unchecked`: can be called, but with any arguments: its schema cannot be used, and why.

    `servers` are the MCP servers that are not connected, by id, and why; their tools may not be offered.
    """

    healthy: tuple[str, ...]
    broken: tuple[ToolProblem, ...]
    unchecked: tuple[ToolProblem, ...]
    servers: tuple[ToolProblem, ...] = ()


def health_of(tools: Iterable[Tool]) -> ToolHealthReport:
    healthy: list[str] = []
    broken: list[ToolProblem] = []
    unchecked: list[ToolProblem] = []
    for tool in tools:
        problem = _find_problem(tool)
        if problem:
            broken.append(ToolProblem(tool.name, problem))
        elif tool.check is None and tool.schema.problem:
            unchecked.append(ToolProblem(tool.name, tool.schema.problem))
        else:
            healthy.append(tool.name)
    return ToolHealthReport(healthy=tuple(healthy), broken=tuple(broken), unchecked=tuple(unchecked))


def _find_problem(tool: Tool) -> str:
    if tool.find_problem is None:
        return ""
    try:
        return tool.find_problem()
    except Exception as error:  # noqa: BLE001 - translation edge: foreign code
        reason = type(error).__name__  # and not its text, which may hold what no log should
        _log.warning("the health of a tool cannot be told", tool=tool.name, reason=reason)
        return f"its health cannot be told: {reason}"
