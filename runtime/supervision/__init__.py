"""Supervision: who is restarted, when, and together with whom."""

from runtime.supervision.errors import (
    ChildExistsError,
    ChildRestartingError,
    ChildRunningError,
    ChildStartError,
    IllegalTransitionError,
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
from runtime.supervision.state import ChildCounts, ChildInfo, SupervisorState
from runtime.supervision.status import ChildStatus, Phase
from runtime.supervision.steps import (
    Answer,
    Escalate,
    Finish,
    Halt,
    Release,
    Revive,
    Start,
    Step,
    Wait,
)
from runtime.supervision.supervisor import Supervisor

__all__ = [
    "Answer",
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
    "Escalate",
    "FindChild",
    "Finish",
    "Halt",
    "IllegalTransitionError",
    "Intensity",
    "Phase",
    "Release",
    "Restart",
    "RestartChild",
    "RestartIntensityError",
    "Revive",
    "Shutdown",
    "Start",
    "StartChild",
    "Step",
    "Strategy",
    "Supervisor",
    "SupervisorState",
    "SupervisorStoppingError",
    "TerminateChild",
    "UnknownChildError",
    "Wait",
    "WhichChildren",
]
