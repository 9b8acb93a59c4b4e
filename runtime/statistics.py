"""The numbers of a system, as one frozen value."""

from __future__ import annotations

import msgspec

__all__ = ["Statistics"]


class Statistics(msgspec.Struct, frozen=True):
    """What goes on in a system, and what has gone on since it began.

    The numbers are read one after another while the system runs: each is right, but they need not be of
    the very same moment.
    """

    actors: int
    """Actors that are not dead yet, child actors included."""
    ready: int
    """Actors that have work and wait for their turn. The one whose turn it is, is not counted."""
    async_handlers: int
    """`async def` handlers and hooks that have not ended."""
    tasks: int
    """Child tasks that have not ended."""
    timers: int
    """What is due some time.

    Timers of actors, also the backoff of supervisors; idle timeouts; the timeouts of asks that are not
    answered yet; the deadlines of ending child actors; what faults hold back.
    """
    spawned: int
    """Actors that were ever started."""
    messages_handled: int
    """What was taken out of mailboxes: the messages of users, stops, and notices of the runtime.

    Counted when the slice of the actor that took them is over.
    """
    dead_letters: int
    failures: int
    """Incarnations that an exception ended."""
    restarts: int
    """New incarnations that supervisors began."""
