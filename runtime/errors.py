"""Errors that the runtime raises, split by who caused them."""

from __future__ import annotations

__all__ = [
    "BlockingCallError",
    "NameTakenError",
    "NoActorSystemError",
    "SystemClosedError",
    "SystemFailedError",
]


class BlockingCallError(RuntimeError):
    """A blocking wait was tried on a thread that runs trio: it would stop the very actors it waits for.

    `await` the reply instead, or answer with a message.
    """


class NoActorSystemError(RuntimeError):
    """`TrioActor.start()` was called where there is no actor system."""


class SystemClosedError(RuntimeError):
    """The actor system has stopped, or is stopping, and starts no new actors or tasks."""


class NameTakenError(ValueError):
    """A live actor of this system already has that name."""


class SystemFailedError(RuntimeError):
    """The runtime itself failed (a defect of ours, never of an actor). `__cause__` is the reason."""
