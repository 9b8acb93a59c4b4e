"""A turn's way to its slot: asked, admitted, stored, started."""

from __future__ import annotations

from actors.conversation import Message, Role, Text
from actors.errors import ErrorCode, ErrorInfo
from actors.events import MessageAdded, SessionStatusChanged
from actors.records import PutMessage, SessionStatus, TaskRecord, WriteOp
from actors.registry.protocol import RequestSlot
from actors.session.answering import start
from actors.session.effects import Answered, Effect, Now, Refused, TellRegistry
from actors.session.protocol import ResumeTurn, SubmitTurn
from actors.session.state import SessionState
from actors.session.turn import Phase, Turn

__all__ = ["resume", "slot_granted", "slot_queued", "slot_refused", "submit"]

TITLE_LENGTH = 60


def submit(state: SessionState, message: SubmitTurn, now: Now, request: int) -> list[Effect]:
    refusal = _busy(state) or _unusable(message.text)
    if refusal is not None:
        return [Refused(request, refusal)]
    question = Message(
        message_id=state.new_id(),
        parent_id=state.known_record().active_leaf_id,
        role=Role.USER,
        content=Text(message.text),
        created_at=now.at,
        task_id=state.new_id(),
    )
    assert question.task_id is not None
    turn = Turn(question.task_id, question, is_new=True, priority=message.priority, submitter=request)
    return _admit(state, turn)


def resume(state: SessionState, message: ResumeTurn, request: int) -> list[Effect]:
    refusal = _busy(state)
    if refusal is not None:
        return [Refused(request, refusal)]
    question = state.tree.unanswered_question(state.known_record().active_leaf_id)
    if question is None:
        refusal = ErrorInfo(ErrorCode.INVALID_ARGUMENT, "there is no question without a complete answer")
        return [Refused(request, refusal)]
    turn = Turn(state.new_id(), question, is_new=False, priority=message.priority, submitter=request)
    return _admit(state, turn)


def _busy(state: SessionState) -> ErrorInfo | None:
    if state.turn is None:
        return None
    return ErrorInfo(
        ErrorCode.SESSION_BUSY, f"session {state.session_id} is busy with task {state.turn.task_id}"
    )


def _unusable(text: str) -> ErrorInfo | None:
    if not text.strip():
        return ErrorInfo(ErrorCode.INVALID_ARGUMENT, "the message is empty")
    try:
        text.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair, which no store and no wire can take
        return ErrorInfo(ErrorCode.INVALID_ARGUMENT, f"the message is not Unicode text: {error.reason}")
    return None


def _admit(state: SessionState, turn: Turn) -> list[Effect]:
    """Ask for a slot; nothing is stored before there is one or a place in the queue."""
    unknown = state.check_model(state.known_record().model)
    if unknown is not None:
        return [Refused(turn.submitter, unknown)]
    state.turn = turn
    return [TellRegistry(RequestSlot(state.session_id, turn.task_id, turn.priority))]


def slot_granted(state: SessionState, task_id: str, now: Now) -> list[Effect]:
    turn = state.current_turn(task_id)
    if turn is None:
        return []  # aborted while the grant was on its way, and returned then
    turn.granted = True
    match turn.phase:
        case Phase.ADMITTING:
            return _store_question(state, turn, SessionStatus.RUNNING, 0, now)
        case Phase.QUEUED:
            return start(state, turn, now)
        case _:
            return []  # starts when the question is stored; an end that is being stored returns the slot


def slot_queued(state: SessionState, task_id: str, number: int, now: Now) -> list[Effect]:
    turn = state.current_turn(task_id)
    if turn is None:
        return []
    return _store_question(state, turn, SessionStatus.QUEUED, number, now)


def slot_refused(state: SessionState, task_id: str, error: ErrorInfo) -> list[Effect]:
    turn = state.current_turn(task_id)
    if turn is None:
        return []
    state.turn = None
    return turn.refuse_askers(error) + state.leave_if_settled()


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
    effects.append(Answered(turn.submitter, turn.task_id))
    turn.submitter = 0
    if turn.phase is not Phase.STORING:
        return effects  # aborted meanwhile
    effects += state.publish(SessionStatusChanged(state.known_record().status), turn.task_id, now)
    if turn.granted:
        return effects + start(state, turn, now)
    turn.phase = Phase.QUEUED
    return effects
