"""How a turn ended: the messages of its answer, and the outcome for those who waited."""

from __future__ import annotations

import msgspec

from actors.answer import Answer
from actors.conversation import Message, MessageState, Role, Text, ToolCallRequest
from actors.errors import ErrorInfo
from actors.events import TaskOutcome
from actors.outcomes import stored_outcomes
from actors.records import SessionStatus
from actors.session.effects import Now
from actors.session.state import SessionState
from actors.session.turn import Turn

__all__ = ["answer_messages", "answer_text", "outcome_of", "stored_outcome"]

_MESSAGE_STATES = {
    SessionStatus.COMPLETED: MessageState.COMPLETE,
    SessionStatus.FAILED: MessageState.FAILED,
    SessionStatus.ABORTED: MessageState.ABORTED,
}


def answer_messages(
    state: SessionState,
    turn: Turn,
    answer: Answer,
    status: SessionStatus,
    error: ErrorInfo | None,
    now: Now,
) -> list[Message]:
    """The text, and behind it the tool calls; the last of them carries how the answer ended.

    Never empty: an answer of which nothing came stands there without text, so that the store knows how
    every turn ended.
    """
    messages: list[Message] = []
    message_state = _MESSAGE_STATES[status]
    if answer.text or answer.thought or not answer.tool_calls:
        content = Text(answer.text, answer.thought)
        messages.append(
            answer_text(state, turn, content, message_state, now)
            if turn.answer is None
            else msgspec.structs.replace(turn.answer, content=content, state=message_state)
        )
    if answer.tool_calls:
        parent_id = messages[-1].message_id if messages else turn.question.message_id
        messages.append(
            Message(
                message_id=state.new_id(),
                parent_id=parent_id,
                role=Role.ASSISTANT,
                content=ToolCallRequest(answer.tool_calls),
                created_at=now.at,
                state=message_state,
                task_id=turn.task_id,
                model=state.known_record().model,
            )
        )
    messages[-1] = msgspec.structs.replace(
        messages[-1], finish_reason=answer.finish_reason, usage=answer.usage, error=error
    )
    return messages


def answer_text(
    state: SessionState, turn: Turn, content: Text, message_state: MessageState, now: Now
) -> Message:
    return Message(
        message_id=state.new_id(),
        parent_id=turn.question.message_id,
        role=Role.ASSISTANT,
        content=content,
        created_at=now.at,
        state=message_state,
        task_id=turn.task_id,
        model=state.known_record().model,
    )


def outcome_of(
    state: SessionState,
    turn: Turn,
    answer: Answer,
    status: SessionStatus,
    error: ErrorInfo | None,
    now: Now,
) -> TaskOutcome:
    assert isinstance(turn.question.content, Text)
    started, first = turn.started_seconds, turn.first_part_seconds
    return TaskOutcome(
        session_id=state.session_id,
        task_id=turn.task_id,
        status=status,
        prompt=turn.question.content.text,
        answer=answer.text,
        thought=answer.thought,
        tool_calls=answer.tool_calls,
        finish_reason=answer.finish_reason,
        usage=answer.usage,
        error=error,
        parts=turn.parts,
        time_to_first_part_seconds=None if started is None or first is None else first - started,
        duration_seconds=None if started is None else now.seconds - started,
    )


def stored_outcome(state: SessionState, task_id: str) -> TaskOutcome | None:
    """The outcome of a task that ended before the session was loaded, as far as messages tell it."""
    answers = [message for message in state.tree.of_task(task_id) if message.role is Role.ASSISTANT]
    if not answers:
        return None
    *_, outcome = stored_outcomes(state.session_id, state.tree.branch(answers[-1].message_id))
    return outcome
