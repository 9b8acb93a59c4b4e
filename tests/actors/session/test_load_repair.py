"""What becomes of a turn whose session ended in the midst of it, at the next loading."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.conversation import MessageState, Role, ToolResult, ToolStatus
from actors.errors import ErrorCode, ErrorInfo
from actors.events import TaskOutcome
from actors.records import ConfirmationOutcome, SessionStatus
from actors.session.protocol import ConfirmToolCall, OnBusy, Rerun, ResumeTurn, SubmitTurn, WaitTurn
from tests.actors.session.promises import check_sendable
from tests.actors.session.scenes import (
    FREE,
    RISKY,
    answer,
    arrive,
    ask,
    asked,
    code_of,
    converse,
    queued_world,
    ready_world,
    results,
    streaming_world,
    task_of,
    texts,
)
from tests.actors.session.world import RIVALS, World

FAILURE = ErrorInfo(ErrorCode.EXECUTION_FAILED, "the actor failed")


def reload(world: World, failure: ErrorInfo | None = None) -> None:
    world.crash(failure)
    arrive(world)


def before_the_first_part() -> World:
    world = ready_world()
    task_of(world, SubmitTurn(text="why?"))
    return world


def executing() -> World:
    return asked(FREE)


def approved_but_not_run() -> World:
    world = asked(RISKY)
    world.take_slot(RIVALS[0])
    ask(world, ConfirmToolCall(call_id="call_risky", outcome=ConfirmationOutcome.APPROVED))
    assert not world.tool_runs
    return world


PHASES = (queued_world, before_the_first_part, streaming_world, executing, approved_but_not_run)


@pytest.mark.parametrize(
    ("failure", "status", "state", "code"),
    [
        (None, SessionStatus.ABORTED, MessageState.ABORTED, ErrorCode.ABORTED),
        (FAILURE, SessionStatus.FAILED, MessageState.FAILED, ErrorCode.EXECUTION_FAILED),
    ],
)
@pytest.mark.parametrize("begin", PHASES)
def test_a_turn_that_was_cut_has_an_end_that_says_so_and_can_be_resumed(
    begin: Callable[[], World],
    failure: ErrorInfo | None,
    status: SessionStatus,
    state: MessageState,
    code: ErrorCode,
) -> None:
    world = begin()
    task = world.stored().record.task
    assert task is not None

    reload(world, failure)

    stored = world.stored()
    last = stored.messages[-1]
    assert (stored.record.status, stored.record.task) == (status, None)
    assert (last.role, last.state, last.task_id) == (Role.ASSISTANT, state, task.task_id)
    assert last.error is not None
    assert last.error.code is code
    outcome = ask(world, WaitTurn(task.task_id))
    assert isinstance(outcome, TaskOutcome)
    assert outcome.status is status
    world.give_slot_back(RIVALS[0])
    task_of(world, ResumeTurn())
    check_sendable(next(reversed(world.calls.values())).messages)
    answer(world, "because")
    assert world.stored().record.status is SessionStatus.COMPLETED


def test_the_text_that_had_come_is_kept() -> None:
    world = streaming_world()

    reload(world)

    assert texts(world) == ["why?", "beca"]


def test_a_tool_whose_end_nobody_saw_is_unknown_and_not_run_again() -> None:
    world = asked(FREE)
    runs = set(world.tool_runs)

    reload(world)

    assert results(world) == {"call_free": ToolStatus.UNKNOWN}
    assert world.tool_runs == runs


def test_a_tool_that_was_approved_and_not_run_is_cancelled_and_says_so() -> None:
    world = approved_but_not_run()

    reload(world)

    (result,) = [m.content for m in world.stored().messages if isinstance(m.content, ToolResult)]
    assert result.status is ToolStatus.CANCELLED
    assert "before this tool was run" in result.output


def test_of_a_batch_each_call_has_the_result_that_is_its_own() -> None:
    world = asked(FREE, RISKY)
    reload(world)

    assert results(world) == {"call_free": ToolStatus.UNKNOWN, "call_risky": ToolStatus.CANCELLED}


@pytest.mark.parametrize("failure", [None, FAILURE])
def test_a_call_that_waits_for_a_person_still_does(failure: ErrorInfo | None) -> None:
    world = asked(RISKY)

    reload(world, failure)

    assert world.stored().record.status is SessionStatus.WAITING_CONFIRMATION
    task_of(world, ConfirmToolCall(call_id="call_risky", outcome=ConfirmationOutcome.APPROVED))
    world.end_tool("call_risky")
    arrive(world)
    answer(world, "done")
    assert results(world) == {"call_risky": ToolStatus.SUCCEEDED}
    assert world.stored().record.status is SessionStatus.COMPLETED


def test_what_steered_the_turn_stays_in_the_conversation() -> None:
    world = streaming_world()
    task_of(world, SubmitTurn(text="and how?", on_busy=OnBusy.STEER))

    reload(world)

    assert texts(world) == ["why?", "beca", "and how?"]
    task_of(world, ResumeTurn())
    assert [m.role for m in next(reversed(world.calls.values())).messages][-1] is Role.USER


def test_questions_that_waited_stay_in_the_conversation_each_with_an_end() -> None:
    world = streaming_world()
    first, second = (task_of(world, SubmitTurn(text=text, on_busy=OnBusy.QUEUE)) for text in ("a", "b"))

    reload(world)

    assert texts(world) == ["why?", "beca", "a", "", "b", ""]
    assert world.stored().record.queued == ()
    for task_id in (first, second):
        outcome = ask(world, WaitTurn(task_id))
        assert isinstance(outcome, TaskOutcome)
        assert outcome.status is SessionStatus.ABORTED
    assert world.running_call is None


def test_what_waits_behind_a_person_waits_on() -> None:
    world = asked(RISKY)
    task_id = task_of(world, SubmitTurn(text="next", on_busy=OnBusy.QUEUE))

    reload(world)

    assert [queued.task_id for queued in world.stored().record.queued] == [task_id]
    task_of(world, ConfirmToolCall(call_id="call_risky", outcome=ConfirmationOutcome.DENIED))
    answer(world, "well then")
    answer(world, "to next")
    assert texts(world)[-2:] == ["next", "to next"]


def test_a_rerun_that_was_cut_keeps_what_is_answered_and_asks_no_more() -> None:
    world = ready_world()
    converse(world, "one", "two", "three")
    task_of(world, Rerun())
    answer(world, "1")

    reload(world)

    assert texts(world) == ["one", "1", "two", ""]
    assert world.stored().record.status is SessionStatus.ABORTED
    assert world.running_call is None


def test_a_session_that_was_at_rest_is_loaded_as_it_was() -> None:
    world = ready_world()
    converse(world, "one")
    before = world.stored()

    reload(world)

    after = world.stored()
    assert (after.record, after.messages) == (before.record, before.messages)
    assert code_of(ask(world, ResumeTurn())) is ErrorCode.INVALID_ARGUMENT
