"""What a supervisor wants done: the outcome of every event, performed by its actor in this order."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from runtime.supervision.errors import ChildStartError, RestartIntensityError

__all__ = ["Answer", "Escalate", "Finish", "Halt", "Release", "Revive", "Start", "Step", "Wait"]


class Start(msgspec.Struct, frozen=True):
    """Begin a new incarnation of the child: a new actor behind a new ref.

    Say `child_started`, or `child_ended` if making it or its `on_start` failed.
    """

    name: str


class Revive(msgspec.Struct, frozen=True):
    """Begin a new life of the same incarnation: a new actor behind the old ref, which keeps its mail.

    Say `child_started`, or `child_ended` if making it or its `on_start` failed.
    """

    name: str


class Halt(msgspec.Struct, frozen=True):
    """End the child in the time that its spec allows, and keep its mail. Say `child_ended` when it has."""

    name: str


class Release(msgspec.Struct, frozen=True):
    """The incarnation is over for good: drain its mail, tell its watchers. It is no longer running.

    Where a `Start` failed before there was a ref, there is nothing to do.
    """

    name: str


class Wait(msgspec.Struct, frozen=True):
    """Say `backoff_over(generation)` in so many seconds. Other events may come before."""

    seconds: float
    generation: int


class Answer(msgspec.Struct, frozen=True):
    """Answer the request of this number: done, where there is no error."""

    request: int
    name: str
    error: Exception | None


class Escalate(msgspec.Struct, frozen=True):
    """The supervisor itself fails with this. Its children are gone; nothing comes after."""

    failure: ChildStartError | RestartIntensityError


class Finish(msgspec.Struct, frozen=True):
    """The supervisor has ended in order. Its children are gone; nothing comes after."""


Step: TypeAlias = Start | Revive | Halt | Release | Wait | Answer | Escalate | Finish
