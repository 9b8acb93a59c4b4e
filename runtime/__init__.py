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
from runtime.telemetry import get_logger

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
    "get_logger",
    "handles",
    "open_system",
    "start_system",
]
