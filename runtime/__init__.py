"""A general actor runtime: pykka's contract on trio's structured concurrency."""

from runtime.actor import TrioActor
from runtime.bounds import Mailbox, Overflow
from runtime.dispatch import handles
from runtime.embed import HostQueue, SystemOptions, SystemThread, start_system
from runtime.errors import (
    ActorKilledError,
    BlockingCallError,
    MailboxFullError,
    NameTakenError,
    NoActorSystemError,
    NotPicklableError,
    SystemClosedError,
    SystemFailedError,
    WorkerDiedError,
    WrongPlaceError,
)
from runtime.events import ActorFailed, ActorRestarted, DeadLetter, EventStream
from runtime.idle import IdleTimeout
from runtime.inspection import Inspection, Slices, Trace, TraceEntry, inspect, resume, suspend, trace
from runtime.life import Life
from runtime.messages import Terminated
from runtime.observer import Observer
from runtime.offload import OffloadStatistics, offload_statistics, run_blocking, run_killable
from runtime.ref import ActorRef
from runtime.reply import Reply
from runtime.scheduler import Pace
from runtime.statistics import Statistics
from runtime.system import ActorSystem, current_system, open_system
from runtime.tasks import ChildTask
from runtime.telemetry import add_actor, get_logger
from runtime.timers import Timers
from runtime.watchdog import SchedulerHeld

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
    "HostQueue",
    "IdleTimeout",
    "Inspection",
    "Life",
    "Mailbox",
    "MailboxFullError",
    "NameTakenError",
    "NoActorSystemError",
    "NotPicklableError",
    "Observer",
    "OffloadStatistics",
    "Overflow",
    "Pace",
    "Reply",
    "SchedulerHeld",
    "Slices",
    "Statistics",
    "SystemClosedError",
    "SystemFailedError",
    "SystemOptions",
    "SystemThread",
    "Terminated",
    "Timers",
    "Trace",
    "TraceEntry",
    "TrioActor",
    "WorkerDiedError",
    "WrongPlaceError",
    "add_actor",
    "current_system",
    "get_logger",
    "handles",
    "inspect",
    "offload_statistics",
    "open_system",
    "resume",
    "run_blocking",
    "run_killable",
    "start_system",
    "suspend",
    "trace",
]
