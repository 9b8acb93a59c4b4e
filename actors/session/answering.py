"""A turn's way from its slot to its durable end."""

from __future__ import annotations

from typing import assert_never

from actors.conversation import Message, MessageState, Part, Text, TextPart, ThoughtPart
from actors.errors import ErrorCode, ErrorInfo
from actors.events import AnswerStreamed, MessageAdded, SessionStatusChanged, TaskFinished, TaskOutcome
from actors.models.base import ModelRequest
from actors.records import AppendText, PutMessage, SessionStatus, WriteOp
from actors.registry.protocol import ReturnSlot
from actors.session.effects import Answered, CallModel, CancelCall, Effect, Now, Refused, TellRegistry
from actors.session.outcome import answer_messages, answer_text, outcome_of, stored_outcome
from actors.session.state import SessionState
from actors.session.turn import Phase, Turn
from actors.tree import sendable

__all__ = ["abort", "abort_turn", "parts_arrived", "start", "turn_ended", "wait"]


def start(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    effects: list[Effect] = []
    record = state.known_record()
    if record.status is not SessionStatus.RUNNING:
        put_session = state.change_record(
            now, status=SessionStatus.RUNNING, leaf_id=record.active_leaf_id, task=record.task
        )
        effects += state.write(put_session, immediate=False)
        effects += state.publish(SessionStatusChanged(SessionStatus.RUNNING), turn.task_id, now)
    turn.phase = Phase.RUNNING
    turn.started_seconds = now.seconds
    branch = state.tree.branch(turn.question.message_id)
    request = ModelRequest(messages=sendable(branch), system_prompt=record.system_prompt)
    effects.append(CallModel(turn.task_id, record.model, request))
    return effects


def parts_arrived(state: SessionState, task_id: str, parts: tuple[Part, ...], now: Now) -> list[Effect]:
    turn = state.current_turn(task_id)
    if turn is None or turn.phase is not Phase.RUNNING:
        return []  # a late part of a turn that was stopped
    if turn.first_part_seconds is None:
        turn.first_part_seconds = now.seconds
    turn.parts += len(parts)
    turn.builder.add(parts)
    text = "".join([part.text for part in parts if type(part) is TextPart])
    thought = "".join([part.text for part in parts if type(part) is ThoughtPart])
    effects: list[Effect] = []
    if text or thought:
        ops: list[WriteOp] = []
        if turn.answer is None:
            turn.answer = answer_text(state, turn, Text(), MessageState.STREAMING, now)
            ops.append(PutMessage(turn.answer))
        ops.append(AppendText(turn.answer.message_id, text, thought))
        effects += state.write(*ops, immediate=False)
    return effects + state.publish(AnswerStreamed(parts), task_id, now)


def turn_ended(state: SessionState, task_id: str, error: ErrorInfo | None, now: Now) -> list[Effect]:
    turn = state.current_turn(task_id)
    if turn is None or turn.phase is not Phase.RUNNING:
        return []
    if error is None:
        return _settle(state, turn, SessionStatus.COMPLETED, None, now)
    return _settle(state, turn, SessionStatus.FAILED, error, now)


def abort(state: SessionState, task_id: str | None, now: Now, request: int) -> list[Effect]:
    turn = state.turn
    if turn is None or turn.phase is Phase.SETTLING or task_id not in (None, turn.task_id):
        return [Answered(request, False)]
    return [Answered(request, True), *abort_turn(state, turn, now)]


def abort_turn(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    error = ErrorInfo(ErrorCode.ABORTED, "the turn was stopped")
    match turn.phase:
        case Phase.ADMITTING:  # nothing is stored yet
            state.turn = None
            return [*turn.refuse_askers(error), TellRegistry(ReturnSlot(state.session_id, turn.task_id))]
        case Phase.RUNNING:
            return [CancelCall(), *_settle(state, turn, SessionStatus.ABORTED, error, now)]
        case Phase.STORING | Phase.QUEUED:
            return _settle(state, turn, SessionStatus.ABORTED, error, now)
        case Phase.SETTLING:
            return []
        case _:
            assert_never(turn.phase)


def _settle(
    state: SessionState, turn: Turn, status: SessionStatus, error: ErrorInfo | None, now: Now
) -> list[Effect]:
    """Make the turn's end durable; it is announced after that, and then the slot is free."""
    turn.phase = Phase.SETTLING
    answer = turn.builder.build()
    added = answer_messages(state, turn, answer, status, error, now)
    for message in added:
        state.tree.put(message)
    put_session = state.change_record(
        now,
        status=status,
        leaf_id=added[-1].message_id,
        task=None,
        error=error if status is SessionStatus.FAILED else None,
    )
    outcome = outcome_of(state, turn, answer, status, error, now)
    return state.write(
        *(PutMessage(message) for message in added),
        put_session,
        immediate=True,
        then=lambda state, now: _settled(state, turn, added, outcome, now),
    )


def _settled(
    state: SessionState, turn: Turn, added: list[Message], outcome: TaskOutcome, now: Now
) -> list[Effect]:
    state.turn = None
    state.last_outcome = outcome
    effects: list[Effect] = [TellRegistry(ReturnSlot(state.session_id, turn.task_id))]
    for message in added:
        effects += state.publish(MessageAdded(message), turn.task_id, now)
    effects += state.publish(SessionStatusChanged(outcome.status), turn.task_id, now)
    effects += state.publish(TaskFinished(outcome), turn.task_id, now)
    effects += [Answered(request, outcome) for request in turn.waiters]
    return effects + state.leave_if_settled()


def wait(state: SessionState, task_id: str, request: int) -> list[Effect]:
    turn = state.current_turn(task_id)
    if turn is not None:
        turn.waiters.append(request)
        return []
    if state.last_outcome is not None and state.last_outcome.task_id == task_id:
        return [Answered(request, state.last_outcome)]
    outcome = stored_outcome(state, task_id)
    if outcome is not None:
        return [Answered(request, outcome)]
    error = ErrorInfo(ErrorCode.INVALID_ARGUMENT, f"session {state.session_id} knows no task {task_id}")
    return [Refused(request, error)]
