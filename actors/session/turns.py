"""One turn of a session, from the question to its durable end."""

from __future__ import annotations

from typing import assert_never

from actors.conversation import Message, MessageState, Part, Role, Text, TextPart, ThoughtPart
from actors.errors import ErrorCode, ErrorInfo
from actors.events import AnswerStreamed, MessageAdded, SessionStatusChanged, TaskFinished, TaskOutcome
from actors.models.base import ModelRequest
from actors.records import AppendText, PutMessage, SessionStatus, TaskRecord, WriteOp
from actors.registry.protocol import RequestSlot, ReturnSlot
from actors.session.effects import Answered, CallModel, CancelCall, Effect, Now, Refused, TellRegistry
from actors.session.outcome import answer_messages, answer_text, outcome_of, stored_outcome
from actors.session.protocol import ResumeTurn, SubmitTurn
from actors.session.state import Phase, SessionState, Turn
from actors.session.tree import sendable

__all__ = [
    "abort",
    "abort_turn",
    "parts_arrived",
    "resume",
    "slot_granted",
    "slot_queued",
    "slot_refused",
    "submit",
    "turn_ended",
    "wait",
]

TITLE_LENGTH = 60

# --- from the question to the slot ------------------------------------------------------------------


def submit(state: SessionState, message: SubmitTurn, now: Now, request: int) -> list[Effect]:
    if not message.text.strip():
        return [Refused(request, ErrorInfo(ErrorCode.INVALID_ARGUMENT, "the message is empty"))]
    question = Message(
        message_id=state.new_id(),
        parent_id=state.known_record().active_leaf_id,
        role=Role.USER,
        content=Text(message.text),
        created_at=now.at,
        task_id=state.new_id(),
    )
    return _admit(state, question, message.priority, request, is_new=True)


def resume(state: SessionState, message: ResumeTurn, request: int) -> list[Effect]:
    question = state.tree.unanswered_question(state.known_record().active_leaf_id)
    if question is None:
        error = ErrorInfo(ErrorCode.INVALID_ARGUMENT, "there is no question without a complete answer")
        return [Refused(request, error)]
    return _admit(state, question, message.priority, request, is_new=False)


def _admit(
    state: SessionState, question: Message, priority: int, request: int, *, is_new: bool
) -> list[Effect]:
    """Ask for a slot; nothing is stored before there is one or a place in the queue."""
    record = state.known_record()
    if state.turn is not None:
        error = ErrorInfo(
            ErrorCode.SESSION_BUSY, f"session {state.session_id} is busy with task {state.turn.task_id}"
        )
        return [Refused(request, error)]
    unknown = state.check_model(record.model)
    if unknown is not None:
        return [Refused(request, unknown)]
    task_id = question.task_id if is_new and question.task_id is not None else state.new_id()
    state.turn = Turn(task_id, question, is_new=is_new, priority=priority, request=request)
    return [TellRegistry(RequestSlot(state.session_id, task_id, priority))]


def slot_granted(state: SessionState, task_id: str, now: Now) -> list[Effect]:
    turn = _current(state, task_id)
    if turn is None:
        return [TellRegistry(ReturnSlot(state.session_id, task_id))]  # aborted while it was on its way
    turn.granted = True
    match turn.phase:
        case Phase.ADMITTING:
            return _store_question(state, turn, SessionStatus.RUNNING, 0, now)
        case Phase.QUEUED:
            return _start(state, turn, now)
        case _:
            return []  # starts when the question is stored; an end that is being stored returns the slot


def slot_queued(state: SessionState, task_id: str, number: int, now: Now) -> list[Effect]:
    turn = _current(state, task_id)
    if turn is None:
        return []
    return _store_question(state, turn, SessionStatus.QUEUED, number, now)


def slot_refused(state: SessionState, task_id: str, error: ErrorInfo) -> list[Effect]:
    turn = _current(state, task_id)
    if turn is None:
        return []
    state.turn = None
    refused: list[Effect] = [
        Refused(request, error) for request in (turn.submitter, *turn.waiters) if request
    ]
    return refused + state.leave_if_settled()


def _store_question(
    state: SessionState, turn: Turn, status: SessionStatus, number: int, now: Now
) -> list[Effect]:
    turn.phase = Phase.STORING
    ops: list[WriteOp] = []
    title = None
    if turn.is_new:
        state.tree.put(turn.question)
        ops.append(PutMessage(turn.question))
        if not state.known_record().title:
            title = _title_of(turn.question)
    question_id = turn.question.message_id
    task = TaskRecord(turn.task_id, question_id, turn.priority, number)
    ops.append(state.change_record(now, status=status, leaf_id=question_id, task=task, title=title))
    return state.write(*ops, immediate=True, then=lambda state, now: _question_stored(state, turn, now))


def _title_of(question: Message) -> str:
    assert isinstance(question.content, Text)
    line = " ".join(question.content.text.split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1] + "…"


def _question_stored(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    effects: list[Effect] = []
    if turn.is_new:
        effects += state.publish(MessageAdded(turn.question), turn.task_id, now)
    if turn.submitter:
        effects.append(Answered(turn.submitter, turn.task_id))
        turn.submitter = None
    if turn.phase is not Phase.STORING:
        return effects  # aborted meanwhile
    effects += state.publish(SessionStatusChanged(state.known_record().status), turn.task_id, now)
    if turn.granted:
        return effects + _start(state, turn, now)
    turn.phase = Phase.QUEUED
    return effects


# --- from the slot to the end -----------------------------------------------------------------------


def _start(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
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
    turn = _current(state, task_id)
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
        if turn.answer_id is None:
            turn.answer_id = state.new_id()
            ops.append(PutMessage(answer_text(state, turn, Text(), MessageState.STREAMING, now)))
        ops.append(AppendText(turn.answer_id, text, thought))
        effects += state.write(*ops, immediate=False)
    return effects + state.publish(AnswerStreamed(parts), task_id, now)


def turn_ended(state: SessionState, task_id: str, error: ErrorInfo | None, now: Now) -> list[Effect]:
    turn = _current(state, task_id)
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
            refused: list[Effect] = [
                Refused(request, error) for request in (turn.submitter, *turn.waiters) if request
            ]
            return [*refused, TellRegistry(ReturnSlot(state.session_id, turn.task_id))]
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
    leaf_id = added[-1].message_id if added else turn.question.message_id
    put_session = state.change_record(
        now,
        status=status,
        leaf_id=leaf_id,
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
    if state.turn is not None and state.turn.task_id == task_id:
        state.turn.waiters.append(request)
        return []
    if state.last_outcome is not None and state.last_outcome.task_id == task_id:
        return [Answered(request, state.last_outcome)]
    stored = stored_outcome(state, task_id)
    if stored is not None:
        return [Answered(request, stored)]
    error = ErrorInfo(ErrorCode.INVALID_ARGUMENT, f"session {state.session_id} knows no task {task_id}")
    return [Refused(request, error)]


def _current(state: SessionState, task_id: str) -> Turn | None:
    turn = state.turn
    return turn if turn is not None and turn.task_id == task_id else None
