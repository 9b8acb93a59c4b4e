"""Calls the model, with the branch as it is."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from actors.conversation import Image, Message
from actors.errors import EngineError
from actors.events import MessageAdded
from actors.models.base import ModelRequest
from actors.prompts import PromptContext
from actors.records import ChatMode, ImageMode, PutMessage, Question, SessionRecord, SessionStatus
from actors.session import settling
from actors.session.effects import CallModel, Effect, Now, ReadImages
from actors.session.questions import images_in, new_question, with_images
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
    state.scheduler.begin_turn()
    return effects + call_model(state, turn, now)


def call_model(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    """Ask the model with the branch as it is; what was said to the running turn joins it here."""
    if turn.steering:
        return _join_steering(state, turn, now)
    branch = sendable(state.tree.branch(turn.leaf_id))
    unread = _unread_images(branch) if state.environment.image_mode is ImageMode.OCR else ()
    if unread:
        turn.phase = Phase.READING
        return [ReadImages(turn.task_id, unread)]
    try:
        request = _request(state, turn, branch)
    except EngineError as error:
        return settling.settle(state, turn, SessionStatus.FAILED, error.info, now)
    turn.phase = Phase.RUNNING
    turn.model_calls += 1
    turn.begin_answer()
    return [CallModel(turn.task_id, turn.executor.model, request, turn.priority)]


def _request(state: SessionState, turn: Turn, branch: tuple[Message, ...]) -> ModelRequest:
    record = state.known_record()
    executor = turn.executor
    is_agent = record.mode is ChatMode.AGENT
    tools = state.scheduler.available(state.tool_policy(turn)) if is_agent else ()
    prompt = state.environment.prompt(
        PromptContext(
            session_id=state.session_id,
            executor_id=executor.executor_id,
            model=executor.model,
            system_prompt=executor.system_prompt if turn.system_prompt is None else turn.system_prompt,
            mode=record.mode,
            work_mode=record.work_mode,
            knowledge=record.knowledge,
            tools=tuple(tool.name for tool in tools),
            directory=record.directory,
        )
    )
    return ModelRequest(
        messages=_seen(branch) if state.environment.image_mode is ImageMode.VISION else branch,
        system_prompt=prompt,
        tools=tuple(tool.definition for tool in tools),
        settings=executor.settings,
        conversation_id=state.session_id,
    )


def _unread_images(branch: tuple[Message, ...]) -> tuple[tuple[str, tuple[Image, ...]], ...]:
    """Those of which nobody has read the text, by message."""
    return tuple(
        (message.message_id, images)
        for message in branch
        if (images := images_in(message)) and not all(image.text for image in images)
    )


def _seen(branch: tuple[Message, ...]) -> tuple[Message, ...]:
    """The branch for a model that looks at images itself: what others have read in them is not sent."""
    if not any(map(images_in, branch)):  # as nearly all are, and they may be long
        return branch
    return tuple(map(_without_texts, branch))


def _without_texts(message: Message) -> Message:
    images = images_in(message)
    if not any(image.text for image in images):
        return message
    return with_images(message, [msgspec.structs.replace(image, text="") for image in images])


def _join_steering(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    """Put it into the conversation; the model is asked when that is durable."""
    joined = [put_question(state, turn, question, now) for question in turn.steering]
    turn.steering = ()
    turn.phase = Phase.STORING
    put = state.change_record(now, active_leaf_id=turn.leaf_id, task=state.task_record(turn))

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
