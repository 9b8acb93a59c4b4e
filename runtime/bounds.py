"""Bounded mailboxes: how much mail of users may wait, and what happens to the rest."""

from __future__ import annotations

import enum
import threading
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

import msgspec

from runtime.errors import MailboxFullError
from runtime.messages import Ask, Counted
from runtime.reply import Reply, answer, answer_error

if TYPE_CHECKING:
    from runtime.cell import Cell

__all__ = ["Bounds", "Mailbox", "Overflow"]


class Overflow(enum.Enum):
    """What becomes of a message for a mailbox that is full."""

    REJECT = "reject"
    """The sender gets `MailboxFullError`."""
    DROP_OLDEST = "drop_oldest"
    """It takes the place of the oldest one, which becomes a dead letter."""
    DROP_NEWEST = "drop_newest"
    """It becomes a dead letter itself."""
    WAIT = "wait"
    """A sender that may wait does: a thread in `tell` and `ask`, a task in `await ref.send(message)`. On a
    thread that runs trio or asyncio, `tell` and `ask` get `MailboxFullError`."""


class Mailbox(msgspec.Struct, frozen=True):
    """The bounds of an actor's mailbox, declared by its class.

    They count the messages of users that wait, told or asked, and not the one that is being handled.
    `stop()`, `Terminated` and the messages of timers are exempt. An `ask` that finds no place, or is
    dropped, is answered with `MailboxFullError`.
    """

    limit: int
    overflow: Overflow = Overflow.REJECT

    def __post_init__(self) -> None:
        if type(self.limit) is not int or not isinstance(self.overflow, Overflow):  # pyright: ignore[reportUnnecessaryIsInstance] - before the first message shows it
            raise TypeError(f"{self} is not a whole number of messages and an Overflow")
        if self.limit < 1:
            raise ValueError(f"a mailbox must have room for at least 1 message, not for {self.limit}")


class Bounds:
    """The places of one bounded mailbox.

    Any thread may call `admit`, `place` and `give_up`; the scheduler's thread alone calls the others.
    Places are kept by a lock, since a sender on another thread has to learn at once whether there was one.
    """

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        # Reentrant: a finalizer or a signal handler may tell the same actor something in between.
        self._lock = threading.RLock()
        self._taken = 0
        self._waiting: OrderedDict[Reply[None], None] = OrderedDict()
        self._closed = False

    def admit(self, cell: Cell, item: Any, *, placed: bool) -> Counted | None:
        """The item with a place of its own, or None when it has been dealt with.

        `placed`: the sender has one already, see `place`.

        Raises:
            MailboxFullError: there is none, and the policy is to tell the sender.
        """
        overflow = self._mailbox.overflow
        # Those two need the mail, which is the scheduler's: make_room() decides when the item gets there.
        if placed or overflow is Overflow.DROP_OLDEST or overflow is Overflow.DROP_NEWEST or self._take():
            return Counted(item)
        error = self._full(cell)
        if type(item) is not Ask:
            raise error
        answer_error(item.reply, error)
        return None

    def place(self) -> Reply[None] | None:
        """Take a place, or stand in line for one: settled when the place is the caller's.

        None where nobody waits by policy.
        """
        if self._mailbox.overflow is not Overflow.WAIT:
            return None
        with self._lock:
            granted: Reply[None] = Reply()
            if self._closed or self._taken < self._mailbox.limit:
                self._taken += 1
                granted.set(None)
            else:
                self._waiting[granted] = None
        return granted

    def give_up(self, granted: Reply[None]) -> None:
        """Leave the line, or give back the place that was granted in the meantime."""
        with self._lock:
            if granted in self._waiting:
                del self._waiting[granted]
                return
        self.free_place()

    def free_place(self) -> None:
        """A message has left the mail: its place goes to whoever waits longest."""
        with self._lock:
            if not self._waiting:
                self._taken -= 1
                return
            granted, _ = self._waiting.popitem(last=False)
        answer(granted, None)

    def make_room(self, mail: deque[Any], item: Counted) -> Counted | None:
        """Which one has to go so that the other may be in the mail: the oldest, taken out of it, or `item`.

        None: there was room for it.
        """
        overflow = self._mailbox.overflow
        if overflow is Overflow.REJECT or overflow is Overflow.WAIT or self._take():
            return None
        if overflow is Overflow.DROP_NEWEST:
            return item
        # By index: a finalizer that tells the actor something in between only appends.
        oldest = 0
        while oldest < len(mail) and type(mail[oldest]) is not Counted:
            oldest += 1
        if oldest == len(mail):  # the last one is out of the mail, and its place about to be free
            with self._lock:
                self._taken += 1
            return None
        dropped = mail[oldest]
        del mail[oldest]
        return dropped

    def turn_away(self, cell: Cell, item: Counted) -> None:
        """Answer or bury an item that had to go."""
        dropped = item.item
        if type(dropped) is Ask:
            answer_error(dropped.reply, self._full(cell))
        elif cell.system is not None:
            cell.system.bury(cell.ref, dropped, "the mailbox is full")

    def close(self) -> None:
        """The actor takes no more mail: nobody needs to wait for it any more. Idempotent."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, OrderedDict()
        for granted in waiting:
            answer(granted, None)  # and then finds that the actor is dead

    def _take(self) -> bool:
        with self._lock:
            # Those who wait in line come first.
            if self._taken >= self._mailbox.limit or self._waiting:
                return False
            self._taken += 1
            return True

    def _full(self, cell: Cell) -> MailboxFullError:
        limit, overflow = self._mailbox.limit, self._mailbox.overflow.value
        return MailboxFullError(f"{cell} has {limit} messages waiting, which is its limit ({overflow})")
