"""A turn with its slot: one model call after another, until there is nothing more to say."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.answer import Answer
from actors.conversation import Message, MessageState, Part, ProviderItemPart, Text, TextPart, ThoughtPart
from actors.errors import ErrorInfo
from actors.events import AnswerStreamed, MessageAdded, MessageChanged, ModelCallDelayed
from actors.records import AppendText, ChatMode, PutMessage, Question, SessionStatus, WriteOp
from actors.session import settling, tool_calls
from actors.session.calling import announce_asked, call_model, put_question
from actors.session.effects import Effect, Now
from actors.session.outcome import answer_messages, answer_of, answer_text
from actors.session.protocol import CallDelayed, ImagesRead
from actors.session.questions import images_in, with_images
from actors.session.state import SessionState
from actors.session.turn import Phase, Turn

__all__ = ["call_delayed", "parts_arrived", "turn_ended"]


def parts_arrived(state: SessionState, task_id: str, parts: tuple[Part, ...], now: Now) -> list[Effect]:
    turn = state.turn
    if turn is None or turn.task_id != task_id or turn.phase is not Phase.RUNNING:
        return []  # a late part of a turn that was stopped
    if turn.first_part_seconds is None:
        turn.first_part_seconds = now.seconds
    turn.parts += len(parts)
    turn.builder.add(parts)
    text = "".join([part.text for part in parts if type(part) is TextPart])
    thought = "".join([part.text for part in parts if type(part) is ThoughtPart])
    effects: list[Effect] = []
    if text or thought:
        if turn.answer is None:
            effects = _begin_text(state, turn, text, thought, now)
        else:
            effects = state.write(AppendText(turn.answer.message_id, text, thought), immediate=False)
    message_id = "" if turn.answer is None else turn.answer.message_id
    shown = tuple([part for part in parts if type(part) is not ProviderItemPart])
    if shown:
        effects += state.publish(AnswerStreamed(shown, message_id), task_id, now)
    return effects


def _begin_text(state: SessionState, turn: Turn, text: str, thought: str, now: Now) -> list[Effect]:
    answer = turn.answer = answer_text(state, turn, Text(), MessageState.STREAMING, now)
    state.put_message(answer)
    ops: tuple[WriteOp, ...] = (PutMessage(answer), AppendText(answer.message_id, text, thought))
    effects = state.write(*ops, immediate=False)
    return effects + state.publish(MessageAdded(answer), turn.task_id, now)


def images_read(state: SessionState, message: ImagesRead, now: Now) -> list[Effect]:
    """The text of images is there: keep it with them, and ask the model, or end the turn if some is not."""
    turn = state.current_turn(message.task_id)
    if turn is None or turn.phase is not Phase.READING:
        return []
    read: list[Message] = []
    for message_id, texts in message.texts:
        found = state.tree.find(message_id)
        if found is not None:
            images = zip(images_in(found), texts, strict=True)
            changed = [msgspec.structs.replace(image, text=text) for image, text in images]
            if any(image.text for image in changed):
                read.append(with_images(found, changed))
    for found in read:
        state.put_message(found)

    def stored(state: SessionState, now: Now) -> list[Effect]:
        effects: list[Effect] = []
        for found in read:
            effects += state.publish(MessageChanged(found), turn.task_id, now)
        return effects

    effects = state.write(*map(PutMessage, read), immediate=False, then=stored) if read else []
    if message.error is not None:
        return effects + settling.settle(state, turn, SessionStatus.FAILED, message.error, now)
    return effects + call_model(state, turn, now)


def call_delayed(state: SessionState, delayed: CallDelayed, now: Now) -> list[Effect]:
    """Tell those who look on why nothing comes; the turn goes on."""
    turn = state.current_turn(delayed.task_id)
    if turn is None or turn.phase is not Phase.RUNNING:
        return []
    told = ModelCallDelayed(delayed.attempt, delayed.error, delayed.retry_after_seconds)
    return state.publish(told, delayed.task_id, now)


def turn_ended(state: SessionState, task_id: str, error: ErrorInfo | None, now: Now) -> list[Effect]:
    """The model has said everything, or failed: run its tools, ask on, or end the turn."""
    turn = state.current_turn(task_id)
    if turn is None or turn.phase is not Phase.RUNNING:
        return []
    if error is not None:
        return settling.settle(state, turn, SessionStatus.FAILED, error, now)
    answer = answer_of(state, turn)
    if answer.tool_calls and state.known_record().mode is ChatMode.AGENT:
        return tool_calls.begin(state, turn, answer, now)
    if turn.steering:
        return _ask_on(state, turn, answer, (), now)
    if turn.replay:
        next_question, *turn_rest = turn.replay
        turn.replay = tuple(turn_rest)
        return _ask_on(state, turn, answer, (next_question,), now)
    return settling.settle(state, turn, SessionStatus.COMPLETED, None, now)


def _ask_on(
    state: SessionState, turn: Turn, answer: Answer, questions: Sequence[Question], now: Now
) -> list[Effect]:
    """Make this answer durable, with the questions that follow in the same turn, and go on."""
    answered = answer_messages(state, turn, answer, MessageState.COMPLETE, None, now)
    growing = turn.answer
    for message in answered:
        state.put_message(message)
    turn.add_usage()
    turn.leaf_id = answered[-1].message_id
    asked = [put_question(state, turn, question, now) for question in questions]
    if asked:
        turn.question = asked[-1]
        turn.model_calls = 0
        state.scheduler.begin_turn()
    turn.phase = Phase.STORING
    turn.begin_answer()
    put = state.change_record(now, active_leaf_id=turn.leaf_id, task=state.task_record(turn))

    def stored(state: SessionState, now: Now) -> list[Effect]:
        effects = settling.announce_answer(state, turn, growing, answered, now)
        effects += announce_asked(state, turn, asked, put.record, now)
        return effects + (call_model(state, turn, now) if turn.phase is Phase.STORING else [])

    return state.write(*map(PutMessage, (*answered, *asked)), put, immediate=True, then=stored)
