"""A question that finds another turn unfinished, one that comes twice, and turns that are stopped."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.conversation import MessageState, Role
from actors.errors import ErrorCode, ErrorInfo
from actors.records import ConfirmationOutcome, SessionStatus
from actors.session.protocol import AbortTurn, ConfirmToolCall, OnBusy, Rerun, SubmitTurn
from actors.session.turn import Phase
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
    streaming_world,
    task_of,
    texts,
)
from tests.actors.session.world import RIVALS, World

# --- what becomes of the question -------------------------------------------------------------------


def test_a_rejected_question_is_told_which_task_is_in_its_way_and_leaves_no_trace() -> None:
    world = streaming_world()
    turn, revision = world.state.turn, world.state.revision
    assert turn is not None

    refusal = ask(world, SubmitTurn(text="and?", on_busy=OnBusy.REJECT))

    assert isinstance(refusal, ErrorInfo)
    assert refusal.code is ErrorCode.SESSION_BUSY
    assert turn.task_id in refusal.message
    assert world.state.revision == revision


def test_queued_questions_are_asked_in_order_when_the_others_are_done() -> None:
    world = streaming_world()
    for text in ("a", "b"):
        task_of(world, SubmitTurn(text=text, on_busy=OnBusy.QUEUE))

    answer(world, "use")
    answer(world, "to a")
    answer(world, "to b")

    assert texts(world) == ["why?", "because", "a", "to a", "b", "to b"]


def test_an_interrupting_question_keeps_what_was_said_and_is_asked_before_those_that_wait() -> None:
    world = streaming_world()
    task_of(world, SubmitTurn(text="later", on_busy=OnBusy.QUEUE))

    task_of(world, SubmitTurn(text="now", on_busy=OnBusy.INTERRUPT))
    answer(world, "to now")
    answer(world, "to later")

    assert texts(world) == ["why?", "beca", "now", "to now", "later", "to later"]
    assert world.stored().messages[1].state is MessageState.ABORTED


def test_a_steering_question_joins_the_turn_at_its_next_model_call() -> None:
    world = asked(FREE)
    turn = world.state.turn
    assert turn is not None

    assert task_of(world, SubmitTurn(text="quickly", on_busy=OnBusy.STEER)) == turn.task_id
    world.end_tool("call_free")
    arrive(world)

    roles = [message.role for message in world.calls[turn.task_id].messages]
    assert roles == [Role.USER, Role.ASSISTANT, Role.TOOL, Role.USER]
    answer(world, "done")
    assert len(world.outcomes) == 1


def test_what_comes_too_late_to_steer_is_asked_next() -> None:
    world = streaming_world()
    task_of(world, SubmitTurn(text="later", on_busy=OnBusy.QUEUE))
    world.end_call()
    world.call_step()
    assert world.state.turn is not None
    assert world.state.turn.phase is Phase.SETTLING

    task_of(world, SubmitTurn(text="and how?", on_busy=OnBusy.STEER))
    answer(world, "so")

    assert texts(world)[:4] == ["why?", "beca", "and how?", "so"]


def test_a_question_may_wait_behind_a_turn_that_waits_for_a_person() -> None:
    world = asked(RISKY)
    task_of(world, SubmitTurn(text="next", on_busy=OnBusy.QUEUE))
    assert world.running_call is None

    task_of(world, ConfirmToolCall(call_id="call_risky", outcome=ConfirmationOutcome.DENIED))
    answer(world, "well then")
    answer(world, "to next")

    assert texts(world, role=Role.USER) == ["do it", "next"]


@pytest.mark.parametrize("on_busy", OnBusy)
def test_how_it_takes_being_busy_does_not_matter_to_a_session_that_is_ready(on_busy: OnBusy) -> None:
    world = ready_world()

    task_of(world, SubmitTurn(text="why?", on_busy=on_busy))
    answer(world, "because")

    assert texts(world) == ["why?", "because"]


# --- said twice -------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_busy", [OnBusy.QUEUE, OnBusy.STEER, OnBusy.INTERRUPT])
@pytest.mark.parametrize("begin", [ready_world, streaming_world])
def test_a_request_that_comes_again_is_answered_with_its_task_and_asks_nothing(
    begin: Callable[[], World], on_busy: OnBusy
) -> None:
    world = begin()
    command = SubmitTurn(text="once", on_busy=on_busy, request_id="r")

    first = task_of(world, command)
    again = task_of(world, command)
    world.run_to_rest()
    world.release()
    world.run_to_rest()
    after_a_reload = task_of(world, command)

    assert first == again == after_a_reload
    assert texts(world).count("once") == 1


def test_a_request_that_comes_again_before_the_first_is_stored_waits_for_the_same_task() -> None:
    world = ready_world()
    requests = [world.ask(SubmitTurn(text="once", request_id="r")) for _ in range(2)]
    assert not world.answers.keys() & set(requests)

    arrive(world)

    first, again = (world.answers[request] for request in requests)
    assert isinstance(first, str)
    assert first == again


def test_a_request_that_was_refused_may_be_said_again() -> None:
    world = streaming_world()
    assert code_of(ask(world, SubmitTurn(text="on", request_id="r"))) is ErrorCode.SESSION_BUSY
    answer(world, "use")

    task_of(world, SubmitTurn(text="on", request_id="r"))

    assert texts(world)[-1] == "on"


# --- stopped ----------------------------------------------------------------------------------------


def question_on_its_way() -> World:
    world = ready_world()
    world.ask(SubmitTurn(text="why?"))
    world.registry_step()
    world.notice_step()
    return world


def before_the_first_part() -> World:
    world = ready_world()
    task_of(world, SubmitTurn(text="why?"))
    return world


def tools_run() -> World:
    return asked(FREE)


def waits_for_a_person() -> World:
    return asked(RISKY)


def waits_for_a_slot_again() -> World:
    world = asked(RISKY)
    world.take_slot(RIVALS[0])
    ask(world, ConfirmToolCall(call_id="call_risky", outcome=ConfirmationOutcome.APPROVED))
    return world


def between_two_questions_of_a_rerun() -> World:
    world = ready_world()
    converse(world, "one", "two")
    task_of(world, Rerun())
    world.end_call()
    world.call_step()
    return world


@pytest.mark.parametrize(
    ("begin", "phase"),
    [
        (question_on_its_way, Phase.STORING),
        (queued_world, Phase.QUEUED),
        (before_the_first_part, Phase.RUNNING),
        (streaming_world, Phase.RUNNING),
        (tools_run, Phase.TOOLS),
        (waits_for_a_person, Phase.WAITING),
        (waits_for_a_slot_again, Phase.RESUMING),
        (between_two_questions_of_a_rerun, Phase.STORING),
    ],
)
def test_a_turn_is_stopped_in_every_phase_at_once_and_nothing_is_left_of_it(
    begin: Callable[[], World], phase: Phase
) -> None:
    world = begin()
    turn = world.state.turn
    assert turn is not None
    assert turn.phase is phase
    asked_before = len(world.calls)

    first = world.ask(AbortTurn())
    again = world.ask(AbortTurn())
    assert (world.answers[first], world.answers[again]) == (True, False)
    world.run_to_rest()

    assert world.outcomes[turn.task_id].status is SessionStatus.ABORTED
    assert world.stored().record.status is SessionStatus.ABORTED
    assert len(world.calls) == asked_before, "the model was asked after the abort"
    assert world.pool.status(loaded=0).running == 0
    task_of(world, SubmitTurn(text="on"))
    answer(world, "good")
    assert texts(world)[-2:] == ["on", "good"]


def test_a_turn_that_is_stopped_before_it_is_admitted_leaves_no_trace() -> None:
    world = ready_world()
    revision = world.state.revision
    request = world.ask(SubmitTurn(text="why?"))

    assert ask(world, AbortTurn()) is True

    assert code_of(world.answers[request]) is ErrorCode.ABORTED
    assert world.state.revision == revision
    assert world.pool.status(loaded=0).running == 0


def test_a_turn_that_has_ended_or_is_about_to_cannot_be_stopped() -> None:
    world = streaming_world()
    world.end_call()
    world.call_step()

    assert ask(world, AbortTurn()) is False
    assert ask(world, AbortTurn()) is False
    assert world.stored().record.status is SessionStatus.COMPLETED


def test_one_of_those_that_wait_is_stopped_alone_and_all_without_a_name() -> None:
    world = streaming_world()
    first, second, third = (
        task_of(world, SubmitTurn(text=text, on_busy=OnBusy.QUEUE)) for text in ("a", "b", "c")
    )

    assert ask(world, AbortTurn(second)) is True
    answer(world, "use")
    answer(world, "to a")
    assert world.outcomes[first].status is SessionStatus.COMPLETED
    assert world.outcomes[second].status is SessionStatus.ABORTED
    task_of(world, SubmitTurn(text="d", on_busy=OnBusy.QUEUE))
    assert ask(world, AbortTurn()) is True

    world.run_to_rest()
    assert world.outcomes[third].status is SessionStatus.ABORTED
    assert texts(world, role=Role.USER) == ["why?", "a", "b", "c", "d"]
    assert [outcome.status for outcome in world.outcomes.values()].count(SessionStatus.COMPLETED) == 2


def test_a_question_that_is_stopped_before_the_stopped_calls_have_ended_asks_for_no_slot() -> None:
    world = asked(FREE)
    first, second = world.state.turn, world.ask(SubmitTurn(text="now", on_busy=OnBusy.INTERRUPT))
    arrive_but_calls(world)
    assert first is not None
    assert world.state.stopping

    world.release(abort=True)
    arrive_but_calls(world)
    world.run_to_rest()

    assert set(world.asked_slot) == {first.task_id}
    assert isinstance(world.answers[second], str)
    assert world.outcomes[str(world.answers[second])].status is SessionStatus.ABORTED


def arrive_but_calls(world: World) -> None:
    """Everybody is quick, but what was stopped and has not ended."""
    for _ in range(20):
        world.commit(4)
        world.store_step()
        world.notice_step()
        world.registry_step()
