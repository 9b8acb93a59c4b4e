"""What is in a chat file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec

from actors.conversation import Message
from actors.errors import EngineError, ErrorCode
from actors.records import SessionRecord, StoredSession, is_session_id

__all__ = ["SCHEMA_VERSION", "ChatDocument", "decode_document", "encode_document"]

SCHEMA_VERSION = 1
"""The version of `ChatDocument` that this code reads and writes."""


class ChatDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole session as one JSON object.

    It does not say where it is: a file that is moved must not carry a stale path.
    """

    schema_version: int
    epoch: Annotated[int, msgspec.Meta(ge=1)] = 1
    revision: Annotated[int, msgspec.Meta(ge=0)] = 0
    session: SessionRecord
    messages: tuple[Message, ...] = ()

    @classmethod
    def of(cls, stored: StoredSession) -> ChatDocument:
        return cls(
            schema_version=SCHEMA_VERSION,
            epoch=stored.epoch,
            revision=stored.revision,
            session=stored.record,
            messages=stored.messages,
        )

    def stored(self) -> StoredSession:
        return StoredSession(
            record=self.session, messages=self.messages, epoch=self.epoch, revision=self.revision
        )


class _Version(msgspec.Struct):
    schema_version: int


_decoder = msgspec.json.Decoder(ChatDocument)
_version_decoder = msgspec.json.Decoder(_Version)


def encode_document(document: ChatDocument) -> bytes:
    """Indented, a field a line, in a fixed order: what changed is what a diff shows."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def decode_document(data: bytes, path: Path) -> ChatDocument:
    """The chat in `data`, which was read from `path`.

    Raises:
        EngineError: `SESSION_INVALID`, with the reason and the way out.
    """
    if not data.strip():
        _refuse(path, "the file is empty; restore a copy of it")
    try:
        version = _version_decoder.decode(data).schema_version
        if version > SCHEMA_VERSION:
            _refuse(
                path,
                f"a newer Greenroom wrote this chat (schema {version}, this one knows {SCHEMA_VERSION}); "
                "upgrade Greenroom",
            )
        if version < 1:
            _refuse(path, f"there is no schema {version}; restore a copy of the file")
        document = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _refuse(path, f"this is not a chat: {error}; restore a copy of the file, or correct it")
    except RecursionError:
        _refuse(path, "this is not a chat, it is nested too deeply; restore a copy of the file")
    session_id = document.session.session_id
    if not is_session_id(session_id):
        _refuse(path, f"{session_id[:40]!a} is no id that a command takes; correct `session_id`")
    _check_times(document, path)
    _check_tree(document.messages, path)
    leaf_id = document.session.active_leaf_id
    if leaf_id is not None and all(message.message_id != leaf_id for message in document.messages):
        _refuse(path, f"its active leaf {leaf_id} is none of its messages; correct `active_leaf_id`")
    task = document.session.task
    if task is not None and all(message.message_id != task.question_id for message in document.messages):
        _refuse(path, f"the question {task.question_id} of its task is none of its messages; remove `task`")
    return document


def _check_times(document: ChatDocument, path: Path) -> None:
    record = document.session
    for moment in (record.created_at, record.updated_at, *(m.created_at for m in document.messages)):
        if moment.tzinfo is None:
            _refuse(path, f"the time {moment.isoformat()} has no zone; add one, or Z for UTC")


def _check_tree(messages: Iterable[Message], path: Path) -> None:
    parents: dict[str, str | None] = {}
    for message in messages:
        if message.message_id in parents:
            _refuse(path, f"two messages have the id {message.message_id}; give one of them another")
        parents[message.message_id] = message.parent_id
    rooted: set[str | None] = {None}
    for message_id in parents:
        branch: dict[str, None] = {}
        at: str | None = message_id
        while at is not None and at not in rooted:
            if at in branch:
                _refuse(path, f"message {at} is its own ancestor; correct its `parent_id`")
            if at not in parents:
                _refuse(path, f"there is no message {at}, and others hang on it; correct their `parent_id`")
            branch[at] = None
            at = parents[at]
        rooted.update(branch)


def _refuse(path: Path, reason: str) -> NoReturn:
    raise EngineError(ErrorCode.SESSION_INVALID, f"{path}: {reason}", path=str(path)) from None
