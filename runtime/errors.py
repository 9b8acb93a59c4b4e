"""Errors that the runtime raises, split by who caused them."""

from __future__ import annotations

__all__ = [
    "ActorKilledError",
    "BlockingCallError",
    "MailboxFullError",
    "NameTakenError",
    "NoActorSystemError",
    "NotPicklableError",
    "SystemClosedError",
    "SystemFailedError",
    "WorkerDiedError",
    "WrongPlaceError",
]


class BlockingCallError(RuntimeError):
    """A blocking wait was tried on a thread that runs trio: it would stop the very actors it waits for.

    `await` the reply instead, or answer with a message.
    """


class MailboxFullError(RuntimeError):
    """The actor's bounded mailbox has no room. Send less, later, or declare another `Overflow`.

    The message has not been taken.
    """


class WrongPlaceError(RuntimeError):
    """Something that belongs to a running actor was tried before its start, or on another thread.

    Do it in `on_start` instead of `__init__`; from another thread, tell the actor to do it.
    """


class ActorKilledError(RuntimeError):
    """Why an actor ended that was killed: `kill()` was called, or it had not stopped in time."""


class NoActorSystemError(RuntimeError):
    """`TrioActor.start()` was called where there is no actor system."""


class SystemClosedError(RuntimeError):
    """The actor system has stopped, or is stopping, and starts no new actors or tasks."""


class NameTakenError(ValueError):
    """A live actor of this system already has that name."""


class SystemFailedError(RuntimeError):
    """The runtime itself failed (a defect of ours, never of an actor). `__cause__` is the reason."""


class NotPicklableError(TypeError):
    """A function, its arguments, its result or its exception cannot travel between host and worker process.

    The caller of `run_killable` is to blame: the function has to be importable by name (no lambda,
    nothing defined in a function), and what goes in and out has to be picklable. Work that needs live
    objects belongs in `run_blocking`. After a result or an exception that could not travel, the work
    itself has been done.
    """


class WorkerDiedError(RuntimeError):
    """The worker process of a `run_killable` ended before its work did.

    The work ended it (`sys.exit`, `os._exit`, a crash in native code), or somebody else did: a kill from
    outside, the system out of memory. The work may have been done in part; whether it can be tried again
    is for the caller to know. Other calls are not touched.
    """
