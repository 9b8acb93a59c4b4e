"""Worker tasks: they run the async handlers and hooks of all actors, and are used again and again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeAlias

import outcome
import trio

from runtime import lifecycle
from runtime.containment import (
    cancel_status_of,
    is_only_cancelled,
    is_system_cancellation,
    leave_open_scopes,
    scope_left_open,
)
from runtime.messages import Failed
from runtime.owner import Owner, owned_by

if TYPE_CHECKING:
    import contextvars

    from runtime.cell import Cell
    from runtime.scheduler import Scheduler

__all__ = ["Done", "Job", "Workers"]

Done: TypeAlias = Callable[["Cell", Any, BaseException | None], None]

IDLE_WORKERS_KEPT = 64


class Job:
    """An `async def` handler or hook that returned its coroutine, and what is to happen when it ends."""

    __slots__ = ("cancelled", "cell", "coroutine", "done", "scope")

    def __init__(self, cell: Cell, coroutine: Coroutine[Any, Any, Any], done: Done) -> None:
        self.cell = cell
        self.coroutine = coroutine
        self.done = done
        self.scope: trio.CancelScope | None = None  # of the worker that runs it
        self.cancelled = False

    def cancel(self) -> None:
        """Cancel it at its next checkpoint. `done` is not called then, unless it ended otherwise before."""
        self.cancelled = True
        if self.scope is not None:
            self.scope.cancel()


class Workers:
    """Runs jobs, one at a time for each actor, each in the context of its actor."""

    def __init__(self, scheduler: Scheduler, nursery: trio.Nursery) -> None:
        self._scheduler = scheduler
        self._nursery = nursery
        self._idle: list[trio.lowlevel.Task] = []
        self._backlog: deque[Job] = deque()
        self.busy = 0

    def run(self, cell: Cell, coroutine: Coroutine[Any, Any, Any], done: Done) -> None:
        """Make the cell busy until the coroutine has ended; then call `done(cell, result, error)`."""
        cell.busy = True
        job = Job(cell, coroutine, done)
        if cell.is_condemned:  # since before it had a job to cancel
            job.cancel()
        cell.own().job = job
        self.busy += 1
        if self._idle:
            worker = self._idle.pop()
            worker.context = _context_of(cell)
            trio.lowlevel.reschedule(worker, outcome.Value(job))
        else:
            self._backlog.append(job)
            self._nursery.start_soon(self._work, name="runtime.worker")

    # A real Ctrl-C is never raised in here, but in the host's own task.
    @trio.lowlevel.enable_ki_protection
    async def _work(self) -> None:
        task = trio.lowlevel.current_task()
        job = self._backlog.popleft()
        task.context = _context_of(job.cell)
        with trio.CancelScope() as scope:
            cancel_status = cancel_status_of(task)
            await trio.lowlevel.cancel_shielded_checkpoint()  # the context counts from the next step on
            while True:
                job.scope = scope
                if job.cancelled:
                    scope.cancel()
                await self._do(job, task, cancel_status)
                if scope.cancel_called:
                    return
                del job  # an idle worker keeps no dead actor's belongings
                if len(self._idle) >= IDLE_WORKERS_KEPT:
                    return
                job = await self._next_job(task)

    async def _do(self, job: Job, task: trio.lowlevel.Task, cancel_status: object) -> None:
        cell = job.cell
        owned_by(Owner(cell))
        result: Any = None
        failure: BaseException | None = None
        try:
            result = await job.coroutine
        except BaseException as error:  # noqa: BLE001 - supervision edge: fails this one actor
            failure = error
        job.scope = None  # it is the worker's, and the worker's next job is another actor's
        if cancel_status_of(task) is not cancel_status:
            leave_open_scopes(task, cancel_status)
            if failure is None:
                failure = scope_left_open()
        if failure is not None and not job.cancelled and is_system_cancellation(failure):
            raise failure  # abandon() settles the cell
        self.busy -= 1
        cell.busy = False
        cell.belongings.job = None
        if failure is None or not job.cancelled or not is_only_cancelled(failure):
            try:
                job.done(cell, result, failure)
            except BaseException as error:  # noqa: BLE001 - our own keeping of this one actor's books
                lifecycle.give_up(cell, error)
        if cancel_status_of(task) is not cancel_status:  # a hook that was not async
            leave_open_scopes(task, cancel_status)
            cell.post_control(Failed(scope_left_open()))
        if not cell.busy:
            self._scheduler.settle(cell)

    async def _next_job(self, task: trio.lowlevel.Task) -> Job:
        def abort(_: object) -> trio.lowlevel.Abort:
            self._idle.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        self._idle.append(task)
        return await trio.lowlevel.wait_task_rescheduled(abort)


def _context_of(cell: Cell) -> contextvars.Context:
    assert cell.context is not None
    return cell.context
