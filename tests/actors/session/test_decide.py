"""Steps of a session that deserve a name of their own; the machine of random lives covers the rest."""

from __future__ import annotations

from actors.conversation import MessageState, Text, TextPart, ToolCallPart
from actors.errors import ErrorCode, ErrorInfo
from actors.events import ModelCallDelayed, TaskOutcome
from actors.persistence.protocol import Saved, SaveFailed, StoreLost
from actors.records import SessionStatus
from actors.session.decide import decide
from actors.session.effects import Now, Publish
from actors.session.protocol import (
    AbortTurn,
    CallDelayed,
    GetSnapshot,
    NewSession,
    ResumeTurn,
    SessionCommand,
    SessionSnapshot,
    SubmitTurn,
    Subscribe,
    WaitTurn,
)
from actors.session.turn import Phase
from tests.actors.session.world import RIVALS, SESSION, START, World


def ready_world() -> World:
    world = World()
    world.run_to_rest()
    return world


def answer(world: World, command: SessionCommand) -> object:
    request = world.ask(command)
    return world.answers.get(request)


def code_of(value: object) -> ErrorCode:
    assert isinstance(value, ErrorInfo)
    return value.code


def streaming_world() -> World:
    """A session with a running turn whose answer has begun."""
    world = ready_world()
    world.ask(SubmitTurn(text="why?"))
    world.registry_step()
    world.notice_step()
    world.commit(1)
    world.store_step()
    world.say(TextPart("beca"))
    world.call_step()
    return world


def test_a_notice_for_a_former_incarnation_changes_nothing() -> None:
    world = streaming_world()
    error = ErrorInfo(ErrorCode.CONFLICT, "another epoch")

    world.step(Saved(SESSION, world.state.epoch + 1, 1_000))
    world.step(SaveFailed(SESSION, world.state.epoch + 1, 1, error))

    assert world.state.failure is None
    assert world.state.saved_revision < world.state.revision


def test_a_delay_is_told_while_the_turn_runs_and_never_of_another_turn() -> None:
    world = streaming_world()
    turn = world.state.turn
    assert turn is not None
    now = Now(START, 1.0)
    limited = ErrorInfo(ErrorCode.QUOTA_EXCEEDED, "rate limit")
    (told,) = decide(world.state, CallDelayed(turn.task_id, 1, limited, 2.5), now)
    assert isinstance(told, Publish)
    assert told.event.body == ModelCallDelayed(1, limited, 2.5)
    assert decide(world.state, CallDelayed("another", 1, limited, 2.5), now) == []
    world.ask(AbortTurn(turn.task_id))
    assert decide(world.state, CallDelayed(turn.task_id, 1, limited, 2.5), now) == []


def test_a_snapshot_while_the_answer_streams_has_the_text_so_far() -> None:
    world = streaming_world()

    snapshot = answer(world, GetSnapshot())

    assert isinstance(snapshot, SessionSnapshot)
    assert [message.content for message in snapshot.messages] == [Text("why?"), Text("beca")]
    assert snapshot.messages[-1].state is MessageState.STREAMING


def test_an_answer_keeps_its_id_and_the_time_of_its_first_part() -> None:
    world = streaming_world()
    turn = world.state.turn
    assert turn is not None
    begun = turn.answer
    assert begun is not None

    world.run_to_rest()

    ended = world.stored_message(begun.message_id)
    assert ended is not None
    assert ended.created_at == begun.created_at
    assert ended.state is MessageState.COMPLETE


def test_a_busy_session_says_so_before_anything_else() -> None:
    world = streaming_world()

    assert code_of(answer(world, SubmitTurn(text=" "))) is ErrorCode.SESSION_BUSY
    assert code_of(answer(world, ResumeTurn())) is ErrorCode.SESSION_BUSY

    world.end_call()
    world.call_step()
    turn = world.state.turn
    assert turn is not None
    assert turn.phase is Phase.SETTLING
    assert code_of(answer(world, ResumeTurn())) is ErrorCode.SESSION_BUSY


def test_text_that_no_store_could_take_is_refused_and_the_session_goes_on() -> None:
    world = ready_world()

    assert code_of(answer(world, SubmitTurn(text="half a pair: \ud83d"))) is ErrorCode.INVALID_ARGUMENT
    assert code_of(answer(world, SubmitTurn(text=" \n"))) is ErrorCode.INVALID_ARGUMENT
    assert world.state.turn is None
    assert world.state.failure is None


def test_a_turn_that_was_aborted_in_the_queue_has_a_stored_end_that_says_so() -> None:
    world = ready_world()
    world.take_slot(RIVALS[0])
    request = world.ask(SubmitTurn(text="why?"))
    world.registry_step()
    world.notice_step()
    world.commit(1)
    world.store_step()
    task_id = world.answers[request]
    assert isinstance(task_id, str)
    assert world.state.known_record().status is SessionStatus.QUEUED

    assert answer(world, AbortTurn()) is True
    world.run_to_rest()
    world.release()
    world.run_to_rest()

    request = world.ask(WaitTurn(task_id))
    world.run_to_rest()
    outcome = world.answers[request]
    assert isinstance(outcome, TaskOutcome)
    assert outcome.status is SessionStatus.ABORTED
    assert outcome.prompt == "why?"
    assert world.calls == {}


def test_a_failed_turn_that_said_nothing_still_tells_its_error_after_a_reload() -> None:
    world = streaming_world()
    world.run_to_rest()
    request = world.ask(SubmitTurn(text="and now?"))
    for _ in range(4):
        world.registry_step()
        world.notice_step()
        world.commit(1)
        world.store_step()
    task_id = world.answers[request]
    assert isinstance(task_id, str)

    world.end_call(ErrorInfo(ErrorCode.QUOTA_EXCEEDED, "slow down"))
    world.run_to_rest()
    world.release()
    world.run_to_rest()
    request = world.ask(WaitTurn(task_id))
    world.run_to_rest()

    outcome = world.answers[request]
    assert isinstance(outcome, TaskOutcome)
    assert outcome.status is SessionStatus.FAILED
    assert outcome.error == ErrorInfo(ErrorCode.QUOTA_EXCEEDED, "slow down")


def test_the_outcome_of_an_old_turn_with_text_and_tool_calls_names_its_question() -> None:
    world = streaming_world()
    world.ask(Subscribe("subscriber"))
    world.say(ToolCallPart(0, "call_0", "tool", "{}"))
    world.run_to_rest()
    (task_id,) = world.outcomes
    world.release()
    world.run_to_rest()

    request = world.ask(WaitTurn(task_id))
    world.run_to_rest()

    outcome = world.answers[request]
    assert isinstance(outcome, TaskOutcome)
    assert outcome.prompt == "why?"
    assert outcome.answer == "beca"
    assert [call.name for call in outcome.tool_calls] == ["tool"]


def test_a_crash_in_the_middle_of_an_answer_keeps_the_text_and_marks_it() -> None:
    world = streaming_world()

    world.crash()
    world.run_to_rest()

    snapshot = answer(world, GetSnapshot())
    assert isinstance(snapshot, SessionSnapshot)
    assert snapshot.record.status is SessionStatus.ABORTED
    assert snapshot.messages[-1].content == Text("beca")
    assert snapshot.messages[-1].state is MessageState.ABORTED


def test_a_resumed_question_gets_a_second_answer_beside_the_partial_one() -> None:
    world = streaming_world()
    world.crash()
    world.run_to_rest()

    world.ask(ResumeTurn())
    world.run_to_rest()

    messages = world.stored().messages
    question, *answers = messages
    assert [message.parent_id for message in answers] == [question.message_id] * 2
    assert [message.state for message in answers] == [MessageState.ABORTED, MessageState.COMPLETE]
    assert world.stored().record.active_leaf_id == answers[1].message_id
    assert code_of(answer(world, ResumeTurn())) is ErrorCode.INVALID_ARGUMENT


def test_a_release_before_the_load_aborts_what_was_asked_for_meanwhile() -> None:
    world = World()
    submit = world.ask(SubmitTurn(text="why?"))
    world.release()
    world.notice_step()

    world.run_to_rest()

    assert code_of(world.answers[submit]) is ErrorCode.ABORTED
    assert world.calls == {}
    assert world.stored().record.status is SessionStatus.IDLE


def test_a_session_that_lost_its_store_refuses_everything_and_says_why() -> None:
    world = streaming_world()
    error = ErrorInfo(ErrorCode.PERSISTENCE_FAILED, "gone")

    world.step(StoreLost(error))

    assert answer(world, GetSnapshot()) == error
    assert answer(world, SubmitTurn(text="still there?")) == error
    assert world.running_call is None


def test_a_session_whose_id_is_taken_is_not_made_and_serves_all_others() -> None:
    world = ready_world()
    world.ask(SubmitTurn(text="why?"))
    world.run_to_rest()
    before = world.stored().messages
    world.release()
    world.run_to_rest()

    world.open(NewSession(title="the same again"))
    request = world.ask(GetSnapshot())
    world.store_step()

    assert code_of(world.answers[world.creation]) is ErrorCode.CONFLICT
    assert isinstance(world.answers[request], SessionSnapshot)
    assert world.stored().messages == before
