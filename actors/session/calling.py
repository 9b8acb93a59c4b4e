"""Calls the model, with the branch as it is."""

from __future__ import annotations

from collections.abc import Iterable

from actors.conversation import Message
from actors.events import MessageAdded
from actors.models.base import ModelRequest
from actors.records import ChatMode, PutMessage, Question, SessionRecord, SessionStatus
from actors.session.effects import CallModel, Effect, Now
from actors.session.questions import new_question
from actors.session.state import SessionState
from actors.session.turn import Phase, Turn
from actors.tree import sendable

__all__ = ["announce_asked", "call_model", "put_question", "start"]


def start(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    effects: list[Effect] = []
    if state.known_record().status is not SessionStatus.RUNNING:
        put = state.change_record(now, status=SessionStatus.RUNNING)
        effects += state.write(put, immediate=False)
        effects += state.publish_change(put.record, turn.task_id, now)
    turn.started_seconds = now.seconds
    return effects + call_model(state, turn, now)


def call_model(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    """Ask the model with the branch as it is; what was said to the running turn joins it here."""
    if turn.steering:
        return _join_steering(state, turn, now)
    turn.phase = Phase.RUNNING
    turn.model_calls += 1
    turn.begin_answer()
    return [CallModel(turn.task_id, turn.executor.model, _request(state, turn))]


def _request(state: SessionState, turn: Turn) -> ModelRequest:
    record = state.known_record()
    system_prompt = turn.executor.system_prompt if turn.system_prompt is None else turn.system_prompt
    return ModelRequest(
        messages=sendable(state.tree.branch(turn.leaf_id)),
        system_prompt="\n\n".join(text for text in (system_prompt, *record.knowledge) if text),
        tools=tuple(tool.definition for tool in state.environment.tools)
        if record.mode is ChatMode.AGENT
        else (),
    )


def _join_steering(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    """Put it into the conversation; the model is asked when that is durable."""
    joined = [put_question(state, turn, question, now) for question in turn.steering]
    turn.steering = ()
    turn.phase = Phase.STORING
    put = state.change_record(now, active_leaf_id=turn.leaf_id, task=turn.record())

    def stored(state: SessionState, now: Now) -> list[Effect]:
        effects = announce_asked(state, turn, joined, put.record, now)
        return effects + (call_model(state, turn, now) if turn.phase is Phase.STORING else [])

    return state.write(*map(PutMessage, joined), put, immediate=True, then=stored)


def announce_asked(
    state: SessionState, turn: Turn, added: Iterable[Message], record: SessionRecord, now: Now
) -> list[Effect]:
    effects: list[Effect] = []
    for message in added:
        effects += state.publish(MessageAdded(message), turn.task_id, now)
    return effects + state.publish_change(record, turn.task_id, now)


def put_question(state: SessionState, turn: Turn, question: Question, now: Now) -> Message:
    message = new_question(state, question, turn.leaf_id, turn.task_id, now)
    state.put_message(message)
    turn.leaf_id = message.message_id
    return message
