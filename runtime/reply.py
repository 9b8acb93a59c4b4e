"""The one future of the runtime: blocking in threads, awaitable in trio and in asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import queue
import sys
import threading
import time
from _thread import get_ident
from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Any, TypeAlias, TypeVar, cast

import pykka
import trio

from runtime.errors import BlockingCallError
from runtime.reporting import report

__all__ = ["Reply", "answer", "answer_dead", "answer_error", "answer_late", "may_block", "refuse_to_block"]

T = TypeVar("T")
J = TypeVar("J")
M = TypeVar("M")
R = TypeVar("R")

ExcInfo: TypeAlias = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

_log = logging.getLogger("greenroom.runtime")


class Reply(pykka.Future[T]):
    """The answer to an `ask`, once it is there. A `pykka.Future` for every kind of caller.

    - `reply.get(timeout=...)` blocks a thread. On a thread that runs trio it raises `BlockingCallError`
      unless the answer is already there.
    - `await reply` works in trio and in asyncio. Cancelling the wait leaves the reply itself alone: the
      actor goes on, others may still wait.
    - `map`, `filter`, `join` and `reduce` give replies that compute where they are waited for, never on
      the scheduler's thread.

    All methods may be called from any thread. A reply is set once; a second `set` raises `queue.Full`.
    """

    def __init__(self) -> None:
        # Without super().__init__(): the two attributes that it makes are replaced by ours.
        self._lock = threading.RLock()
        self._settled = False  # set last: who sees it without the lock may read the outcome
        self._outcome: Any = None
        self._failure: ExcInfo | None = None
        self._hook: Callable[[float | None], T] | None = None
        self._callbacks: dict[Callable[[Reply[Any]], object], None] | None = None

    def __repr__(self) -> str:
        return "<runtime.Reply>"

    @property
    def done(self) -> bool:
        """Whether `get` would return or raise at once."""
        return self._settled

    def set(self, value: T | None = None) -> None:
        self._settle(value, None)

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        self._settle(None, exc_info if exc_info is not None else sys.exc_info())

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Compute the value by `func(timeout)` in the first caller of `get`. For pykka's API only."""
        with self._lock:
            if self._settled:
                raise queue.Full
            self._hook = func

    # A Ctrl-C in the middle would leave callers waiting who have been struck off the list.
    @trio.lowlevel.enable_ki_protection
    def _settle(self, value: Any, failure: ExcInfo | None) -> None:
        with self._lock:
            if self._settled or self._hook is not None:
                raise queue.Full
            self._outcome = value
            self._failure = failure
            self._settled = True
            callbacks, self._callbacks = self._callbacks, None
        if callbacks is not None:
            for callback in callbacks:
                try:
                    callback(self)
                except BaseException:  # noqa: BLE001 - neither the settler nor the next callback is to blame
                    report(_log.exception, "a callback on a reply failed")

    def subscribe(self, callback: Callable[[Reply[Any]], object]) -> bool:
        """Have `callback(reply)` called once in the thread that settles the reply.

        Returns False, and does not call it, when the reply is settled already. The callback must be
        quick and hashable: it may run on the scheduler's thread. What it raises is logged. To subscribe
        the same one twice is to subscribe it once.
        """
        with self._lock:
            if self._settled:
                return False
            if self._callbacks is None:
                self._callbacks = {}
            self._callbacks[callback] = None
            return True

    def unsubscribe(self, callback: Callable[[Reply[Any]], object]) -> None:
        with self._lock:
            if self._callbacks is not None:
                self._callbacks.pop(callback, None)

    def get(self, *, timeout: float | None = None) -> T:
        """Wait for the answer, at most `timeout` seconds, and return it or raise what it holds.

        Raises:
            pykka.Timeout: the time is over. The actor goes on with its work all the same.
            BlockingCallError: waiting here would block trio.
        """
        self.wait(timeout)
        return self._unwrap()

    def wait(self, timeout: float | None = None) -> None:
        """Block as `get` does, and return when `get` would no longer wait, whatever the outcome is."""
        if self._settled:
            return
        if self._hook is not None:
            self._run_hook(self._hook, timeout)
        else:
            self._block(timeout)

    def _run_hook(self, hook: Callable[[float | None], T], timeout: float | None) -> None:
        value = hook(timeout)  # without the lock: it is somebody else's code
        with self._lock:
            if not self._settled:
                self._outcome = value
                self._settled = True

    def _block(self, timeout: float | None) -> None:
        refuse_to_block()
        if timeout is not None and timeout <= 0:
            raise pykka.Timeout(f"{timeout} seconds")
        settled = threading.Event()

        def wake(_: Reply[Any]) -> None:
            settled.set()

        if self.subscribe(wake) and not settled.wait(timeout):
            self.unsubscribe(wake)
            if not self._settled:
                raise pykka.Timeout(f"{timeout} seconds")

    def _unwrap(self) -> T:
        if self._failure is None:
            return cast("T", self._outcome)
        kind, value, traceback = self._failure
        if value is None:
            assert kind is not None
            value = kind()
        if value.__traceback__ is not traceback:
            raise value.with_traceback(traceback)
        raise value

    def __await__(self) -> Generator[Any, Any, T]:
        yield from self.settled().__await__()
        return self._unwrap()

    __iter__ = __await__

    async def settled(self) -> None:
        """Return when the reply is settled, whatever the outcome is. Always a checkpoint in trio."""
        if self._hook is not None and not self._settled:
            await _in_thread(self.wait)
        elif trio.lowlevel.in_trio_task():
            await self._wait_in_trio()
        elif not self._settled:
            await self._wait_in_asyncio()

    async def _wait_in_trio(self) -> None:
        waiter = _TrioWaiter(self)
        if self.subscribe(waiter.settled):
            await trio.lowlevel.wait_task_rescheduled(waiter.abort)
        else:
            await trio.lowlevel.checkpoint()

    async def _wait_in_asyncio(self) -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not waiter.done():
                waiter.set_result(None)

        def settled(_: Reply[Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and the waiter gone with it
                loop.call_soon_threadsafe(wake)

        if self.subscribe(settled):
            try:
                await waiter
            finally:
                self.unsubscribe(settled)

    def map(self, func: Callable[[T], M]) -> Reply[M]:
        return _Derived((self,), lambda values: func(values[0]))

    def filter(self: pykka.Future[Iterable[J]], func: Callable[[J], bool]) -> Reply[Iterable[J]]:
        return _Derived((self,), lambda values: list(filter(func, values[0])))

    def join(self: pykka.Future[Any], *futures: pykka.Future[Any]) -> Reply[Iterable[Any]]:
        return _Derived((self, *futures), lambda values: values)

    def reduce(self: pykka.Future[Iterable[J]], func: Callable[[R, J], R], *args: R) -> Reply[R]:
        return _Derived((self,), lambda values: functools.reduce(func, values[0], *args))

    def recover(self, func: Callable[[BaseException], T]) -> Reply[T]:
        """A reply whose failure, if any, is answered by `func(exception)`, which may raise it again."""
        return _Derived((self,), lambda values: values[0], func)


class _TrioWaiter:
    """A trio task that waits for a reply, which may be settled on any thread."""

    __slots__ = ("_reply", "_task", "_thread_id", "_token")

    def __init__(self, reply: Reply[Any]) -> None:
        self._reply = reply
        self._task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        self._token = trio.lowlevel.current_trio_token()
        self._thread_id = get_ident()

    def settled(self, _: Reply[Any]) -> None:
        if get_ident() == self._thread_id and trio.lowlevel.in_trio_task():
            self._wake()
        else:
            with contextlib.suppress(trio.RunFinishedError):  # the waiter is gone with its run
                self._token.run_sync_soon(self._wake)

    def _wake(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        self._reply.unsubscribe(self.settled)
        return trio.lowlevel.Abort.SUCCEEDED


class _Derived(Reply[T]):
    """Waits for its sources in its own caller, then computes there and keeps the first result."""

    def __init__(
        self,
        sources: tuple[pykka.Future[Any], ...],
        compute: Callable[[list[Any]], T],
        recover: Callable[[BaseException], T] | None = None,
    ) -> None:
        super().__init__()
        self._sources = sources
        self._compute = compute
        self._recover = recover

    @property
    def done(self) -> bool:
        return self._settled or all(isinstance(source, Reply) and source.done for source in self._sources)

    def subscribe(self, callback: Callable[[Reply[Any]], object]) -> bool:
        """As of any reply, where all sources are replies: called when the last of them is settled.

        Raises:
            TypeError: a source is a future of another kind, which can only be waited for.
        """
        sources = [source for source in self._sources if isinstance(source, Reply)]
        if len(sources) < len(self._sources):
            raise TypeError("a reply made of futures of another kind can only be waited for")
        return _Countdown(self, callback).start(sources)

    def wait(self, timeout: float | None = None) -> None:
        if self._settled:
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        for source in self._sources:
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            _wait_for(source, remaining)
        self._derive()

    async def settled(self) -> None:
        for source in self._sources:
            if isinstance(source, Reply):
                await source.settled()
            else:
                await _in_thread(functools.partial(_wait_for, source, None))
        self._derive()

    def _derive(self) -> None:
        try:
            value, failure = self._combine(), None
        except Exception:  # noqa: BLE001 - becomes the answer of this reply
            value, failure = None, sys.exc_info()
        with contextlib.suppress(queue.Full):  # another caller was quicker, and its result stands
            self._settle(value, failure)

    def _combine(self) -> T:
        try:
            values = [source.get(timeout=0) for source in self._sources]
        except Exception as error:
            if self._recover is None:
                raise
            return self._recover(error)
        return self._compute(values)


class _Countdown:
    """Calls back when the last of several replies is settled."""

    def __init__(self, derived: Reply[Any], callback: Callable[[Reply[Any]], object]) -> None:
        self._derived = derived
        self._callback = callback
        self._lock = threading.RLock()
        self._missing = 0

    def start(self, sources: list[Reply[Any]]) -> bool:
        """Whether there is one to wait for."""
        self._missing = len(sources) + 1  # one is ours, so that it does not ring before all have been seen
        for source in sources:
            if not source.subscribe(self._settled):
                self._count()
        return not self._count()

    def _settled(self, _: Reply[Any]) -> None:
        if self._count():
            self._callback(self._derived)

    def _count(self) -> bool:
        with self._lock:
            self._missing -= 1
            return self._missing == 0


def refuse_to_block() -> None:
    """Raise BlockingCallError on a thread that runs trio or an asyncio loop."""
    if not may_block():
        raise BlockingCallError(
            "waiting here would stop the loop of this thread: await the reply, "
            "as in `await ref.ask(message, block=False)` or `await ref.stop(block=False)`"
        )


def may_block() -> bool:
    """Whether nothing but this thread itself stands still while it waits."""
    if trio.lowlevel.in_trio_run():
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


# The runtime answers through these. The asker may have settled its reply itself, a deferred one may be
# settled by two: that is between them, and must not disturb whoever answers.


def answer(reply: pykka.Future[Any], value: object) -> None:
    try:
        reply.set(value)
    except queue.Full:
        pass
    except Exception:  # noqa: BLE001 - a future of somebody else's making
        report(_log.exception, "a reply could not be settled")


def answer_error(
    reply: pykka.Future[Any], error: BaseException, traceback: TracebackType | None = None
) -> None:
    try:
        reply.set_exception((type(error), error, traceback))
    except queue.Full:
        pass
    except Exception:  # noqa: BLE001 - as above
        report(_log.exception, "a reply could not be settled")


def answer_dead(reply: pykka.Future[Any], reason: str, cause: BaseException | None = None) -> None:
    error = pykka.ActorDeadError(reason)
    error.__cause__ = cause
    answer_error(reply, error)


def answer_late(reply: pykka.Future[Any], seconds: float) -> None:
    answer_error(reply, pykka.Timeout(f"{seconds} seconds"))


def _wait_for(source: pykka.Future[Any], timeout: float | None) -> None:
    if isinstance(source, Reply):
        source.wait(timeout)
        return
    try:
        source.get(timeout=timeout)
    except pykka.Timeout:
        raise
    except Exception:  # noqa: BLE001, S110 - the outcome is looked at where it is combined
        pass


async def _in_thread(func: Callable[[], object]) -> None:
    if trio.lowlevel.in_trio_task():
        await trio.to_thread.run_sync(func, abandon_on_cancel=True)
    else:
        await asyncio.to_thread(func)
