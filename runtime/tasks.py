"""Child tasks: work that an actor owns and that ends with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from runtime.cell import Cell
from runtime.containment import (
    cancel_status_of,
    is_system_cancellation,
    leave_open_scopes,
    scope_left_open,
)
from runtime.life import Life
from runtime.messages import Failed, TasksGone
from runtime.owner import Owner, owned_by

__all__ = ["ChildTask"]


class ChildTask:
    """A running child task. It may be cancelled by its owner; it may outlive nobody."""

    __slots__ = ("_owner", "_scope")

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._scope = trio.CancelScope()

    def cancel(self) -> None:
        """Ask the task to end at its next checkpoint. Idempotent, also after the end."""
        self._scope.cancel()

    @trio.lowlevel.enable_ki_protection
    async def run(
        self, cell: Cell, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]
    ) -> None:
        # KeyboardInterrupt protection: a real Ctrl-C is the host's business, never this actor's failure.
        owned_by(self._owner)
        failure: BaseException | None = None
        try:
            with self._scope:
                await _leaving_nothing_open(function, args)
        except BaseException as error:
            if is_system_cancellation(error):
                raise
            failure = error
        finally:
            belongings = cell.belongings
            assert belongings.tasks is not None
            belongings.tasks.discard(self)
            if not belongings.tasks:
                belongings.tasks = None  # an empty set takes 0.2 kB, and most actors are at rest
            assert cell.scheduler is not None
            cell.scheduler.tasks -= 1
            if failure is not None:
                cell.deliver_control(Failed(failure))
            if cell.life is Life.ENDING and not belongings.tasks:
                cell.deliver_control(TasksGone())


async def _leaving_nothing_open(function: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
    task = trio.lowlevel.current_task()
    cancel_status = cancel_status_of(task)
    try:
        await function(*args)
    finally:
        if cancel_status_of(task) is not cancel_status:
            leave_open_scopes(task, cancel_status)
            raise scope_left_open()
