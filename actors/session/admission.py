"""A turn's way to its slot: asked, admitted, stored, started."""

from __future__ import annotations

from actors.agents import DEFAULT_EXECUTOR
from actors.conversation import Message, Text
from actors.errors import ErrorCode, ErrorInfo
from actors.events import MessageAdded
from actors.records import (
    PutMessage,
    PutSession,
    Question,
    QueuedQuestion,
    RequestRecord,
    SessionRecord,
    SessionStatus,
    WriteOp,
)
from actors.session import settling, tool_calls
from actors.session.calling import start
from actors.session.effects import Answered, Effect, Now, TellRegistry
from actors.session.protocol import OnBusy, SubmitTurn
from actors.session.questions import new_question
from actors.session.refusals import busy, unusable_question
from actors.session.state import SessionState
from actors.session.turn import Executor, Phase, Turn, executor_of

__all__ = [
    "admit",
    "admit_queued",
    "find_executor",
    "repeated",
    "slot_granted",
    "slot_queued",
    "slot_refused",
    "submit",
]

TITLE_LENGTH = 60
REQUESTS_KEPT = 32
"""So many of the latest requests of a session are known, should they come again."""


def submit(state: SessionState, message: SubmitTurn, now: Now, request: int) -> list[Effect] | ErrorInfo:
    turn = state.turn
    if turn is not None and message.on_busy is OnBusy.REJECT:
        return busy(state)
    question = Question(message.text, message.attachments, message.images, message.references)
    refusal = unusable_question(question)
    if refusal is not None:
        return refusal
    executor = find_executor(state, message.executor_id)
    if isinstance(executor, ErrorInfo):
        return executor
    if turn is None:
        return admit(state, _asked(state, question, executor, message, now), request)
    match message.on_busy:
        case OnBusy.STEER if turn.phase not in (Phase.ADMITTING, Phase.SETTLING):
            return _steer(state, turn, question, message, now, request)
        case OnBusy.INTERRUPT:
            effects = _queue(state, question, message, now, request, first=True)
            return effects + settling.abort_turn(state, turn, now)
        case _:
            # What comes too early or too late to join the running turn is asked next.
            first = message.on_busy is OnBusy.STEER
            return _queue(state, question, message, now, request, first=first)


def repeated(state: SessionState, request_id: str | None, now: Now, request: int) -> list[Effect] | None:
    """The answer to a request that has begun a task already; None to a new one."""
    if request_id is None:
        return None
    turn = state.turn
    if turn is not None and turn.request_id == request_id and turn.admitters:
        turn.admitters.append(request)
        return []
    for known in state.known_record().requests:
        if known.request_id == request_id:
            answer = Answered(request, known.task_id)
            return state.when_saved(now, lambda _state, _now, answer=answer: [answer])
    return None


def find_executor(state: SessionState, executor_id: str) -> Executor | ErrorInfo:
    """Who answers under this id.

    `EXECUTOR_NOT_FOUND` for an unknown agent or model, `INVALID_ARGUMENT` for settings that the model does
    not take, the session's or the agent's.
    """
    agent = None
    if executor_id != DEFAULT_EXECUTOR:
        agent = state.environment.find_agent(executor_id)
        if agent is None:
            return ErrorInfo(
                ErrorCode.EXECUTOR_NOT_FOUND,
                f"there is no agent {executor_id!r}; {DEFAULT_EXECUTOR!r} is the session's own model",
                {"kind": "agent"},
            )
    executor = executor_of(state.known_record(), executor_id, agent)
    return state.environment.check_model(executor.model, executor.settings) or executor


def _asked(
    state: SessionState, question: Question, executor: Executor, message: SubmitTurn, now: Now
) -> Turn:
    asked = new_question(state, question, state.known_record().active_leaf_id, state.new_id(), now)
    assert asked.task_id is not None
    return Turn(
        asked.task_id,
        asked,
        executor,
        is_new=True,
        priority=message.priority,
        request_id=message.request_id,
    )


def _steer(
    state: SessionState, turn: Turn, question: Question, message: SubmitTurn, now: Now, request: int
) -> list[Effect]:
    turn.steering = (*turn.steering, question)
    task_id = turn.task_id
    put = _remember(state, message.request_id, task_id, now)
    return _acknowledge(state, put, task_id, request)


def _queue(
    state: SessionState, question: Question, message: SubmitTurn, now: Now, request: int, *, first: bool
) -> list[Effect]:
    task_id = state.new_id()
    queued = QueuedQuestion(task_id, question, message.priority, message.executor_id)
    others = state.known_record().queued
    put = _remember(
        state,
        message.request_id,
        task_id,
        now,
        queued=(queued, *others) if first else (*others, queued),
    )
    state.queue_waiters[task_id] = []
    return _acknowledge(state, put, task_id, request)


def _acknowledge(state: SessionState, put: PutSession, task_id: str, request: int) -> list[Effect]:
    def stored(state: SessionState, now: Now) -> list[Effect]:
        return [*state.publish_change(put.record, None, now), Answered(request, task_id)]

    return state.write(put, immediate=True, then=stored)


def _remember(
    state: SessionState, request_id: str | None, task_id: str, now: Now, **changes: object
) -> PutSession:
    """Change the record, with the turn as it is, and keep the request in mind."""
    record = state.known_record()
    if request_id is not None:
        kept = record.requests[-REQUESTS_KEPT + 1 :]
        changes["requests"] = (*kept, RequestRecord(request_id, task_id))
    if state.turn is not None and record.task is not None:
        changes["task"] = state.task_record(state.turn)
    return state.change_record(now, **changes)


def admit(state: SessionState, turn: Turn, request: int) -> list[Effect]:
    """Ask for a slot; nothing is stored before there is one or a place in the queue."""
    turn.admitters.append(request)
    state.turn = turn
    return [TellRegistry(turn.slot_request(state.session_id))]


def admit_queued(state: SessionState, now: Now) -> list[Effect]:
    """Ask for a slot for the question that waits longest behind the turn that has just ended."""
    record = state.known_record()
    queued = record.queued[0]
    executor = find_executor(state, queued.executor_id)
    asked = new_question(state, queued.question, record.active_leaf_id, queued.task_id, now)
    error = None
    if isinstance(executor, ErrorInfo):
        error = executor
        executor = Executor(queued.executor_id, record.model, record.system_prompt, record.approval_mode)
    turn = state.turn = Turn(
        queued.task_id, asked, executor, is_new=True, is_queued=True, priority=queued.priority
    )
    turn.waiters = state.queue_waiters.pop(queued.task_id, [])
    if queued.aborted:
        return settling.settle(state, turn, SessionStatus.ABORTED, settling.STOPPED, now)
    if error is not None:
        return settling.settle(state, turn, SessionStatus.FAILED, error, now)
    return [TellRegistry(turn.slot_request(state.session_id))]


def slot_granted(state: SessionState, task_id: str, now: Now) -> list[Effect]:
    turn = state.current_turn(task_id)
    if turn is None:
        return []  # aborted while the grant was on its way, and returned then
    turn.granted = True
    match turn.phase:
        case Phase.ADMITTING:
            return _store_question(state, turn, SessionStatus.RUNNING, now)
        case Phase.QUEUED:
            return start(state, turn, now)
        case Phase.RESUMING:
            return tool_calls.resume(state, turn, now)
        case _:
            return []  # starts when the question is stored; an end that is being stored returns the slot


def slot_queued(state: SessionState, task_id: str, number: int, now: Now) -> list[Effect]:
    turn = state.current_turn(task_id)
    if turn is None:
        return []
    turn.number = number
    if turn.phase is not Phase.ADMITTING:
        return []  # it was admitted before, and the store knows
    return _store_question(state, turn, SessionStatus.QUEUED, now)


def slot_refused(state: SessionState, task_id: str, error: ErrorInfo) -> list[Effect]:
    turn = state.current_turn(task_id)
    if turn is None:
        return []
    state.turn = None
    return turn.refuse_askers(error)


def _store_question(state: SessionState, turn: Turn, status: SessionStatus, now: Now) -> list[Effect]:
    turn.phase = Phase.STORING
    ops: list[WriteOp] = []
    changes: dict[str, object] = {}
    if turn.is_new:
        state.put_message(turn.question)
        ops.append(PutMessage(turn.question))
        if not state.known_record().title:
            changes["title"] = _title_of(turn.question)
    put = put_admission(state, turn, status, now, **changes)
    return state.write(
        *ops, put, immediate=True, then=lambda state, now: _question_stored(state, turn, put.record, now)
    )


def put_admission(
    state: SessionState, turn: Turn, status: SessionStatus, now: Now, **changes: object
) -> PutSession:
    record = state.known_record()
    if turn.request_id is not None:
        kept = record.requests[-REQUESTS_KEPT + 1 :]
        changes["requests"] = (*kept, RequestRecord(turn.request_id, turn.task_id))
    if turn.is_queued:
        changes["queued"] = tuple(queued for queued in record.queued if queued.task_id != turn.task_id)
    return state.change_record(
        now, status=status, active_leaf_id=turn.leaf_id, task=state.task_record(turn), error=None, **changes
    )


def _title_of(question: Message) -> str:
    assert isinstance(question.content, Text)
    line = " ".join(question.content.text.split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1] + "…"


def _question_stored(state: SessionState, turn: Turn, record: SessionRecord, now: Now) -> list[Effect]:
    effects: list[Effect] = []
    if turn.is_new:
        effects += state.publish(MessageAdded(turn.question), turn.task_id, now)
    effects += state.publish_change(record, turn.task_id, now)
    effects += [Answered(request, turn.task_id) for request in turn.admitters]
    turn.admitters = []
    if turn.phase is not Phase.STORING:
        return effects  # aborted meanwhile
    if turn.granted:
        return effects + start(state, turn, now)
    turn.phase = Phase.QUEUED
    return effects
