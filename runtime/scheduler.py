"""The run queue: one dispatcher task gives every actor that has mail its turn."""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from time import perf_counter
from types import CoroutineType, TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import outcome
import trio

from runtime.cell import Cell
from runtime.containment import (
    cancel_status_of,
    is_system_cancellation,
    leave_open_scopes,
    scope_left_open,
)
from runtime.messages import ActorStop, Ask, Failed, Terminated
from runtime.reply import answer, answer_dead, answer_error

if TYPE_CHECKING:
    from runtime.actor import TrioActor

__all__ = ["Scheduler"]

_Coroutine: TypeAlias = Coroutine[Any, Any, Any]

MESSAGES_PER_SLICE = 64
"""After so many messages an actor goes to the back of the queue: one that floods itself starves nobody."""

DEADLINE_CHECK_EVERY = 16
"""Messages between two looks at the clock."""

IO_INTERVAL_SECONDS = 0.001
"""Under full load trio gets a checkpoint, and with it sockets and timers, about this often.

When its other tasks take longer than that for one round, the actors get as long as they took: thousands of
busy streams would otherwise leave them a hundredth of the time, and what they have to handle would pile up.
"""

IDLE_WORKERS_KEPT = 64

# pykka's contract: failures are reported by this logger, in these words.
_log = logging.getLogger("pykka")

# The real one, whatever a subclass calls by that name.
_traceback_of = BaseException.__dict__["__traceback__"].__get__


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
        cancel_status = cancel_status_of(task)
        turn_seconds = IO_INTERVAL_SECONDS
        while True:
            if not ready:
                cell = context = None  # a dispatcher that sleeps keeps no dead actor's belongings
                await self._sleep()
                turn_seconds = IO_INTERVAL_SECONDS
            self._deadline = perf_counter() + turn_seconds
            while ready:
                cell = ready.popleft()
                context = cell.context
                assert context is not None
                context.run(self._run_slice, cell)
                if cancel_status_of(task) is not cancel_status:
                    leave_open_scopes(task, cancel_status)
                    cell.put_control(Failed(scope_left_open()))
                if not cell.busy:
                    self._settle(cell)
                if perf_counter() > self._deadline:
                    break
            if ready:
                left = perf_counter()
                await trio.lowlevel.checkpoint()
                turn_seconds = max(IO_INTERVAL_SECONDS, perf_counter() - left)

    def _settle(self, cell: Cell) -> None:
        """Requeue a cell that has more to do; else let it rest, looking again after saying so."""
        if _has_work(cell):
            self._ready.append(cell)
            return
        cell.scheduled = False
        if _has_work(cell) and not cell.scheduled:
            cell.scheduled = True
            self._ready.append(cell)

    def _run_slice(self, cell: Cell) -> None:
        """Handle some of the cell's mail, in its context, or until an async handler runs."""
        if not cell.started:
            cell.started = True
            self._run_hook(cell, _actor_of(cell).on_start, self._started)
        budget = MESSAGES_PER_SLICE
        while budget and not cell.busy:  # also at first: the cell may have stood in the queue twice
            if cell.control:
                self._handle_control(cell)
                continue
            mail = cell.mail
            if not mail or cell.stopped:
                break
            self._handle(cell, mail.popleft())
            budget -= 1
            if budget % DEADLINE_CHECK_EVERY == 0 and perf_counter() > self._deadline:
                break

    def _handle(self, cell: Cell, item: Any) -> None:
        """Handle one piece of mail, or make the cell busy with its async handler."""
        if type(item) is Ask:
            message = item.message
            cell.asked = item.reply
        else:
            message = item
        message_type = cast("type[Any]", type(message))
        if message_type is ActorStop:
            self._stop(cell)
            return
        try:
            if message_type is Terminated and not cell.forget_watched(message.ref):
                result = None  # unwatched while the notice was under way
            else:
                result = cell.handlers[message_type](cell.actor, message)
        except BaseException as error:  # noqa: BLE001 - supervision edge: fails this one actor
            self._handler_failed(cell, error)
            return
        if type(result) is CoroutineType:
            self._run_coroutine(cell, cast("_Coroutine", result), self._handled)
        elif cell.asked is not None:
            reply, cell.asked = cell.asked, None
            answer(reply, result)

    def _handled(self, cell: Cell, result: Any, error: BaseException | None) -> None:
        if error is not None:
            self._handler_failed(cell, error)
        elif cell.asked is not None:
            reply, cell.asked = cell.asked, None
            answer(reply, result)

    def _handler_failed(self, cell: Cell, error: BaseException) -> None:
        """Answer the asker, and fail the actor where the error is not just an answer."""
        reply, cell.asked = cell.asked, None
        if reply is not None:
            # By type: an error that lies about its class is still caught by what it is.
            if not issubclass(type(error), Exception):
                # SystemExit and the like are not passed on: raised in the asker they would end it as well.
                answer_dead(reply, f"{cell} failed while handling the message", error)
            else:
                expected = cell.actor_class.expected_errors
                only_answer = expected is None or issubclass(type(error), expected)
                if only_answer:
                    _report(logging.INFO, "Exception returned from %s to caller:", cell, error)
                answer_error(reply, error, _traceback_of(error))
                if only_answer:
                    return
        self._fail(cell, error)

    # --- the end of an actor ------------------------------------------------------------------------

    def _stop(self, cell: Cell) -> None:
        if cell.asked is not None:
            cell.stop_replies = [*(cell.stop_replies or ()), cell.asked]
            cell.asked = None
        self._end(cell)

    def _fail(self, cell: Cell, error: BaseException, *, hook: bool = True) -> None:
        """Stop the actor because of `error`, unless it is stopping already."""
        _report(logging.ERROR, "Unhandled exception in %s:", cell, error)
        if not cell.stopped:
            cell.reason = error
            cell.hook_on_end = hook
            self._end(cell)

    def _end(self, cell: Cell) -> None:
        cell.mark_stopped()
        cell.leave_pykka_registry()
        if cell.children:
            for child in tuple(cell.children):
                child.cancel()
        else:  # otherwise at ChildrenGone
            self._run_last_hook(cell)

    def _handle_control(self, cell: Cell) -> None:
        assert cell.control is not None
        item = cell.control.popleft()
        if isinstance(item, Failed):
            self._fail(cell, item.error)
        else:
            self._run_last_hook(cell)

    def _run_last_hook(self, cell: Cell) -> None:
        actor = _actor_of(cell)
        reason = cell.reason
        if not cell.hook_on_end:
            self.finish(cell)
        elif reason is None:
            self._run_hook(cell, actor.on_stop, self._ended)
        else:
            self._run_hook(cell, lambda: actor.on_failure(*_exc_info(reason)), self._ended)

    def _started(self, cell: Cell, _: Any, error: BaseException | None) -> None:
        if error is not None:
            self._fail(cell, error, hook=False)

    def _ended(self, cell: Cell, _: Any, error: BaseException | None) -> None:
        if error is not None:
            _report(logging.ERROR, "Unhandled exception in %s:", cell, error)
            cell.reason = cell.reason or error
        self.finish(cell)

    def finish(self, cell: Cell) -> None:
        """The actor is dead: settle everybody who waits for it, and let its state go. Idempotent."""
        system = cell.system
        assert system is not None
        if not system.release(cell):
            return
        cell.mark_stopped()
        cell.dead = True
        cell.drain()
        waiting = list(cell.deferred or ())
        if cell.asked is not None:  # cut off in the middle of an async handler
            waiting.append(cell.asked)
        for reply in waiting:
            answer_dead(reply, f"{cell} stopped before it answered")
        system.forget(cell)
        for reply in cell.stop_replies or ():
            answer(reply, None)
        cell.actor = None
        cell.asked = cell.deferred = cell.stop_replies = None

    # --- async handlers and hooks -------------------------------------------------------------------

    def _run_hook(
        self,
        cell: Cell,
        hook: Callable[[], Any],
        done: Callable[[Cell, Any, BaseException | None], None],
    ) -> None:
        """Call a life-cycle hook, or make the cell busy with it if it is async."""
        try:
            result = hook()
        except BaseException as error:  # noqa: BLE001 - supervision edge: fails this one actor
            done(cell, None, error)
            return
        if type(result) is CoroutineType:
            self._run_coroutine(cell, cast("_Coroutine", result), done)
        else:
            done(cell, result, None)

    def _run_coroutine(
        self,
        cell: Cell,
        coroutine: _Coroutine,
        done: Callable[[Cell, Any, BaseException | None], None],
    ) -> None:
        cell.busy = True
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
        cancel_status = cancel_status_of(task)
        job = self._backlog.popleft()
        task.context = _context_of(job.cell)
        await trio.lowlevel.cancel_shielded_checkpoint()  # the context counts from the next step on
        while True:
            await self._run_job(job, task, cancel_status)
            del job  # an idle worker keeps no dead actor's belongings
            if len(self._idle_workers) >= IDLE_WORKERS_KEPT:
                return
            job = await self._next_job(task)

    async def _run_job(self, job: _Job, task: trio.lowlevel.Task, cancel_status: object) -> None:
        cell = job.cell
        result: Any = None
        failure: BaseException | None = None
        try:
            result = await job.coroutine
        except BaseException as error:  # noqa: BLE001 - supervision edge: fails this one actor
            failure = error
        if cancel_status_of(task) is not cancel_status:
            leave_open_scopes(task, cancel_status)
            failure = failure or scope_left_open()
        if failure is not None and is_system_cancellation(failure):
            raise failure  # finish() settles the cell
        cell.busy = False
        job.done(cell, result, failure)
        if cancel_status_of(task) is not cancel_status:  # a hook that was not async
            leave_open_scopes(task, cancel_status)
            cell.put_control(Failed(scope_left_open()))
        if not cell.busy:
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


def _has_work(cell: Cell) -> bool:
    # What comes for an actor that is stopping waits in the mail for the last drain.
    return bool(cell.control or (cell.mail and not cell.stopped))


def _actor_of(cell: Cell) -> TrioActor:
    actor = cell.actor
    assert actor is not None, "a dead actor was scheduled"
    return actor


def _context_of(cell: Cell) -> contextvars.Context:
    assert cell.context is not None
    return cell.context


def _exc_info(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    return type(error), error, _traceback_of(error)


def _report(level: int, text: str, cell: Cell, error: BaseException) -> None:
    # The host's filters and handlers run here, on an error that may be impossible to print.
    with contextlib.suppress(Exception):
        _log.log(level, text, cell, exc_info=_exc_info(error))
