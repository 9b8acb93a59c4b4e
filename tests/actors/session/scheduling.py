"""Calls of tools and what schedules them, for tests of the scheduler alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from actors.conversation import ToolCall, ToolStatus
from actors.records import ApprovalMode, CallState, WorkMode
from actors.session.effects import Now
from actors.session.tool_scheduler import ToolPolicy, ToolScheduler
from actors.tools import Tool, ToolContext, ToolRegistry

__all__ = [
    "GROUPS",
    "NOW",
    "RISKY",
    "STOPPED",
    "TOOLS",
    "by_mode",
    "call",
    "end",
    "executing",
    "scheduler_with",
    "states",
]

NOW = Now(datetime(2026, 1, 1, tzinfo=UTC), 0.0)
STOPPED = "stopped"


async def _never(_: Mapping[str, object], __: ToolContext) -> str:
    raise AssertionError("pure logic runs no tools")


def make_tool(
    name: str, *, group: str = "", needs_confirmation: bool = False, read_only: bool = False
) -> Tool:
    return Tool(
        name=name,
        description="",
        function=_never,
        group=group,
        needs_confirmation=needs_confirmation,
        read_only=read_only,
        parameters={"type": "object", "properties": {"n": {"type": "integer"}}},
    )


TOOLS = (
    make_tool("free"),
    make_tool("risky", needs_confirmation=True),
    make_tool("reads", read_only=True),
    make_tool("writes", group="files"),
    make_tool("deletes", group="files", needs_confirmation=True),
    make_tool("asks", group="web", needs_confirmation=True, read_only=True),
)
GROUPS = {tool.name: tool.group for tool in TOOLS}
RISKY = frozenset(tool.name for tool in TOOLS if tool.needs_confirmation)


def call(call_id: str, name: str, arguments: str = "{}") -> ToolCall:
    return ToolCall(call_id, name, arguments)


def by_mode(
    mode: ApprovalMode, *, max_parallel: int = 10, work_mode: WorkMode = WorkMode.ACT
) -> ToolPolicy:
    return ToolPolicy(mode=mode, max_parallel=max_parallel, work_mode=work_mode)


def scheduler_with(
    *calls: ToolCall, policy: ToolPolicy | None = None, tools: tuple[Tool, ...] = TOOLS
) -> ToolScheduler:
    scheduler = ToolScheduler(ToolRegistry(tools))
    scheduler.execute(calls, policy or by_mode(ApprovalMode.DEFAULT), NOW)
    return scheduler


def states(scheduler: ToolScheduler) -> dict[str, CallState]:
    return {record.call.call_id: record.state for record in scheduler.calls}


def executing(scheduler: ToolScheduler) -> list[str]:
    return [call_id for call_id, state in states(scheduler).items() if state is CallState.EXECUTING]


def end(scheduler: ToolScheduler, call_id: str, policy: ToolPolicy | None = None) -> None:
    policy = policy or by_mode(ApprovalMode.DEFAULT)
    assert scheduler.ended(call_id, ToolStatus.SUCCEEDED, f"of {call_id}", policy, NOW)
