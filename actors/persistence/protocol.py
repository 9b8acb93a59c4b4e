"""What the persistence actor understands, and what it says."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from actors.errors import ErrorInfo
from actors.records import RunRecord, SessionRecord, SessionWrite, StoredSession

__all__ = [
    "ChatOpened",
    "ChatRefused",
    "CreateChatFile",
    "Flush",
    "ForkChatFile",
    "GetFileStatus",
    "GetLatestRun",
    "ListSessions",
    "LoadFailed",
    "LoadSession",
    "OpenChatFile",
    "PersistenceCommand",
    "PersistenceNotice",
    "PutRun",
    "ReadSession",
    "RemoveSession",
    "Save",
    "SaveFailed",
    "Saved",
    "SessionDeleted",
    "SessionLoaded",
    "StoreLost",
]


class Save(msgspec.Struct, frozen=True, tag=True):
    """Make a write durable: at once if `immediate`, else when the session's throttle interval is over.

    Answered to the actor named `reply_to` with `Saved` or `SaveFailed`. The writes of one session are
    committed in the order in which they are told.
    """

    reply_to: str
    write: SessionWrite
    immediate: bool


class LoadSession(msgspec.Struct, frozen=True, tag=True):
    """Claim a session when its writes told before are durable or have failed.

    Answered to `reply_to` with `SessionLoaded` or `LoadFailed`.
    """

    reply_to: str
    session_id: str


class OpenChatFile(msgspec.Struct, frozen=True, tag=True):
    """Find out whose chat file this is, and keep it open.

    Answered to `reply_to` with `ChatOpened` or `ChatRefused`.
    """

    reply_to: str
    path: str


class RemoveSession(msgspec.Struct, frozen=True, tag=True):
    """Remove a session when its writes told before are durable or have failed. No later one brings it back.

    Answered to `reply_to` with `SessionDeleted`.
    """

    reply_to: str
    session_id: str


class CreateChatFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """Ask to make a chat file with this session in it; answered with its path when it is durable.

    The file gets the next free number in `directory`, or with `new_task` in a new folder there.
    """

    directory: str
    record: SessionRecord
    new_task: bool = False


class ForkChatFile(msgspec.Struct, frozen=True, tag=True):
    """Ask to make the copy of a chat file a session of its own; answered with its new id when durable."""

    path: str


class GetFileStatus(msgspec.Struct, frozen=True, tag=True):
    """Ask for the `FileStatus` of the chat file in which a session lives; it must be open."""

    session_id: str


class ReadSession(msgspec.Struct, frozen=True, tag=True):
    """Ask for a `StoredSession` as it is on disk, without claiming it."""

    session_id: str


class ListSessions(msgspec.Struct, frozen=True, tag=True):
    """Ask for a tuple of `SessionSummary`, the oldest first."""


class PutRun(msgspec.Struct, frozen=True, tag=True):
    """Ask to remember a run; answered when it is durable."""

    run: RunRecord


class GetLatestRun(msgspec.Struct, frozen=True, tag=True):
    """Ask for the `RunRecord` put last, or None."""


class Flush(msgspec.Struct, frozen=True, tag=True):
    """Ask to be told when every write told before is durable or has failed."""


PersistenceCommand: TypeAlias = (
    Save
    | LoadSession
    | OpenChatFile
    | RemoveSession
    | CreateChatFile
    | ForkChatFile
    | GetFileStatus
    | ReadSession
    | ListSessions
    | PutRun
    | GetLatestRun
    | Flush
)


class Saved(msgspec.Struct, frozen=True, tag=True):
    """All writes of the session up to this revision are durable."""

    session_id: str
    epoch: int
    revision: int


class SaveFailed(msgspec.Struct, frozen=True, tag=True):
    """This write was refused or could not be stored, and none after it will be."""

    session_id: str
    epoch: int
    revision: int
    error: ErrorInfo


class SessionLoaded(msgspec.Struct, frozen=True, tag=True):
    stored: StoredSession


class LoadFailed(msgspec.Struct, frozen=True, tag=True):
    session_id: str
    error: ErrorInfo


class ChatOpened(msgspec.Struct, frozen=True, tag=True):
    """The chat file at `path` is that of the session."""

    path: str
    session_id: str


class ChatRefused(msgspec.Struct, frozen=True, tag=True):
    """The file at `path` is no chat, or one that cannot be opened now."""

    path: str
    error: ErrorInfo


class SessionDeleted(msgspec.Struct, frozen=True, omit_defaults=True, tag=True):
    """The session is gone for good, or with `error` it is still there."""

    session_id: str
    error: ErrorInfo | None = None


PersistenceNotice: TypeAlias = (
    Saved | SaveFailed | SessionLoaded | LoadFailed | ChatOpened | ChatRefused | SessionDeleted
)


class StoreLost(msgspec.Struct, frozen=True, tag=True):
    """The persistence actor is gone: nothing more becomes durable. Said by who watches it."""

    error: ErrorInfo
