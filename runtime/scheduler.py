"""The run queue: one dispatcher task gives every actor that has mail its turn."""

from __future__ import annotations

import contextvars
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from time import perf_counter
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import outcome
import pykka
import trio

from runtime.cell import Cell
from runtime.dispatch import resolve_handler
from runtime.messages import ActorStop, Ask, ChildFailed, Terminated

if TYPE_CHECKING:
    from runtime.actor import TrioActor

__all__ = ["Scheduler"]

_Coroutine: TypeAlias = Coroutine[Any, Any, Any]

MESSAGES_PER_SLICE = 64
"""After so many messages an actor goes to the back of the queue: one that floods itself starves nobody."""

DEADLINE_CHECK_EVERY = 16
"""Messages between two looks at the clock."""

IO_INTERVAL_SECONDS = 0.001
"""Under full load trio gets a checkpoint, and with it sockets and timers, about this often."""

IDLE_WORKERS_KEPT = 64

# pykka's contract: failures are reported by this logger, in these words.
_log = logging.getLogger("pykka")


class _Job:
    """An `async def` handler or hook that returned its coroutine, and what is to happen when it ends."""

    __slots__ = ("cell", "coroutine", "done")

    def __init__(
        self,
        cell: Cell,
        coroutine: _Coroutine,
        done: Callable[[Cell, Any, BaseException | None], None],
    ) -> None:
        self.cell = cell
        self.coroutine = coroutine
        self.done = done


class Scheduler:
    """Runs actors, one handler at a time each, all of them on one trio thread.

    `enqueue` may be called from any thread; everything else belongs to the scheduler's thread.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._token = trio.lowlevel.current_trio_token()
        self._ready: deque[Cell] = deque()
        # `_parked` is raised before the queue is looked at for the last time, and a sender looks at it
        # after appending: one of the two sees the other, so no wake-up is lost.
        self._parked = False
        self._sleeping_task: trio.lowlevel.Task | None = None
        self._idle_workers: list[trio.lowlevel.Task] = []
        self._backlog: deque[_Job] = deque()
        self._deadline = 0.0

    def enqueue(self, cell: Cell) -> None:
        """Give a cell that has just been marked `scheduled` its turn."""
        self._ready.append(cell)
        if self._parked:
            self._parked = False  # whoever comes next need not wake a dispatcher that is being woken
            if trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is self._token:
                self._wake()
            else:
                try:
                    self._token.run_sync_soon(self._wake, idempotent=True)
                except trio.RunFinishedError:
                    assert cell.system is not None
                    cell.system.abandon()

    def _wake(self) -> None:
        task, self._sleeping_task = self._sleeping_task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    async def _sleep(self) -> None:
        """Wait for the next `enqueue`."""
        self._parked = True
        if self._ready:
            self._parked = False
            return
        self._sleeping_task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._sleeping_task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    @trio.lowlevel.enable_ki_protection
    async def dispatch(self) -> None:
        """Run until cancelled. A real Ctrl-C is never raised in here, but in the host's own task."""
        ready = self._ready
        task = trio.lowlevel.current_task()
        cancel_status = _cancel_status_of(task)
        while True:
            if not ready:
                await self._sleep()
            self._deadline = perf_counter() + IO_INTERVAL_SECONDS
            while ready:
                cell = ready.popleft()
                context = cell.context
                assert context is not None
                more = context.run(self._run_slice, cell)
                if _cancel_status_of(task) is not cancel_status:
                    _restore_cancel_status(task, cancel_status)
                    self._fail(cell, _scope_left_open())
                if more is not None:
                    self._settle(cell)
                if perf_counter() > self._deadline:
                    break
            if ready:
                await trio.lowlevel.cancel_shielded_checkpoint()

    def _settle(self, cell: Cell) -> None:
        """Requeue a cell that has more to do; else let it rest, looking again after saying so."""
        if cell.mail or cell.control:
            self._ready.append(cell)
            return
        cell.scheduled = False
        if (cell.mail or cell.control) and not cell.scheduled:
            cell.scheduled = True
            self._ready.append(cell)

    def _run_slice(self, cell: Cell) -> bool | None:
        """Handle some of the cell's mail, in its context. None: an async handler is running now."""
        if not cell.started:
            cell.started = True
            if self._run_hook(cell, _actor_of(cell).on_start, self._started):
                return None
        budget = MESSAGES_PER_SLICE
        while budget:
            if cell.control:
                if self._handle_control(cell):
                    return None
                continue
            if cell.stopped:
                break
            mail = cell.mail
            if not mail:
                break
            if self._handle(cell, mail.popleft()):
                return None
            budget -= 1
            if budget % DEADLINE_CHECK_EVERY == 0 and perf_counter() > self._deadline:
                break
        return True

    def _handle(self, cell: Cell, item: Any) -> bool:
        """Handle one piece of mail. True: its async handler is running now."""
        actor = cell.actor
        assert actor is not None
        if type(item) is Ask:
            message = item.message
            cell.asked = item.reply
        else:
            message = item
        message_type = cast("type[Any]", type(message))
        if message_type is ActorStop:
            return self._stop(cell)
        if message_type is Terminated and not cell.forget_watched(message.ref):
            return False
        handlers = cell.handlers
        handler = handlers.get(message_type) or resolve_handler(cell.actor_class, handlers, message_type)
        try:
            result = handler(actor, message)
        except BaseException as error:  # noqa: BLE001 - supervision edge: fails this one actor
            return self._handler_failed(cell, error)
        if type(result) is CoroutineType:
            self._run_coroutine(cell, cast("_Coroutine", result), self._handled)
            return True
        if cell.asked is not None:
            reply, cell.asked = cell.asked, None
            reply.set(result)
        return False

    def _handled(self, cell: Cell, result: Any, error: BaseException | None) -> None:
        if error is not None:
            self._handler_failed(cell, error)
        elif cell.asked is not None:
            reply, cell.asked = cell.asked, None
            reply.set(result)

    def _handler_failed(self, cell: Cell, error: BaseException) -> bool:
        """Answer the asker, and fail the actor where the error is not just an answer."""
        if cell.asked is not None:
            reply, cell.asked = cell.asked, None
            exc_info = (type(error), error, error.__traceback__)
            expected = cell.actor_class.expected_errors
            only_answer = isinstance(error, Exception if expected is None else expected)
            if only_answer:
                _log.info("Exception returned from %s to caller:", cell, exc_info=exc_info)
            reply.set_exception(exc_info)
            if only_answer:
                return False
        return self._fail(cell, error)

    # --- the end of an actor ------------------------------------------------------------------------

    def _stop(self, cell: Cell) -> bool:
        if cell.asked is not None:
            cell.stop_replies = [*(cell.stop_replies or ()), cell.asked]
            cell.asked = None
        return self._end(cell)

    def _fail(self, cell: Cell, error: BaseException, *, hook: bool = True) -> bool:
        """Stop the actor because of `error`. True: its async hook is running now."""
        _log_failure(cell, error)
        if cell.stopped:
            return False
        cell.reason = error
        cell.hook_on_end = hook
        return self._end(cell)

    def _end(self, cell: Cell) -> bool:
        cell.mark_stopped()
        if cell.in_pykka_registry:
            pykka.ActorRegistry.unregister(_actor_of(cell).actor_ref)
        if cell.children:
            for child in tuple(cell.children):
                child.cancel()
            return False  # goes on at ChildrenGone
        return self._run_last_hook(cell)

    def _handle_control(self, cell: Cell) -> bool:
        assert cell.control is not None
        item = cell.control.popleft()
        if isinstance(item, ChildFailed):
            return self._fail(cell, item.error)
        if cell.dead or cell.children:
            return False
        return self._run_last_hook(cell)

    def _run_last_hook(self, cell: Cell) -> bool:
        actor = _actor_of(cell)
        reason = cell.reason
        if not cell.hook_on_end:
            self.finish(cell)
            return False
        if reason is None:
            return self._run_hook(cell, actor.on_stop, self._ended)
        traceback = reason.__traceback__
        return self._run_hook(cell, lambda: actor.on_failure(type(reason), reason, traceback), self._ended)

    def _started(self, cell: Cell, _: Any, error: BaseException | None) -> None:
        if error is not None:
            self._fail(cell, error, hook=False)

    def _ended(self, cell: Cell, _: Any, error: BaseException | None) -> None:
        if error is not None:
            _log_failure(cell, error)
            cell.reason = cell.reason or error
        self.finish(cell)

    def finish(self, cell: Cell) -> None:
        """The actor is dead: settle everybody who waits for it, and let its state go."""
        cell.mark_stopped()
        cell.dead = True
        system = cell.system
        assert system is not None
        cell.drain()
        if cell.deferred:
            error = pykka.ActorDeadError(f"{cell} stopped before it answered")
            for reply in tuple(cell.deferred):
                reply.set_exception((pykka.ActorDeadError, error, None))
        if cell.asked is not None:  # killed in the middle of an async handler
            error = pykka.ActorDeadError(f"{cell} stopped before it answered")
            cell.asked.set_exception((pykka.ActorDeadError, error, None))
            cell.asked = None
        system.forget(cell)
        for reply in cell.stop_replies or ():
            reply.set(None)
        cell.actor = None
        cell.stop_replies = cell.deferred = None

    # --- async handlers and hooks -------------------------------------------------------------------

    def _run_hook(
        self,
        cell: Cell,
        hook: Callable[[], Any],
        done: Callable[[Cell, Any, BaseException | None], None],
    ) -> bool:
        """Call a life-cycle hook; True: it is async and running now."""
        try:
            result = hook()
        except BaseException as error:  # noqa: BLE001 - supervision edge: fails this one actor
            done(cell, None, error)
            return False
        if type(result) is CoroutineType:
            self._run_coroutine(cell, cast("_Coroutine", result), done)
            return True
        done(cell, result, None)
        return False

    def _run_coroutine(
        self,
        cell: Cell,
        coroutine: _Coroutine,
        done: Callable[[Cell, Any, BaseException | None], None],
    ) -> None:
        job = _Job(cell, coroutine, done)
        if self._idle_workers:
            worker = self._idle_workers.pop()
            worker.context = _context_of(cell)
            trio.lowlevel.reschedule(worker, outcome.Value(job))
        else:
            self._backlog.append(job)
            self._nursery.start_soon(self._work)

    @trio.lowlevel.enable_ki_protection
    async def _work(self) -> None:
        """A worker: awaits async handlers, each in the context of its actor."""
        task = trio.lowlevel.current_task()
        cancel_status = _cancel_status_of(task)
        job = self._backlog.popleft()
        task.context = _context_of(job.cell)
        await trio.lowlevel.cancel_shielded_checkpoint()  # the context counts from the next step on
        while True:
            await self._run_job(job, task, cancel_status)
            if len(self._idle_workers) >= IDLE_WORKERS_KEPT:
                return
            job = await self._next_job(task)

    async def _run_job(self, job: _Job, task: trio.lowlevel.Task, cancel_status: object) -> None:
        cell = job.cell
        result: Any = None
        failure: BaseException | None = None
        try:
            result = await job.coroutine
        except trio.Cancelled:  # the whole system is being cancelled; finish() settles the cell
            raise
        except BaseException as error:  # noqa: BLE001 - supervision edge: fails this one actor
            failure = error
        if _cancel_status_of(task) is not cancel_status:
            _restore_cancel_status(task, cancel_status)
            failure = failure or _scope_left_open()
        job.done(cell, result, failure)
        self._settle(cell)
        if self._ready and self._parked:
            self._parked = False
            self._wake()

    async def _next_job(self, task: trio.lowlevel.Task) -> _Job:
        def abort(_: object) -> trio.lowlevel.Abort:
            self._idle_workers.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        self._idle_workers.append(task)
        return await trio.lowlevel.wait_task_rescheduled(abort)


def _actor_of(cell: Cell) -> TrioActor:
    actor = cell.actor
    assert actor is not None, "a dead actor was scheduled"
    return actor


def _context_of(cell: Cell) -> contextvars.Context:
    assert cell.context is not None
    return cell.context


def _log_failure(cell: Cell, error: BaseException) -> None:
    _log.error("Unhandled exception in %s:", cell, exc_info=(type(error), error, error.__traceback__))


def _scope_left_open() -> RuntimeError:
    return RuntimeError("the handler left a trio cancel scope or nursery open")


# trio has no public way to see that a handler entered a cancel scope and did not leave it, nor to leave it
# for somebody else. tests/runtime/test_isolation.py fails should these names ever change.


def _cancel_status_of(task: trio.lowlevel.Task) -> object:
    return task._cancel_status  # pyright: ignore[reportPrivateUsage] - see above


def _restore_cancel_status(task: trio.lowlevel.Task, status: Any) -> None:
    task._activate_cancel_status(status)  # pyright: ignore[reportPrivateUsage] - see above
