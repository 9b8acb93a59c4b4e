"""Keeps what user code does to trio inside its own actor.

trio has no public names for some of this. tests/runtime/test_isolation.py and test_ctrl_c.py fail should
the private ones ever change.
"""

from __future__ import annotations

import math
from typing import Any, cast

import trio

__all__ = [
    "CtrlCShield",
    "cancel_status_of",
    "is_below",
    "is_only_cancelled",
    "is_system_cancellation",
    "leave_open_scopes",
    "scope_left_open",
]


def cancel_status_of(task: trio.lowlevel.Task) -> object:
    """What tells which cancel scope a task is in: compared before and after user code ran in it."""
    return task._cancel_status  # pyright: ignore[reportPrivateUsage] - see above


def leave_open_scopes(task: trio.lowlevel.Task, cancel_status: object) -> None:
    """Leave, innermost first, the scopes and nurseries that user code entered in the current task.

    Tasks in such a nursery are cancelled, and nobody waits for them.
    """
    status: Any = task._cancel_status  # pyright: ignore[reportPrivateUsage] - see above
    while status is not None and status is not cancel_status:
        scope: trio.CancelScope = status._scope
        for nursery in task.child_nurseries:
            if nursery.cancel_scope is scope:
                scope.cancel()
                task._child_nurseries.remove(nursery)  # pyright: ignore[reportPrivateUsage] - see above
        scope.__exit__(None, None, None)
        status = task._cancel_status  # pyright: ignore[reportPrivateUsage] - see above
    assert status is cancel_status


def scope_left_open() -> RuntimeError:
    return RuntimeError("a trio cancel scope or nursery was entered and not left")


def is_system_cancellation(error: BaseException) -> bool:
    """Whether the error only says that the whole system is being cancelled.

    A `Cancelled` may also come from a scope that user code left open, or be an old one raised again: those
    are failures of that code, and would bring the system down if they went on.
    """
    return trio.current_effective_deadline() == -math.inf and is_only_cancelled(error)


def is_only_cancelled(error: BaseException) -> bool:
    """Whether the error consists of `trio.Cancelled` and nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).split(trio.Cancelled)[1] is None
    return isinstance(error, trio.Cancelled)


class CtrlCShield(trio.abc.Instrument):
    """Protects tasks in the nurseries that actors open from KeyboardInterrupt, as actors themselves are.

    trio raises a Ctrl-C in whatever unprotected task is running, and tasks do not inherit protection.
    """

    nursery: trio.Nursery | None = None
    """The one whose tasks, and everything below them, are protected."""

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        if self.nursery is not None and is_below(self.nursery, task):
            task._ki_protected = True  # pyright: ignore[reportPrivateUsage] - see above


def is_below(nursery: trio.Nursery, task: trio.lowlevel.Task) -> bool:
    """Whether a task runs in the nursery, or in one that such a task opened."""
    parent = task.parent_nursery
    while parent is not None and parent is not nursery:
        parent = parent.parent_task.parent_nursery
    return parent is nursery
