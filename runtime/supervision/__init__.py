"""Supervision: who is restarted, when, and together with whom. It decides, and performs nothing."""

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
    "Escalate",
    "Finish",
    "Halt",
    "IllegalTransitionError",
    "Intensity",
    "Phase",
    "Release",
    "Restart",
    "RestartIntensityError",
    "Revive",
    "Shutdown",
    "Start",
    "Step",
    "Strategy",
    "SupervisorState",
    "SupervisorStoppingError",
    "UnknownChildError",
    "Wait",
]
