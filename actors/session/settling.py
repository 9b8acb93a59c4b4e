"""The end of a turn: made durable, then announced; and the ways to bring it about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

import msgspec

from actors.answer import Answer
from actors.conversation import Message, MessageState
from actors.errors import ErrorCode, ErrorInfo
from actors.events import MessageAdded, MessageChanged, TaskFinished, TaskOutcome
from actors.records import PutMessage, SessionRecord, SessionStatus, WriteOp
from actors.registry.protocol import ReturnSlot
from actors.session.effects import Answered, Effect, Now, TellRegistry
from actors.session.outcome import (
    answer_messages,
    answer_of,
    end_message,
    outcome_of,
    result_message,
    stored_outcome,
    waiting_outcome,
)
from actors.session.questions import new_question
from actors.session.state import SessionState
from actors.session.turn import Phase, Turn

__all__ = [
    "STOPPED",
    "abort",
    "abort_queued",
    "abort_turn",
    "announce_answer",
    "settle",
    "stop_leftovers",
    "wait",
]

STOPPED = ErrorInfo(ErrorCode.ABORTED, "the turn was stopped")

_MESSAGE_STATES = {
    SessionStatus.COMPLETED: MessageState.COMPLETE,
    SessionStatus.MAX_TURNS_REACHED: MessageState.COMPLETE,
    SessionStatus.FAILED: MessageState.FAILED,
    SessionStatus.ABORTED: MessageState.ABORTED,
}
_COUNTS_AS_UNREAD = frozenset(
    {SessionStatus.COMPLETED, SessionStatus.FAILED, SessionStatus.MAX_TURNS_REACHED}
)


def abort(state: SessionState, task_id: str | None, now: Now, request: int) -> list[Effect]:
    turn = state.turn
    behind = {
        queued.task_id
        for queued in state.known_record().queued
        if not queued.aborted and (turn is None or queued.task_id != turn.task_id)
    }
    stopped = behind & {task_id} if task_id is not None else behind
    effects = abort_queued(state, stopped, now) if stopped else []
    if turn is not None and turn.phase is not Phase.SETTLING and task_id in (None, turn.task_id):
        effects += abort_turn(state, turn, now)
        return [Answered(request, True), *effects]
    return [Answered(request, bool(stopped)), *effects]


def abort_queued(state: SessionState, task_ids: set[str], now: Now) -> list[Effect]:
    """What was taken stays in the conversation: it is asked in its turn, and ends at once."""
    queued = tuple(
        msgspec.structs.replace(queued, aborted=True) if queued.task_id in task_ids else queued
        for queued in state.known_record().queued
    )
    put = state.change_record(now, queued=queued)
    return state.write(
        put, immediate=True, then=lambda state, now: state.publish_change(put.record, None, now)
    )


def abort_turn(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    match turn.phase:
        case Phase.ADMITTING if turn.is_queued:
            return settle(state, turn, SessionStatus.ABORTED, STOPPED, now)
        case Phase.ADMITTING:  # nothing is stored yet
            state.turn = None
            return [*turn.refuse_askers(STOPPED), TellRegistry(ReturnSlot(state.session_id, turn.task_id))]
        case Phase.READING | Phase.RUNNING | Phase.TOOLS:
            return [state.stop_calls(), *settle(state, turn, SessionStatus.ABORTED, STOPPED, now)]
        case Phase.STORING | Phase.QUEUED | Phase.WAITING | Phase.RESUMING:
            return settle(state, turn, SessionStatus.ABORTED, STOPPED, now)
        case Phase.SETTLING:
            return []
        case _:
            assert_never(turn.phase)


def settle(
    state: SessionState, turn: Turn, status: SessionStatus, error: ErrorInfo | None, now: Now
) -> list[Effect]:
    """Make the turn's end durable; it is announced after that, and then the slot is free."""
    growing = turn.answer
    effects = stop_leftovers(state)
    ops: list[WriteOp] = []
    added: list[Message] = []
    if turn.phase is Phase.ADMITTING:  # it was taken while another turn was unfinished, and acknowledged
        state.put_message(turn.question)
        added.append(turn.question)
    answer = answer_of(state, turn)
    ended = _last_messages(state, turn, answer, status, error, now)
    for message in ended:
        state.put_message(message)
    turn.leaf_id = ended[-1].message_id
    unheard = _unheard(state, turn, now)
    turn.add_usage()
    turn.phase = Phase.SETTLING
    ops += map(PutMessage, (*added, *ended, *unheard))
    record = state.known_record()
    put = state.change_record(
        now,
        status=status,
        active_leaf_id=turn.leaf_id,
        task=None,
        error=error if status is SessionStatus.FAILED else None,
        completed_at=now.at,
        queued=tuple(queued for queued in record.queued if queued.task_id != turn.task_id),
        unread_count=record.unread_count + (status in _COUNTS_AS_UNREAD and not state.active),
    )
    outcome = outcome_of(state, turn, answer, status, error, now)

    def settled(state: SessionState, now: Now) -> list[Effect]:
        effects = _announce(state, turn, added, now)
        effects += announce_answer(state, turn, growing, ended, now)
        effects += _announce(state, turn, unheard, now)
        return effects + _settled(state, turn, put.record, outcome, now)

    return effects + state.write(*ops, put, immediate=True, then=settled)


def stop_leftovers(state: SessionState) -> list[Effect]:
    """Have the slot wait for calls that were stopped one by one, and still clean up."""
    return [state.stop_calls()] if state.scheduler.at_work else []


def _last_messages(
    state: SessionState,
    turn: Turn,
    answer: Answer,
    status: SessionStatus,
    error: ErrorInfo | None,
    now: Now,
) -> list[Message]:
    message_state = _MESSAGE_STATES[status]
    if turn.phase not in (Phase.TOOLS, Phase.WAITING, Phase.RESUMING):
        return answer_messages(state, turn, answer, message_state, error, now)
    messages: list[Message] = []
    state.scheduler.cancel(None, state.tool_policy(turn), "This tool was stopped.", now, begin=False)
    for call in state.scheduler.take_results():
        message = result_message(state, turn.task_id, turn.leaf_id, call, now)
        turn.leaf_id = message.message_id
        messages.append(message)
    return [*messages, end_message(state, turn, message_state, error, now)]


def _unheard(state: SessionState, turn: Turn, now: Now) -> list[Message]:
    """What was said to the turn and came too late for a model call stays in the conversation."""
    unheard: list[Message] = []
    for question in turn.steering:
        message = new_question(state, question, turn.leaf_id, turn.task_id, now)
        state.put_message(message)
        turn.leaf_id = message.message_id
        unheard.append(message)
    turn.steering = ()
    return unheard


def announce_answer(
    state: SessionState, turn: Turn, growing: Message | None, messages: Sequence[Message], now: Now
) -> list[Effect]:
    """Tell of the messages of an answer; the one that was growing is known already."""
    effects: list[Effect] = []
    for message in messages:
        known = growing is not None and message.message_id == growing.message_id
        body = MessageChanged(message) if known else MessageAdded(message)
        effects += state.publish(body, turn.task_id, now)
    return effects


def _announce(state: SessionState, turn: Turn, messages: Iterable[Message], now: Now) -> list[Effect]:
    return announce_answer(state, turn, None, tuple(messages), now)


def _settled(
    state: SessionState, turn: Turn, record: SessionRecord, outcome: TaskOutcome, now: Now
) -> list[Effect]:
    state.turn = None
    state.last_outcome = outcome
    effects: list[Effect] = [TellRegistry(ReturnSlot(state.session_id, turn.task_id))]
    effects += state.publish_change(record, turn.task_id, now)
    effects += state.publish(TaskFinished(outcome), turn.task_id, now)
    effects += [Answered(request, turn.task_id) for request in turn.admitters]
    effects += [Answered(request, outcome) for request in turn.waiters]
    return effects


def wait(state: SessionState, task_id: str, now: Now, request: int) -> list[Effect] | ErrorInfo:
    turn = state.current_turn(task_id)
    if turn is not None and turn.phase is Phase.WAITING:
        return state.when_saved(now, lambda state, now: _answer_waiting(state, turn, now, request))
    if turn is not None:
        turn.waiters.append(request)
        return []
    if any(queued.task_id == task_id for queued in state.known_record().queued):
        state.queue_waiters.setdefault(task_id, []).append(request)
        return []
    outcome = state.last_outcome
    if outcome is None or outcome.task_id != task_id:
        outcome = stored_outcome(state, task_id)
    if outcome is None:
        return ErrorInfo(ErrorCode.INVALID_ARGUMENT, f"session {state.session_id} knows no task {task_id}")
    return [Answered(request, outcome)]


def _answer_waiting(state: SessionState, turn: Turn, now: Now, request: int) -> list[Effect]:
    if turn.phase is Phase.WAITING:
        return [Answered(request, waiting_outcome(state, turn, now))]
    turn.waiters.append(request)  # a person was quicker than the store
    return []
