"""What `/tools` writes: the tools, and how the servers are that some of them are from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from actors.cli.chat.setup import Setup
from actors.cli.chat.toolbox import OwnTool
from actors.mcp.protocol import McpHealth, McpState
from actors.printable import one_line
from actors.records import ApprovalMode, WorkMode

__all__ = ["mcp_lines", "tool_lines"]

_DESCRIPTION_LENGTH = 70


class _Row(msgspec.Struct, frozen=True):
    name: str
    source: str
    description: str
    read_only: bool
    needs_confirmation: bool


def tool_lines(
    own: Iterable[OwnTool], healths: Iterable[McpHealth], setup: Setup, allowed: frozenset[str] | None
) -> tuple[str, ...]:
    """A line for each tool, in the order of their names: where it is from, and what happens at a call.

    `allowed` are those of which the user has said that they always may run; None: all.
    """
    rows = [
        _Row(
            one.tool.name, one.source, one.tool.description, one.tool.read_only, one.tool.needs_confirmation
        )
        for one in own
    ]
    rows += [
        _Row(tool.name, f"MCP {health.server_id}", tool.description, tool.read_only, not tool.read_only)
        for health in healths
        if health.offered
        for tool in health.tools
    ]
    rows.sort(key=lambda row: row.name)
    cells = [
        (
            one_line(row.name),
            one_line(row.source),
            "reads only" if row.read_only else "changes",
            _standing(row, setup, is_allowed=allowed is None or row.name in allowed),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return tuple(
        "  ".join(
            (*(f"{cell:{width}}" for cell, width in zip(row_cells, widths, strict=True)), _brief(row))
        )
        for row_cells, row in zip(cells, rows, strict=True)
    )


def _standing(row: _Row, setup: Setup, *, is_allowed: bool) -> str:
    mode = setup.approval_mode or ApprovalMode.DEFAULT
    if mode is ApprovalMode.DENY:
        return "never runs"
    if setup.work_mode is WorkMode.PLAN and not row.read_only:
        return "not in plan mode"
    asks = mode is ApprovalMode.ALWAYS_ASK or (mode is ApprovalMode.DEFAULT and row.needs_confirmation)
    return "asks you" if asks and not is_allowed else "runs"


def _brief(row: _Row) -> str:
    described = one_line(row.description)
    return (
        described if len(described) <= _DESCRIPTION_LENGTH else described[: _DESCRIPTION_LENGTH - 1] + "…"
    )


def mcp_lines(healths: Sequence[McpHealth]) -> tuple[str, ...]:
    """A line for each MCP server: whether it is there, and else why not."""
    return tuple(f"MCP server {one_line(health.server_id)}: {_health(health)}" for health in healths)


def _health(health: McpHealth) -> str:
    count = len(health.tools)
    tools = f"{count} tool{'' if count == 1 else 's'}"
    why = one_line(health.last_error)
    match health.state:
        case McpState.READY:
            return f"ready, {tools}"
        case McpState.WAITING:
            seconds = round(health.retry_in_seconds or 0)
            return f"not there ({why}); next try in {max(1, seconds)} s"
        case McpState.BROKEN:
            return f"broken: {why}"
        case McpState.CONNECTING | McpState.DISCONNECTED:
            return "connecting"
