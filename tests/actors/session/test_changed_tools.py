"""The scheduler where the tools are others than those that the calls were made for."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest

from actors.conversation import Approval, ToolCall
from actors.records import ApprovalMode, CallRecord, CallState, ConfirmationOutcome
from actors.session.tool_scheduler import ToolPolicy, ToolScheduler
from actors.tools import Tool, ToolRegistry
from tests.actors.session.scheduling import (
    NOW,
    TOOLS,
    by_mode,
    call,
    end,
    executing,
    scheduler_with,
    states,
)

RISKY_TOOL = next(tool for tool in TOOLS if tool.name == "risky")
TAKES_TEXT = {"type": "object", "properties": {"n": {"type": "string"}}}


def always_too_small(_: Mapping[str, object]) -> str:
    return "n is too small"


def restored(made: ToolCall, tools: tuple[Tool, ...], policy: ToolPolicy) -> CallRecord:
    """A call that a person has approved, after a restart with these tools."""
    (record,) = scheduler_with(made).calls
    scheduler = ToolScheduler(ToolRegistry(tools))
    scheduler.restore((record,))
    scheduler.confirm(made.call_id, ConfirmationOutcome.APPROVED, policy, NOW, begin=True)
    (record,) = scheduler.calls
    return record


@pytest.mark.parametrize(
    ("tools", "policy", "said"),
    [
        ((), by_mode(ApprovalMode.DEFAULT), "There is no tool 'risky'"),
        (
            (msgspec.structs.replace(RISKY_TOOL, parameters=TAKES_TEXT),),
            by_mode(ApprovalMode.DEFAULT),
            "do not fit the schema of 'risky'",
        ),
        (
            (msgspec.structs.replace(RISKY_TOOL, check=always_too_small),),
            by_mode(ApprovalMode.DEFAULT),
            "n is too small",
        ),
        ((RISKY_TOOL,), by_mode(ApprovalMode.DENY), "may not be run"),
        ((RISKY_TOOL,), ToolPolicy(mode=ApprovalMode.AUTO, names=("free",)), "There is no tool 'risky'"),
    ],
    ids=["gone", "schema", "check", "denied", "not the agent's"],
)
def test_an_approved_call_that_does_not_fit_the_tool_of_today_is_not_run_and_the_model_learns_why(
    tools: tuple[Tool, ...], policy: ToolPolicy, said: str
) -> None:
    record = restored(call("r", "risky", '{"n": 1}'), tools, policy)

    assert record.state in (CallState.ERROR, CallState.CANCELLED)
    assert record.started_at is None
    assert said in record.output


def test_an_approved_call_that_still_fits_is_run_and_no_one_asked_again() -> None:
    other = msgspec.structs.replace(RISKY_TOOL, description="as it was")

    record = restored(call("r", "risky", '{"n": 1}'), (other,), by_mode(ApprovalMode.ALWAYS_ASK))

    assert (record.state, record.approval) == (CallState.EXECUTING, Approval.APPROVED)


def test_a_call_that_nobody_approved_waits_for_a_person_where_its_tool_wants_that_by_now() -> None:
    registry = ToolRegistry(TOOLS)
    scheduler = ToolScheduler(registry)
    policy = by_mode(ApprovalMode.DEFAULT, max_parallel=1)
    scheduler.execute((call("1", "free"), call("2", "free"), call("3", "reads")), policy, NOW)
    (free,) = (tool for tool in TOOLS if tool.name == "free")
    registry.unregister_tool("free")
    registry.register_tool(msgspec.structs.replace(free, needs_confirmation=True))

    end(scheduler, "1", policy)

    assert states(scheduler) == {
        "1": CallState.SUCCESS,
        "2": CallState.AWAITING_APPROVAL,
        "3": CallState.EXECUTING,
    }


def test_a_call_that_waits_for_room_is_not_run_when_its_tool_is_gone() -> None:
    registry = ToolRegistry(TOOLS)
    scheduler = ToolScheduler(registry)
    policy = by_mode(ApprovalMode.AUTO, max_parallel=1)
    scheduler.execute((call("1", "free"), call("2", "risky"), call("3", "free")), policy, NOW)
    registry.unregister_tool("risky")

    end(scheduler, "1", policy)

    assert executing(scheduler) == ["3"]
    gone = scheduler.find("2")
    assert gone is not None
    assert gone.state is CallState.ERROR
    assert "There is no tool 'risky'" in gone.output


def test_of_thousands_of_tools_a_model_that_errs_is_told_some_names() -> None:
    many = tuple(msgspec.structs.replace(RISKY_TOOL, name=f"tool_{n:04}") for n in range(2_000))

    (record,) = scheduler_with(call("c", "no" * 10_000), tools=many).calls

    assert record.state is CallState.ERROR
    assert record.output.endswith("tool_0049, and 1950 more.")
    assert len(record.output) < 1_000
