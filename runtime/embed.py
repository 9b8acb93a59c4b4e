"""An actor system for hosts that do not run trio: in a thread of its own, with a queue back to the host."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic
from types import TracebackType
from typing import Generic, Self, TypedDict, TypeVar, TypeVarTuple, Unpack

import trio

from runtime.errors import BlockingCallError, SystemClosedError
from runtime.faults import FaultPlan
from runtime.observer import Observer
from runtime.reply import refuse_to_block
from runtime.scheduler import Pace
from runtime.system import ActorSystem, offer_as_default, open_system, withdraw_as_default

__all__ = ["HostQueue", "SystemOptions", "SystemThread", "start_system"]

R = TypeVar("R")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class SystemOptions(TypedDict, total=False):
    """What `open_system` takes; what is not given is as there."""

    shutdown_budget_seconds: float
    handler_limit_seconds: float | None
    observer: Observer | None
    pace: Pace | None
    faults: FaultPlan | None


class SystemThread:
    """An actor system in a background thread. The options are those of `open_system`.

    `with` blocks the calling thread while the system starts and stops; `async with`, for asyncio, does
    not block the loop. Both start it unless it has been started, so `async with SystemThread() as host`
    does it all. `stop` may also be called by hand.

    While it runs it is also what `TrioActor.start()` uses where no other system is current. The thread is a
    daemon: a host that forgets to stop it can still exit, without an orderly stop.
    """

    def __init__(self, **options: Unpack[SystemOptions]) -> None:
        self._open = open_system(**options)
        self._started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._stop_requested: trio.Event | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._system: ActorSystem | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="greenroom-runtime", daemon=True)

    @property
    def system(self) -> ActorSystem:
        assert self._system is not None
        return self._system

    def start(self) -> None:
        """Start the thread and wait until the system runs. Once only."""
        self._thread.start()
        self._started.result()
        if self._failure is not None:
            raise self._failure

    def call(self, function: Callable[[*Ts], Awaitable[R]], *args: *Ts) -> R:
        """Run `await function(*args)` in the system's trio thread, and return its result.

        Blocks the calling thread, which must not be the system's own.

        Raises:
            SystemClosedError: the system has stopped.
        """
        try:
            return trio.from_thread.run(function, *args, trio_token=self._token)
        except (trio.RunFinishedError, trio.Cancelled):
            raise SystemClosedError("the actor system has stopped") from None

    def stop(self, timeout: float | None = None) -> None:
        """Stop the system in order and wait for its thread, at most `timeout` seconds. Idempotent.

        Raises:
            SystemFailedError: the runtime itself had failed.
            BlockingCallError: called on that very thread. The system is not stopped then.
        """
        if threading.current_thread() is self._thread:
            raise BlockingCallError("the system's thread cannot wait for its own end: see ActorSystem.stop")
        self._request_stop()
        self._thread.join(timeout)
        self._raise_failure()

    def _request_stop(self) -> None:
        if self._token is not None and self._stop_requested is not None:
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._stop_requested.set)

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that calls stop()
            self._failure = error
        finally:
            if not self._started.done():
                self._started.set_result(None)
            self._ended.set_result(None)

    async def _serve(self) -> None:
        async with self._open as system:
            self._system = system
            self._token = trio.lowlevel.current_trio_token()
            self._stop_requested = trio.Event()
            offer_as_default(system)
            self._started.set_result(None)
            try:
                await self._stop_requested.wait()
            finally:
                withdraw_as_default(system)

    def __enter__(self) -> Self:
        if not self._is_started:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        if not self._is_started:
            self._thread.start()
            try:
                await _until_done(self._started)
            except asyncio.CancelledError:
                await self.__aexit__(None, None, None)
                raise
            if self._failure is not None:
                raise self._failure
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the system as `stop` does, while the loop runs on.

        Cancelled meanwhile it still waits until the system has stopped, at most the shutdown budget.
        """
        # Not in the loop's executor: calls that wait for actors may have taken all of its threads.
        self._request_stop()
        try:
            await _until_done(self._ended)
        finally:
            self._thread.join()
            self._raise_failure()

    @property
    def _is_started(self) -> bool:
        return self._thread.ident is not None


async def _until_done(future: concurrent.futures.Future[None]) -> None:
    """Wait in asyncio for something bounded, and only then pass a cancellation on."""
    waited_for = asyncio.wrap_future(future)
    cancelled: asyncio.CancelledError | None = None
    while not waited_for.done():
        try:
            await asyncio.wait([waited_for])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


def start_system(**options: Unpack[SystemOptions]) -> SystemThread:
    """Start an actor system in a background thread, for synchronous and asyncio hosts.

    Until it stops it is also what `TrioActor.start()` uses where no other system is current. The options
    are those of `open_system`, with the same defaults.
    """
    thread = SystemThread(**options)
    thread.start()
    return thread


class HostQueue(Generic[T]):
    """A bounded queue out of the actors: what they put, one consumer outside takes in batches.

    Anybody may `put`, from any thread; it never blocks. The consumer is an asyncio task (`async for
    batch in queue`) or a thread (`for batch in queue`, `get`), one at a time. It is woken once a batch,
    not once an item: what is put while it is busy, or on its way, waits for it. A batch is a list in the
    order of putting, never empty.

    At most `limit` items wait, and one more for each thread that puts at the same moment; as many again
    may be in the hands of the consumer. An item beyond it is refused and counted in `lost`: a slow
    consumer costs items, never memory, and the sender is told. What was accepted before stays in order,
    without gaps.

    The queue is its consumer's: `async with` and `with` close it at the end.
    """

    def __init__(self, *, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"a queue of at most {limit} items holds none")
        self._limit = limit
        self._items: deque[T] = deque()
        # How to wake the consumer, while it sleeps. It is set before the items are looked at for the last
        # time, and `put` looks at it after appending: one of the two sees the other. A closed queue keeps
        # `_do_nothing` here, so that a `put` that overlaps with `close` looks again as well.
        self._wake: Callable[[], object] | None = None
        self._closed = False
        self._finished = False  # nobody comes for the items any more
        self._lost = 0
        # For everything but appending and taking. Reentrant: a signal handler or a collected object's
        # __del__ may put while its thread holds it.
        self._lock = threading.RLock()

    @property
    def lost(self) -> int:
        """How many items were refused, or accepted for a loop that was closed before it took them."""
        return self._lost

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._items)

    def put(self, item: T) -> bool:
        """Append an item, from any thread, without blocking; False if it was refused.

        It is when the queue is full or closed, or the consumer's loop is.
        """
        items = self._items
        if self._closed or len(items) >= self._limit:
            with self._lock:
                self._lost += 1
            return False
        items.append(item)
        return self._wake is None or self._wake_consumer(item)

    def close(self) -> None:
        """Refuse further items, and end the iteration after those that wait. Idempotent, any thread."""
        with self._lock:
            wake, self._wake = self._wake, _do_nothing
            self._closed = True
        if wake is not None:
            self._call(wake)

    def _wake_consumer(self, item: T) -> bool:
        with self._lock:
            if self._closed:
                return not (self._finished and self._withdraw(item))
            wake, self._wake = self._wake, None
        return wake is None or self._call(wake)

    def _withdraw(self, item: T) -> bool:
        """Take back what was put too late; False if the consumer still got it."""
        for position, waiting in enumerate(self._items):
            if waiting is item:
                del self._items[position]
                self._lost += 1
                return True
        return False

    def _call(self, wake: Callable[[], object]) -> bool:
        try:
            wake()
        except RuntimeError:  # the loop is closed
            with self._lock:
                self._wake = _do_nothing
                self._closed = self._finished = True
                self._lost += len(self._items)
                self._items.clear()
            return False
        return True

    def _take(self) -> list[T]:
        items = self._items
        if not items:
            with self._lock:
                if self._closed and not items:
                    self._finished = True
                    return []
        return [items.popleft() for _ in range(len(items))]

    def _sleep(self, wake: Callable[[], object]) -> bool:
        """Have `wake` called once when there is something to do; False if there is already."""
        with self._lock:
            if self._closed:
                return False
            if self._wake is not None:
                raise RuntimeError("a HostQueue has one consumer, and another one is waiting already")
            self._wake = wake
            if self._items:
                self._wake = None
                return False
            return True

    def _stay_awake(self, wake: Callable[[], object]) -> None:
        with self._lock:
            if self._wake is wake:
                self._wake = None

    def get(self, timeout: float | None = None) -> list[T]:
        """Block the thread until there is something, at most `timeout` seconds, and take all of it.

        An empty batch says that the queue is closed and everything has been taken.

        Raises:
            TimeoutError: the time is over.
            BlockingCallError: waiting here would block trio.
        """
        deadline = None if timeout is None else monotonic() + timeout
        # Again and again: a `put` that was held up may wake for an item that has been taken already.
        while not self._items and not self._closed:
            refuse_to_block()
            ready = threading.Event()
            wake = ready.set
            if self._sleep(wake):
                try:
                    woken = ready.wait(None if deadline is None else max(0.0, deadline - monotonic()))
                finally:
                    self._stay_awake(wake)
                if not woken and not self._items and not self._closed:
                    raise TimeoutError(f"nothing was put for {timeout} seconds")
        return self._take()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> list[T]:
        batch = self.get()
        if not batch:
            raise StopIteration
        return batch

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[T]:
        """The next batch, in asyncio. Cancelling the wait loses nothing."""
        loop = asyncio.get_running_loop()
        while not self._items and not self._closed:  # as in `get`
            ready: asyncio.Future[None] = loop.create_future()

            def wake(ready: asyncio.Future[None] = ready) -> None:
                loop.call_soon_threadsafe(_settle, ready)

            if self._sleep(wake):
                try:
                    await ready
                finally:
                    self._stay_awake(wake)
        batch = self._take()
        if not batch:
            raise StopAsyncIteration
        return batch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():  # the consumer was cancelled meanwhile
        future.set_result(None)


def _do_nothing() -> None:
    pass
