"""Reads the outcomes of turns back from the messages that they left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from actors.conversation import FinishReason, Message, MessageState, Role, Text, ToolCallRequest
from actors.events import TaskOutcome
from actors.records import SessionStatus

__all__ = ["stored_outcomes"]

_STATUSES = {
    MessageState.COMPLETE: SessionStatus.COMPLETED,
    MessageState.FAILED: SessionStatus.FAILED,
    MessageState.ABORTED: SessionStatus.ABORTED,
    MessageState.STREAMING: SessionStatus.ABORTED,
}


def stored_outcomes(session_id: str, branch: Iterable[Message]) -> Iterator[TaskOutcome]:
    """One outcome for each question of a branch, in order.

    Measurements are not stored, so they are missing. A question without any answer counts as aborted.
    """
    outcome: TaskOutcome | None = None
    asked_on = False
    for message in branch:
        content = message.content
        if message.role is Role.USER:
            if outcome is not None:
                yield outcome
            assert isinstance(content, Text)
            outcome = TaskOutcome(
                session_id=session_id,
                task_id=message.task_id or "",
                status=SessionStatus.ABORTED,
                prompt=content.text,
            )
        elif message.role is Role.TOOL:
            asked_on = True
        elif message.role is Role.ASSISTANT and outcome is not None:
            if asked_on:  # the answer of another model call begins
                asked_on = False
                outcome = msgspec.structs.replace(outcome, answer="", thought="", tool_calls=())
            outcome = msgspec.structs.replace(
                outcome,
                task_id=message.task_id or outcome.task_id,
                status=_status(message),
                finish_reason=message.finish_reason,
                usage=message.usage,
                error=message.error,
            )
            if isinstance(content, Text):
                outcome = msgspec.structs.replace(outcome, answer=content.text, thought=content.thought)
            elif isinstance(content, ToolCallRequest):
                outcome = msgspec.structs.replace(outcome, tool_calls=content.calls)
    if outcome is not None:
        yield outcome


def _status(message: Message) -> SessionStatus:
    if message.finish_reason is FinishReason.MAX_TURNS:
        return SessionStatus.MAX_TURNS_REACHED
    return _STATUSES[message.state]
