"""How a session comes to its state: made new, or taken from the store and repaired."""

from __future__ import annotations

import msgspec

from actors.agents import DEFAULT_EXECUTOR
from actors.conversation import Message, MessageState, Role, Text
from actors.errors import ErrorCode, ErrorInfo
from actors.events import Lagged, TaskFinished
from actors.records import (
    CallState,
    PutMessage,
    PutSession,
    SessionStatus,
    StoredSession,
    TaskRecord,
    WriteOp,
)
from actors.session.effects import Effect, Now, TellLost
from actors.session.outcome import result_message, stored_outcome
from actors.session.protocol import NewSession
from actors.session.questions import new_question
from actors.session.state import Continuation, SessionState
from actors.session.status import BUSY
from actors.session.turn import Executor, Phase, Turn, executor_of
from actors.tree import ConversationTree

__all__ = ["create", "take_over"]

_CUT = ErrorInfo(ErrorCode.ABORTED, "the engine ended before the answer did")


def create(state: SessionState, new: NewSession, now: Now, *, then: Continuation) -> list[Effect]:
    state.epoch = 1
    state.record = new.record(state.session_id, now.at)
    effects = _begin_events(state, 0, at_rest=True)
    return effects + state.write(PutSession(state.record), immediate=True, then=then)


def take_over(state: SessionState, stored: StoredSession, now: Now, *, then: Continuation) -> list[Effect]:
    """Go on from what the store has. A turn that waits for a person still does.

    Any other that it shows as unfinished was cut: end it, keep its text, give every tool call its result.
    `then` follows when that end is durable, so that nobody is told of one that another crash takes back.
    """
    state.record = record = stored.record
    state.tree = ConversationTree(())
    for message in stored.messages:
        state.put_message(message)
    state.epoch = stored.epoch
    state.revision = state.saved_revision = stored.revision
    state.announced_status = record.status
    effects = _begin_events(state, record.event_seq, at_rest=record.at_rest)
    if record.status is SessionStatus.WAITING_CONFIRMATION and record.task is not None:
        state.turn = _waiting_turn(state, record.task)
        return effects + then(state, now)
    cut = [message for message in state.tree if message.state is MessageState.STREAMING]
    if cut or record.status in BUSY or record.queued:
        return effects + _end_cut(state, cut, now, then)
    return effects + then(state, now)


def _begin_events(state: SessionState, seq: int, *, at_rest: bool) -> list[Effect]:
    inherited = state.inheritance
    state.events.begin(state.epoch, seq, inherited.subscribers, inherited.handover, at_rest=at_rest)
    if inherited.handover is None and inherited.subscribers:
        return [TellLost(Lagged(), inherited.subscribers)]
    return []


def _waiting_turn(state: SessionState, task: TaskRecord) -> Turn:
    question = state.tree.find(task.question_id)
    assert question is not None, "a task's question is in its conversation"
    turn = Turn(
        task.task_id,
        question,
        _executor(state, task),
        is_new=False,
        priority=task.priority,
        replay=task.replay,
        system_prompt=task.system_prompt,
    )
    turn.phase = Phase.WAITING
    turn.number = task.number
    turn.model_calls = task.model_calls
    state.scheduler.restore(task.calls)
    turn.steering = task.steering
    leaf_id = state.known_record().active_leaf_id
    assert leaf_id is not None
    turn.leaf_id = turn.request_message_id = leaf_id
    return turn


def _executor(state: SessionState, task: TaskRecord) -> Executor:
    record = state.known_record()
    agent = None if task.executor_id == DEFAULT_EXECUTOR else state.environment.find_agent(task.executor_id)
    return executor_of(record, task.executor_id, agent)


def _end_cut(state: SessionState, cut: list[Message], now: Now, then: Continuation) -> list[Effect]:
    record = state.known_record()
    failure = state.inheritance.failure
    error = failure or _CUT
    message_state = MessageState.ABORTED if failure is None else MessageState.FAILED
    ended = [msgspec.structs.replace(message, state=message_state, error=error) for message in cut]
    leaf_id = ended[-1].message_id if ended else record.active_leaf_id
    task = record.task
    if task is not None:
        for call in task.calls:
            if call.state is CallState.AWAITING_APPROVAL or call.state is CallState.SCHEDULED:
                output = "The engine ended before this tool was run."
                call = msgspec.structs.replace(call, state=CallState.CANCELLED, output=output)  # noqa: PLW2901
            assert leaf_id is not None
            ended.append(result_message(state, task.task_id, leaf_id, call, now))
            leaf_id = ended[-1].message_id
        if task.calls or not cut:
            ended.append(_empty_answer(state, task.task_id, leaf_id, message_state, error, now))
            leaf_id = ended[-1].message_id
        for question in task.steering:
            ended.append(new_question(state, question, leaf_id, task.task_id, now))
            leaf_id = ended[-1].message_id
    for queued in record.queued:
        ended.append(new_question(state, queued.question, leaf_id, queued.task_id, now))
        leaf_id = ended[-1].message_id
        ended.append(_empty_answer(state, queued.task_id, leaf_id, MessageState.ABORTED, _CUT, now))
        leaf_id = ended[-1].message_id
    ops: list[WriteOp] = []
    for message in ended:
        state.put_message(message)
        ops.append(PutMessage(message))
    status = record.status
    if status in BUSY:
        status = SessionStatus.ABORTED if failure is None else SessionStatus.FAILED
    put = state.change_record(
        now,
        status=status,
        active_leaf_id=leaf_id,
        task=None,
        queued=(),
        error=error if status is SessionStatus.FAILED else None,
    )

    def announced(state: SessionState, now: Now) -> list[Effect]:
        task_id = None if task is None else task.task_id
        effects = state.publish_change(put.record, task_id, now)
        outcome = None if task_id is None else stored_outcome(state, task_id)
        if outcome is not None:
            effects += state.publish(TaskFinished(outcome), task_id, now)
        return effects + then(state, now)

    return state.write(*ops, put, immediate=True, then=announced)


def _empty_answer(
    state: SessionState,
    task_id: str,
    parent_id: str | None,
    message_state: MessageState,
    error: ErrorInfo,
    now: Now,
) -> Message:
    return Message(
        message_id=state.new_id(),
        parent_id=parent_id,
        role=Role.ASSISTANT,
        content=Text(),
        created_at=now.at,
        state=message_state,
        task_id=task_id,
        model=state.known_record().model,
        error=error,
    )
