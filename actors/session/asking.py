"""Turns that begin with what was said before: resume, retry, edit and ask again, rerun."""

from __future__ import annotations

import msgspec

from actors.agents import DEFAULT_EXECUTOR
from actors.conversation import Message, Role, Text
from actors.errors import ErrorInfo
from actors.records import Question
from actors.session.admission import admit, find_executor
from actors.session.effects import Effect, Now
from actors.session.protocol import EditMessage, Rerun, ResumeTurn, RetryAnswer
from actors.session.questions import new_question, question_in
from actors.session.refusals import busy, invalid, not_a, not_unicode, unknown_message, unusable_question
from actors.session.state import SessionState
from actors.session.template import fill, names_in
from actors.session.turn import Turn

__all__ = ["ask_edited", "rerun", "resume", "retry"]


def resume(state: SessionState, message: ResumeTurn, request: int) -> list[Effect] | ErrorInfo:
    if state.turn is not None:
        return busy(state)
    question = state.tree.unanswered_question(state.known_record().active_leaf_id)
    if question is None:
        return invalid("there is no question without a complete answer")
    return _ask_again(state, question, DEFAULT_EXECUTOR, message.priority, message.request_id, request)


def retry(state: SessionState, message: RetryAnswer, request: int) -> list[Effect] | ErrorInfo:
    if state.turn is not None:
        return busy(state)
    answer = state.tree.find(message.message_id)
    if answer is None:
        return unknown_message(state, message.message_id)
    if answer.role is not Role.ASSISTANT:
        return not_a(Role.ASSISTANT, answer)
    question = state.tree.question_of(message.message_id)
    if question is None:
        return invalid(f"message {message.message_id} answers no question that is still there")
    return _ask_again(state, question, message.executor_id, message.priority, message.request_id, request)


def _ask_again(
    state: SessionState,
    question: Message,
    executor_id: str,
    priority: int,
    request_id: str | None,
    request: int,
) -> list[Effect] | ErrorInfo:
    executor = find_executor(state, executor_id)
    if isinstance(executor, ErrorInfo):
        return executor
    turn = Turn(state.new_id(), question, executor, is_new=False, priority=priority, request_id=request_id)
    return admit(state, turn, request)


def ask_edited(
    state: SessionState, message: EditMessage, now: Now, request: int
) -> list[Effect] | ErrorInfo:
    """Ask the new text beside the old one. What may be edited was checked."""
    edited = state.tree.find(message.message_id)
    assert edited is not None
    question = msgspec.structs.replace(question_in(edited), text=message.text)
    return _ask(state, question, edited.parent_id, (), None, message, now, request)


def rerun(state: SessionState, message: Rerun, now: Now, request: int) -> list[Effect] | ErrorInfo:
    if state.turn is not None:
        return busy(state)
    record = state.known_record()
    questions = [
        asked
        for asked in state.tree.branch(record.active_leaf_id)
        if asked.role is Role.USER and isinstance(asked.content, Text)
    ]
    if not questions:
        return invalid(f"session {state.session_id} has no question to ask again")
    missing = [name for name in names_in(record.system_prompt) if name not in message.input_data]
    if message.input_data and missing:
        return invalid(f"the system prompt names {', '.join(missing)}: give a value for each in input_data")
    replay: list[Question] = []
    for asked in questions:
        said = question_in(asked)
        text = fill(said.text, message.input_data)
        question = msgspec.structs.replace(said, text=text)
        refusal = unusable_question(question)
        if refusal is not None:
            return refusal
        replay.append(question)
    system_prompt = fill(record.system_prompt, message.input_data) if message.input_data else None
    refusal = not_unicode(system_prompt or "")
    if refusal is not None:
        return refusal
    first, *rest = replay
    parent_id = questions[0].parent_id
    return _ask(state, first, parent_id, tuple(rest), system_prompt, message, now, request)


def _ask(
    state: SessionState,
    question: Question,
    parent_id: str | None,
    replay: tuple[Question, ...],
    system_prompt: str | None,
    message: EditMessage | Rerun,
    now: Now,
    request: int,
) -> list[Effect] | ErrorInfo:
    executor = find_executor(state, DEFAULT_EXECUTOR)
    if isinstance(executor, ErrorInfo):
        return executor
    task_id = state.new_id()
    turn = Turn(
        task_id,
        new_question(state, question, parent_id, task_id, now),
        executor,
        is_new=True,
        priority=message.priority,
        replay=replay,
        system_prompt=system_prompt,
        request_id=message.request_id,
    )
    return admit(state, turn, request)
