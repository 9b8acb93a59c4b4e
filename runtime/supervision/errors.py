"""Errors of supervision: what a caller asked for in vain, and why a supervisor gave up."""

from __future__ import annotations

__all__ = [
    "ChildExistsError",
    "ChildRestartingError",
    "ChildRunningError",
    "ChildStartError",
    "IllegalTransitionError",
    "RestartIntensityError",
    "SupervisorStoppingError",
    "UnknownChildError",
]


class UnknownChildError(LookupError):
    """The supervisor has no child of that name."""


class ChildExistsError(ValueError):
    """The supervisor already has a child of that name, running or not."""


class ChildRunningError(RuntimeError):
    """Only a child that is down can be restarted by hand or deleted: terminate it first."""


class ChildRestartingError(RuntimeError):
    """The supervisor is about to bring the child back. Wait for it, or terminate it."""


class ChildStartError(RuntimeError):
    """A child could not be started. `__cause__` is its failure, if it had one."""


class SupervisorStoppingError(RuntimeError):
    """The supervisor stops, or has stopped, and does nothing more for its children."""


class RestartIntensityError(RuntimeError):
    """Restarts came faster than the supervisor bears. `__cause__` is the last failure, if it was one."""


class IllegalTransitionError(RuntimeError):
    """A step that the state table does not have: a defect of the runtime, or `start_all` called twice."""
