"""A general actor runtime: pykka's contract on trio's structured concurrency."""

from runtime.actor import TrioActor
from runtime.dispatch import handles
from runtime.embed import SystemThread, start_system
from runtime.errors import (
    BlockingCallError,
    NameTakenError,
    NoActorSystemError,
    SystemClosedError,
    SystemFailedError,
)
from runtime.messages import Terminated
from runtime.ref import ActorRef
from runtime.reply import Reply
from runtime.system import ActorSystem, open_system
from runtime.tasks import ChildTask

__all__ = [
    "ActorRef",
    "ActorSystem",
    "BlockingCallError",
    "ChildTask",
    "NameTakenError",
    "NoActorSystemError",
    "Reply",
    "SystemClosedError",
    "SystemFailedError",
    "SystemThread",
    "Terminated",
    "TrioActor",
    "handles",
    "open_system",
    "start_system",
]
