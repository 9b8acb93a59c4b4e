"""Says in a few words how an answer ended, where it did not end well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from actors.conversation import FinishReason, Message, MessageState, Role
from actors.errors import ErrorInfo
from actors.records import SessionRecord, SessionStatus

__all__ = ["ending", "missing_answer"]

_CUT = {
    FinishReason.LENGTH: "cut at the length limit",
    FinishReason.CONTENT_FILTER: "cut by the provider's content filter",
    FinishReason.REFUSAL: "the model declined to answer",
    FinishReason.MAX_TURNS: "stopped at the limit of model calls",
}


def ending(state: MessageState, finish_reason: FinishReason | None, error: ErrorInfo | None) -> str:
    """What a reader must know of an answer in this state; empty when it is whole."""
    match state:
        case MessageState.STREAMING:
            return "not finished"
        case MessageState.ABORTED:
            return "stopped"
        case MessageState.FAILED:
            return "failed" if error is None else f"failed: {error.code}: {error.message}"
        case MessageState.COMPLETE:
            return "" if finish_reason is None else _CUT.get(finish_reason, "")
        case _:
            assert_never(state)


def missing_answer(record: SessionRecord, messages: Sequence[Message]) -> str:
    """Why the last question has no answer at all; empty when it has one."""
    if not messages or messages[-1].role is not Role.USER:
        return ""
    match record.status:
        case SessionStatus.FAILED:
            return ending(MessageState.FAILED, None, record.error)
        case SessionStatus.ABORTED:
            return "stopped before an answer came"
        case _:
            return "not answered yet"
