"""Whether a write may be applied: the rules that all stores share, free of any medium."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import assert_never

import msgspec

from actors.conversation import Message, MessageState, Text
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.records import AppendText, DeleteMessages, PutMessage, PutSession, SessionWrite

__all__ = ["Head", "Verdict", "judge", "no_such_session", "refuse_deleted", "refuse_unknown", "takes_text"]

_encoder = msgspec.json.Encoder()


class Head(msgspec.Struct, frozen=True):
    """Where a session's history stands: who may write (`epoch`), and how far it got (`revision`)."""

    epoch: int
    revision: int


class Verdict(Enum):
    """What to do with a write that is not refused."""

    APPLY = auto()
    REPEAT = auto()


def takes_text(message: Message) -> bool:
    """Whether text can be appended to `message`."""
    return message.state is MessageState.STREAMING and isinstance(message.content, Text)


def judge(
    write: SessionWrite, head: Head | None, stored_takes_text: Callable[[str], bool]
) -> Verdict | ErrorInfo:
    """Judge a whole write before any of it is applied, so that a refused one leaves no trace.

    `head` is the session's, `None` if there is no such session. `stored_takes_text` answers for the
    messages that are stored already.
    """
    if head is None:
        creates = (
            write.epoch == 1 and write.revision == 1 and write.ops and isinstance(write.ops[0], PutSession)
        )
        if not creates:
            return refuse_unknown(write)
    elif write.epoch != head.epoch:
        # Judged before the revision: a former owner must not take a number that its successor has used
        # in the meantime for an acknowledgement of its own write.
        return _refusal(ErrorCode.CONFLICT, f"the session belongs to epoch {head.epoch}", write)
    elif write.revision <= head.revision:
        return Verdict.REPEAT
    elif write.revision > head.revision + 1:
        return _refusal(ErrorCode.CONFLICT, f"the session is at revision {head.revision}", write)
    return _judge_ops(write, stored_takes_text) or Verdict.APPLY


def _judge_ops(write: SessionWrite, stored_takes_text: Callable[[str], bool]) -> ErrorInfo | None:
    takes: dict[str, bool] = {}
    for op in write.ops:
        match op:
            case PutSession(record=record):
                assert record.session_id == write.session_id
            case PutMessage(message=message):
                takes[message.message_id] = takes_text(message)
            case AppendText(message_id=message_id):
                if message_id not in takes:
                    takes[message_id] = stored_takes_text(message_id)
                if not takes[message_id]:
                    return _refusal(ErrorCode.SESSION_INVALID, f"message {message_id} takes no text", write)
            case DeleteMessages(message_ids=message_ids):
                takes.update(dict.fromkeys(message_ids, False))
            case _:
                assert_never(op)
    try:
        _encoder.encode(write.ops)
    except UnicodeEncodeError as error:
        # Half a surrogate pair, as tools and broken models emit it, has no UTF-8 form. Found inside the
        # transaction it would fail everybody's writes, again at every retry.
        return _refusal(ErrorCode.SESSION_INVALID, f"text that is not Unicode: {error.reason}", write)
    except (TypeError, ValueError, RecursionError) as error:  # say, an object in the details of an error
        return _refusal(ErrorCode.SESSION_INVALID, f"what cannot be written down: {error}", write)
    return None


def refuse_unknown(write: SessionWrite) -> ErrorInfo:
    return _refusal(ErrorCode.SESSION_NOT_FOUND, "there is no such session", write)


def refuse_deleted(write: SessionWrite) -> ErrorInfo:
    """The verdict on a write that came too late, be it the one that made the session."""
    return _refusal(ErrorCode.SESSION_NOT_FOUND, "the session was deleted", write)


def no_such_session(session_id: str) -> EngineError:
    return EngineError(
        ErrorCode.SESSION_NOT_FOUND, f"there is no session {session_id}", session_id=session_id
    )


def _refusal(code: ErrorCode, reason: str, write: SessionWrite) -> ErrorInfo:
    return ErrorInfo(
        code=code,
        message=f"session {write.session_id} refused write {write.revision}, epoch {write.epoch}: {reason}",
        details={"session_id": write.session_id, "epoch": write.epoch, "revision": write.revision},
    )
