"""What a supervisor understands: the requests of OTP's supervisor, as messages to ask."""

from __future__ import annotations

import msgspec

from runtime.supervision.policy import ChildSpec

__all__ = [
    "CountChildren",
    "DeleteChild",
    "FindChild",
    "RestartChild",
    "StartChild",
    "TerminateChild",
    "WhichChildren",
]


class StartChild(msgspec.Struct, frozen=True):
    """Add a child and start it. Answered with its ref when its `on_start` has returned.

    Raises in the asker:
        ChildExistsError: there is one of that name.
        ChildStartError: it could not be started; it has not been added then.
    """

    spec: ChildSpec


class TerminateChild(msgspec.Struct, frozen=True):
    """End a child; its spec stays, except a temporary one's. Answered when it has ended.

    Raises in the asker:
        UnknownChildError: there is none of that name.
    """

    name: str


class RestartChild(msgspec.Struct, frozen=True):
    """Start a child that is down, behind a new ref. Answered with that.

    Raises in the asker:
        UnknownChildError: there is none of that name.
        ChildRunningError, ChildRestartingError: it is not down.
        ChildStartError: it could not be started; its spec stays.
    """

    name: str


class DeleteChild(msgspec.Struct, frozen=True):
    """Forget a child that is down.

    Raises in the asker:
        UnknownChildError: there is none of that name.
        ChildRunningError, ChildRestartingError: it is not down.
    """

    name: str


class FindChild(msgspec.Struct, frozen=True):
    """Answered with the ref of the child with this name, or None while it has none."""

    name: str


class WhichChildren(msgspec.Struct, frozen=True):
    """Answered with a tuple of `ChildInfo`, in start order."""


class CountChildren(msgspec.Struct, frozen=True):
    """Answered with `ChildCounts`."""
