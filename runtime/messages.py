"""What travels through a mailbox besides the messages of users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import pykka
from pykka import messages

if TYPE_CHECKING:
    from runtime.ref import ActorRef

__all__ = ["ActorStop", "Ask", "ChildrenGone", "Control", "Failed", "Terminated"]


# pykka has no public name for the message that stops an actor.
ActorStop = messages._ActorStop  # pyright: ignore[reportPrivateUsage]


class Ask:
    """A message that wants an answer. A message that was told stands in the mail as it is."""

    __slots__ = ("message", "reply")

    def __init__(self, message: Any, reply: pykka.Future[Any]) -> None:
        self.message = message
        self.reply = reply


class Terminated(NamedTuple):
    """Tells a watcher, once, that an actor has ended. `reason` is None after an orderly stop."""

    ref: ActorRef[Any]
    reason: BaseException | None


class Failed(NamedTuple):
    """Control: a child task raised, or user code left a cancel scope open."""

    error: BaseException


class ChildrenGone(NamedTuple):
    """Control: the last child task of a stopping actor has ended."""


Control: TypeAlias = Failed | ChildrenGone
