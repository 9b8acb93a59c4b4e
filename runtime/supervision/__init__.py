"""Supervision: who is restarted, when, and together with whom."""

from runtime.supervision.errors import (
    ChildExistsError,
    ChildRestartingError,
    ChildRunningError,
    ChildStartError,
    RestartIntensityError,
    SupervisorStoppingError,
    UnknownChildError,
)
from runtime.supervision.policy import (
    AutoShutdown,
    Backoff,
    ChildSpec,
    Intensity,
    Restart,
    Shutdown,
    Strategy,
)
from runtime.supervision.protocol import (
    CountChildren,
    DeleteChild,
    FindChild,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from runtime.supervision.state import ChildCounts, ChildInfo
from runtime.supervision.status import ChildStatus
from runtime.supervision.supervisor import Supervisor

__all__ = [
    "AutoShutdown",
    "Backoff",
    "ChildCounts",
    "ChildExistsError",
    "ChildInfo",
    "ChildRestartingError",
    "ChildRunningError",
    "ChildSpec",
    "ChildStartError",
    "ChildStatus",
    "CountChildren",
    "DeleteChild",
    "FindChild",
    "Intensity",
    "Restart",
    "RestartChild",
    "RestartIntensityError",
    "Shutdown",
    "StartChild",
    "Strategy",
    "Supervisor",
    "SupervisorStoppingError",
    "TerminateChild",
    "UnknownChildError",
    "WhichChildren",
]
