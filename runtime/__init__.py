"""A general actor runtime: pykka's contract on trio's structured concurrency."""

from runtime.actor import TrioActor
from runtime.bounds import Mailbox, Overflow
from runtime.dispatch import handles
from runtime.embed import SystemThread, start_system
from runtime.errors import (
    ActorKilledError,
    BlockingCallError,
    MailboxFullError,
    NameTakenError,
    NoActorSystemError,
    SystemClosedError,
    SystemFailedError,
)
from runtime.events import ActorFailed, ActorRestarted, DeadLetter, EventStream
from runtime.idle import IdleTimeout
from runtime.messages import Terminated
from runtime.ref import ActorRef
from runtime.reply import Reply
from runtime.system import ActorSystem, open_system
from runtime.tasks import ChildTask
from runtime.telemetry import get_logger
from runtime.timers import Timers

__all__ = [
    "ActorFailed",
    "ActorKilledError",
    "ActorRef",
    "ActorRestarted",
    "ActorSystem",
    "BlockingCallError",
    "ChildTask",
    "DeadLetter",
    "EventStream",
    "IdleTimeout",
    "Mailbox",
    "MailboxFullError",
    "NameTakenError",
    "NoActorSystemError",
    "Overflow",
    "Reply",
    "SystemClosedError",
    "SystemFailedError",
    "SystemThread",
    "Terminated",
    "Timers",
    "TrioActor",
    "get_logger",
    "handles",
    "open_system",
    "start_system",
]
