"""The address of an actor: how everybody else talks to it."""

from __future__ import annotations

import threading
import time
from _thread import get_ident
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import pykka
import trio

from runtime.messages import ActorStop, Ask, Halt, Kill
from runtime.reply import ExcInfo, Reply, answer_dead, answer_error, answer_late, may_block, refuse_to_block

if TYPE_CHECKING:
    from runtime.actor import TrioActor
    from runtime.cell import Cell, Inbox

__all__ = ["ActorRef"]

A = TypeVar("A", bound="TrioActor")


class ActorRef(pykka.ActorRef[A]):
    """A `pykka.ActorRef` whose `ask` and `stop` give replies that can be awaited.

    May be used from any thread, and kept after the actor's end. `tell` never blocks.
    """

    def __init__(self, cell: Cell) -> None:
        # Without super().__init__(): it would make the lazy members (urn, inbox, event) of every actor.
        self._cell = cell

    @property
    def actor_class(self) -> type[A]:  # pyright: ignore[reportIncompatibleVariableOverride] - read-only here
        return self._cell.actor_class  # pyright: ignore[reportReturnType] - the cell does not carry A

    @property
    def actor_urn(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - read-only here
        return self._cell.urn

    @property
    def actor_inbox(self) -> Inbox:  # pyright: ignore[reportIncompatibleVariableOverride] - read-only here
        return self._cell.inbox

    @property
    def actor_stopped(self) -> threading.Event:  # pyright: ignore[reportIncompatibleVariableOverride] - read-only here
        return self._cell.stopped_event

    @property
    def name(self) -> str | None:
        """The name under which its system knows the actor, if it was given one."""
        return self._cell.belongings.name

    def _actor_weakref(self) -> A | None:  # pyright: ignore[reportIncompatibleVariableOverride] - pykka calls it
        return self._cell.actor  # pyright: ignore[reportReturnType] - the cell does not carry A

    @property
    def cell(self) -> Cell:
        """For the runtime itself."""
        return self._cell

    def kill(self) -> None:
        """End the actor now: what its async handler and its tasks are waiting for is cancelled.

        Its child actors are killed as well. No hook of it is called, its mail is answered and buried, and
        watchers learn of an `ActorKilledError`. A handler that is not async, or that will not be cancelled,
        is not interrupted: the actor ends when that one does. From any thread; returns at once.
        """
        self._cell.post_control(Kill())

    def is_alive(self) -> bool:
        return self._cell.is_alive

    # A Ctrl-C between the mark and the queue would leave the actor marked, and asleep, for ever.
    @trio.lowlevel.enable_ki_protection
    def tell(self, message: Any) -> None:
        """Put a message into the actor's mail.

        Blocks only for room in a mailbox that is declared with `Overflow.WAIT`, and only a thread that runs
        neither trio nor asyncio.

        Raises:
            pykka.ActorDeadError: the actor has stopped.
            MailboxFullError: its bounded mailbox has no room, and is declared to say so.
        """
        cell = self._cell
        scheduler = cell.scheduler
        # What other threads have brought comes first: this may follow from it.
        if cell.guarded or get_ident() != scheduler.thread_id or scheduler.incoming:  # pyright: ignore[reportOptionalMemberAccess] - guarded until it has one
            self._tell_guarded(message)
            return
        # Cell.deliver, in place: two calls less.
        mail = cell.mail
        if mail is None:
            mail = cell.make_mail()
        mail.append(message)
        if not cell.scheduled:
            cell.scheduled = True
            scheduler.ready.append(cell)  # pyright: ignore[reportOptionalMemberAccess] - as above
            if scheduler.parked:  # pyright: ignore[reportOptionalMemberAccess] - as above
                scheduler.wake()  # pyright: ignore[reportOptionalMemberAccess] - as above

    def _tell_guarded(self, message: Any) -> None:
        placed = self._place_for_thread(None)
        self._cell.submit(message, placed=placed)

    def _place_for_thread(self, timeout: float | None) -> bool:
        """Wait for a place in the mailbox, if this thread may wait and the mailbox has to be waited for.

        Raises:
            pykka.Timeout: there was none in so many seconds.
        """
        bounds = self._cell.belongings.bounds
        if bounds is None or not may_block():
            return False
        granted = bounds.place()
        if granted is None:
            return False
        try:
            granted.get(timeout=timeout)
        except BaseException:
            bounds.give_up(granted)
            raise
        return True

    async def send(self, message: Any) -> None:
        """`tell`, and wait for room where the mailbox is declared with `Overflow.WAIT`.

        Awaited in trio or asyncio, but not in a handler: an actor that waits for another's room serves
        nobody meanwhile. A cancelled wait leaves nothing in the mailbox.

        Raises:
            pykka.ActorDeadError: the actor has stopped.
            MailboxFullError: there is no room, and the mailbox is declared to say so.
        """
        bounds = self._cell.belongings.bounds
        granted = None if bounds is None else bounds.place()
        if bounds is not None and granted is not None:
            try:
                await granted
            except BaseException:
                bounds.give_up(granted)
                raise
        self._cell.submit(message, placed=granted is not None)

    @overload
    def ask(self, message: Any, *, block: Literal[False], timeout: float | None = None) -> Reply[Any]: ...

    @overload
    def ask(self, message: Any, *, block: Literal[True], timeout: float | None = None) -> Any: ...

    @overload
    def ask(
        self, message: Any, *, block: bool = True, timeout: float | None = None
    ) -> Any | Reply[Any]: ...

    def ask(  # pyright: ignore[reportIncompatibleMethodOverride] - a Reply is a pykka.Future
        self, message: Any, *, block: bool = True, timeout: float | None = None
    ) -> Any | Reply[Any]:
        """Put a message into the actor's mail and get its answer, or with `block=False` a `Reply`.

        `await ref.ask(message, block=False)` is the form for trio and asyncio. The answer is never
        forgotten: whatever becomes of the actor, the reply is settled; with a `timeout` in seconds it is
        settled with `pykka.Timeout` when that time is over, and the actor goes on with its work all the
        same.

        Raises:
            ValueError: `timeout` is less than 0, or no number. Nothing has been sent then.
            pykka.Timeout: `block`, and the time is over.
            BlockingCallError: `block` on a thread that runs trio. Nothing has been sent then.
        """
        reply: Reply[Any] = Reply()
        if block and self._cell.is_alive:
            refuse_to_block()
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"a timeout is a number of seconds from 0 on, or None, not {timeout}")
        asked_at = time.monotonic()
        self.ask_for(message, reply, timeout=timeout)
        if block:
            # What was spent in waiting for room is part of it.
            return reply.get(timeout=timeout and max(0.0, asked_at + timeout - time.monotonic()))
        if timeout is not None and self._cell.scheduler is not None:
            self._cell.scheduler.call(self._expire, reply, timeout)
        return reply

    def _expire(self, reply: Reply[Any], seconds: float) -> None:
        scheduler = self._cell.scheduler
        assert scheduler is not None
        if (
            reply.done or get_ident() != scheduler.thread_id
        ):  # after the end all are answered, and no clock runs
            return
        alarm = scheduler.alarms.set(seconds, lambda: answer_late(reply, seconds))
        if not reply.subscribe(lambda _: scheduler.call(alarm.cancel)):
            alarm.cancel()

    @trio.lowlevel.enable_ki_protection
    def ask_for(self, message: Any, reply: pykka.Future[Any], *, timeout: float | None = None) -> None:
        """`ask` on behalf of whoever waits for `reply`: a dead actor or a full mailbox is the answer.

        So is `pykka.Timeout`, when this thread has waited `timeout` seconds for room.
        """
        cell = self._cell
        if not cell.is_alive:
            answer_dead(reply, f"{self} not found")
        elif cell.belongings.bounds is None or type(message) is ActorStop:
            cell.post(Ask(message, reply))
        else:
            try:
                cell.submit(Ask(message, reply), placed=self._place_for_thread(timeout))
            except (pykka.ActorDeadError, pykka.Timeout) as error:
                answer_error(reply, error)

    @overload
    def stop(self, *, block: Literal[True], timeout: float | None = None, drain: bool = True) -> bool: ...

    @overload
    def stop(
        self, *, block: Literal[False], timeout: float | None = None, drain: bool = True
    ) -> Reply[bool]: ...

    @overload
    def stop(
        self, *, block: bool = True, timeout: float | None = None, drain: bool = True
    ) -> bool | Reply[bool]: ...

    def stop(
        self, *, block: bool = True, timeout: float | None = None, drain: bool = True
    ) -> bool | Reply[bool]:
        """Stop the actor after the mail that it has; True unless it was dead already.

        With `drain=False` it stops after the handler that it is in, and the mail that waits is answered
        with `ActorDeadError` and buried. The reply is settled when the actor's tasks and child actors have
        ended and `on_stop` has run. A child of a supervisor may be restarted then: its policy decides.

        Raises:
            BlockingCallError: `block` on a thread that runs trio. The actor has not been stopped then.
        """
        if block and self._cell.is_alive:
            refuse_to_block()
        ended = _Ended()
        if drain:
            self.ask_for(ActorStop(), ended)
        else:
            self._cell.post_control(Halt(ended))
        return ended.get(timeout=timeout) if block else ended


class _Ended(Reply[bool]):
    """Settled at the actor's end: True, or False if it had ended before."""

    def _settle(self, value: Any, failure: ExcInfo | None) -> None:
        del value  # pykka's contract is None
        if failure is not None and isinstance(failure[1], pykka.ActorDeadError):
            super()._settle(False, None)
        else:
            super()._settle(failure is None, failure)
