"""What travels to an actor besides the messages of its users: in its mail, and on its control lane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import pykka
from pykka import messages

if TYPE_CHECKING:
    from runtime.ref import ActorRef

__all__ = [
    "ActorStop",
    "Ask",
    "ChildActorGone",
    "ChildEnded",
    "ChildStarted",
    "Control",
    "Counted",
    "DeathNotice",
    "Failed",
    "Halt",
    "Kill",
    "TasksGone",
    "Terminated",
]


# --- in the mail ------------------------------------------------------------------------------------


# pykka has no public name for the message that stops an actor.
ActorStop = messages._ActorStop  # pyright: ignore[reportPrivateUsage]


class Ask:
    """A message that wants an answer. A message that was told stands in the mail as it is."""

    __slots__ = ("message", "reply")

    def __init__(self, message: Any, reply: pykka.Future[Any]) -> None:
        self.message = message
        self.reply = reply


class Counted:
    """A user's message, or an `Ask`, that holds a place in a bounded mailbox."""

    __slots__ = ("item",)

    def __init__(self, item: Any) -> None:
        self.item = item


class Terminated(NamedTuple):
    """Tells a watcher, once, that an actor has ended. `reason` is None after an orderly stop."""

    ref: ActorRef[Any]
    reason: BaseException | None


class DeathNotice(NamedTuple):
    """Becomes a `Terminated` for the watcher, if it still watches when the notice has its turn."""

    ref: ActorRef[Any]
    reason: BaseException | None


class ChildStarted(NamedTuple):
    """Tells a supervisor that the `on_start` of a child has returned."""

    ref: ActorRef[Any]


class ChildEnded(NamedTuple):
    """Tells a supervisor that an incarnation of a child is over. `reason` is None after an orderly stop."""

    ref: ActorRef[Any]
    reason: BaseException | None


# --- on the control lane, handled before any mail ---------------------------------------------------


class Failed(NamedTuple):
    """A child task raised, or user code left a cancel scope open."""

    error: BaseException


class TasksGone(NamedTuple):
    """The last child task of an ending actor has ended."""


class ChildActorGone(NamedTuple):
    """A child actor of an ending actor is dead."""


class Halt(NamedTuple):
    """End after the running handler, and leave the mail unhandled."""

    reply: pykka.Future[Any] | None


class Kill(NamedTuple):
    """End now: the running handler and the tasks are cancelled, no hook is called."""


Control: TypeAlias = Failed | TasksGone | ChildActorGone | Halt | Kill
