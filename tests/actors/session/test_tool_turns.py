"""Tools in a turn: which run, which wait for a person, and how the turn goes on."""

from __future__ import annotations

import pytest

from actors.conversation import FinishReason, ToolCallPart, ToolResult, ToolStatus
from actors.errors import ErrorCode, ErrorInfo
from actors.events import TaskOutcome
from actors.records import ApprovalMode, ConfirmationOutcome, SessionStatus
from actors.session.protocol import AbortTurn, ConfirmToolCall, SubmitTurn, WaitTurn
from tests.actors.session.scenes import FREE, RISKY, arrive, asked, results
from tests.actors.session.world import SESSION, World

UNKNOWN = ToolCallPart(2, "call_unknown", "unknown", "{}")


def many(count: int) -> list[ToolCallPart]:
    """Different calls, `call 0` and on; ten of them run beside each other."""
    return [ToolCallPart(index, f"call {index}", "free", f'{{"n": {index}}}') for index in range(count)]


def confirm(world: World, call_id: str, *, outcome: ConfirmationOutcome) -> object:
    request = world.ask(ConfirmToolCall(call_id=call_id, outcome=outcome))
    arrive(world)
    return world.answers[request]


@pytest.mark.parametrize(
    ("mode", "runs", "waits"),
    [
        (ApprovalMode.DEFAULT, {"call_free"}, True),
        (ApprovalMode.AUTO, {"call_free", "call_risky"}, False),
        (ApprovalMode.ALWAYS_ASK, set[str](), True),
        (ApprovalMode.DENY, set[str](), False),
    ],
)
def test_the_approval_mode_says_which_tools_run_at_once(
    mode: ApprovalMode, runs: set[str], waits: bool
) -> None:
    world = asked(FREE, RISKY, UNKNOWN, mode=mode)

    assert set(world.running_tools) == runs
    for call_id in runs:
        world.end_tool(call_id)
    arrive(world)
    assert (world.stored().record.status is SessionStatus.WAITING_CONFIRMATION) == waits


def test_a_batch_goes_on_when_all_calls_are_over_with_results_in_the_order_of_the_calls() -> None:
    world = asked(FREE, RISKY, UNKNOWN)
    world.end_tool("call_free")
    arrive(world)
    assert world.running_call is None

    confirm(world, "call_risky", outcome=ConfirmationOutcome.APPROVED)
    world.end_tool("call_risky")
    arrive(world)

    (request,) = world.calls.values()
    contents = [message.content for message in request.messages]
    assert [content.call_id for content in contents if isinstance(content, ToolResult)] == [
        "call_free",
        "call_risky",
        "call_unknown",
    ]
    assert results(world)["call_unknown"] is ToolStatus.FAILED


def test_calls_that_end_while_the_store_is_at_work_are_one_write() -> None:
    world = asked(*many(10))
    revision = world.state.revision

    for index in range(10):
        world.end_tool(f"call {index}")
        world.call_step()
    assert world.state.revision == revision + 1
    arrive(world)

    assert world.state.revision == revision + 2
    assert list(results(world).values()) == [ToolStatus.SUCCEEDED] * 10
    assert world.running_call is not None


def test_a_call_that_had_no_room_begins_when_its_begin_is_durable_also_behind_another_write() -> None:
    world = asked(*many(12))
    assert set(world.running_tools) == {f"call {index}" for index in range(10)}

    for index in range(2):
        world.end_tool(f"call {index}")
        world.call_step()
    assert not {"call 10", "call 11"} & set(world.running_tools)
    arrive(world)

    assert set(world.running_tools) == {f"call {index}" for index in range(2, 12)}


def test_the_first_decision_counts_and_the_same_one_again_is_answered_alike() -> None:
    world = asked(RISKY)

    first = confirm(world, "call_risky", outcome=ConfirmationOutcome.APPROVED)
    again = confirm(world, "call_risky", outcome=ConfirmationOutcome.APPROVED)
    other = confirm(world, "call_risky", outcome=ConfirmationOutcome.DENIED)
    foreign = confirm(world, "call_of_nobody", outcome=ConfirmationOutcome.APPROVED)

    assert isinstance(first, str)
    assert again == first
    assert isinstance(other, ErrorInfo)
    assert other.code is ErrorCode.CONFLICT
    assert isinstance(foreign, ErrorInfo)
    assert foreign.code is ErrorCode.INVALID_ARGUMENT
    assert len(world.tool_runs) == 1


def test_a_turn_that_waits_for_a_person_survives_an_eviction_and_runs_the_tool_once() -> None:
    world = asked(RISKY)
    world.release(abort=False)
    world.run_to_rest()

    confirm(world, "call_risky", outcome=ConfirmationOutcome.APPROVED)
    world.run_to_rest()

    assert results(world) == {"call_risky": ToolStatus.SUCCEEDED}
    assert len(world.tool_runs) == 1
    assert world.stored().record.status is SessionStatus.COMPLETED


def test_an_abort_stops_a_turn_that_waits_for_a_person() -> None:
    world = asked(RISKY)

    world.ask(AbortTurn())
    world.run_to_rest()

    assert results(world) == {"call_risky": ToolStatus.CANCELLED}
    assert world.stored().record.status is SessionStatus.ABORTED
    assert not world.tool_runs


def test_an_abort_while_tools_run_stops_them_and_drops_what_comes_late() -> None:
    world = asked(FREE)
    world.end_tool("call_free")

    world.ask(AbortTurn())
    world.run_to_rest()

    assert results(world) == {"call_free": ToolStatus.CANCELLED}
    assert not world.running_tools
    assert world.running_call is None


def test_a_turn_ends_at_the_limit_of_model_calls_and_the_next_one_works() -> None:
    world = asked(FREE, max_turns=1)
    world.run_to_rest()
    assert world.stored().record.status is SessionStatus.MAX_TURNS_REACHED
    assert world.stored().messages[-1].finish_reason is FinishReason.MAX_TURNS

    world.ask(SubmitTurn(text="and now?"))
    world.run_to_rest()

    assert world.stored().record.status is SessionStatus.COMPLETED


def test_who_waits_for_a_turn_is_told_which_calls_wait_for_a_person() -> None:
    world = asked(RISKY)
    task = world.stored().record.task
    assert task is not None

    request = world.ask(WaitTurn(task.task_id))
    arrive(world)

    outcome = world.answers[request]
    assert isinstance(outcome, TaskOutcome)
    assert [call.call.call_id for call in outcome.pending_calls] == ["call_risky"]


def test_a_store_that_gives_up_on_a_turn_without_a_slot_leaves_nothing_to_wait_for() -> None:
    world = asked(RISKY)
    world.ask(AbortTurn())

    world.give_up_storing()
    world.store_step()

    assert world.state.failure is not None
    assert not world.state.stopping
    assert not world.pool.holds(SESSION)
