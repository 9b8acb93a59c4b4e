"""The address of an actor: how everybody else talks to it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import pykka

from runtime.messages import ActorStop, Ask
from runtime.reply import Reply, answer_dead, refuse_to_block

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
        return self._cell.name

    def _actor_weakref(self) -> A | None:  # pyright: ignore[reportIncompatibleVariableOverride] - pykka calls it
        return self._cell.actor  # pyright: ignore[reportReturnType] - the cell does not carry A

    def is_alive(self) -> bool:
        return not self._cell.stopped

    def tell(self, message: Any) -> None:
        """Put a message into the actor's mail.

        Raises:
            pykka.ActorDeadError: the actor has stopped.
        """
        cell = self._cell
        if cell.stopped:
            raise pykka.ActorDeadError(f"{self} not found")
        cell.put(message)

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
        forgotten: whatever becomes of the actor, the reply is settled.

        Raises:
            BlockingCallError: `block` on a thread that runs trio. Nothing has been sent then.
        """
        reply: Reply[Any] = Reply()
        cell = self._cell
        if cell.stopped:
            answer_dead(reply, f"{self} not found")
        else:
            if block:
                refuse_to_block()
            cell.put(Ask(message, reply))
        return reply.get(timeout=timeout) if block else reply

    @overload
    def stop(self, *, block: Literal[True], timeout: float | None = None) -> bool: ...

    @overload
    def stop(self, *, block: Literal[False], timeout: float | None = None) -> Reply[bool]: ...

    @overload
    def stop(self, *, block: bool = True, timeout: float | None = None) -> bool | Reply[bool]: ...

    def stop(self, *, block: bool = True, timeout: float | None = None) -> bool | Reply[bool]:
        """Stop the actor after the mail that it has; True unless it was dead already.

        The reply is settled when the actor's child tasks have ended and `on_stop` has run.

        Raises:
            BlockingCallError: `block` on a thread that runs trio. The actor has not been stopped then.
        """
        if block and not self._cell.stopped:
            refuse_to_block()
        reply = self.ask(ActorStop(), block=False).map(_true).recover(_false_if_dead)
        return reply.get(timeout=timeout) if block else reply


def _true(_: object) -> bool:
    return True


def _false_if_dead(error: BaseException) -> bool:
    if isinstance(error, pykka.ActorDeadError):
        return False
    raise error
