"""Work that must not run on the scheduler's thread: in threads, and in processes that can be killed.

Await these in child tasks (`self.spawn`) or async handlers; the scheduler goes on with other actors.

The worker is a program of our own because anyio's `to_process` cannot promise to kill: a call cancelled
while its worker starts leaves the process behind (agronholm/anyio#1337), a Ctrl-C that meets an idle worker
makes later calls return the results of earlier ones, and work that writes to file descriptor 1 breaks the
protocol. Ours leads a session of its own, so that Ctrl-C passes it by and a kill takes its children too.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, TypeVarTuple, assert_never, cast

import trio

from runtime import worker_process
from runtime.errors import NotPicklableError, WorkerDiedError
from runtime.worker_process import HEADER, MAIN_IN_WORKER, Status, frame

__all__ = ["OffloadStatistics", "offload_statistics", "run_blocking", "run_killable"]

Ts = TypeVarTuple("Ts")
R = TypeVar("R")

BLOCKING_LIMIT = 40
"""Threads at a time, abandoned ones included, where the caller gives no limiter; trio's own default."""

IDLE_WORKER_SECONDS = 60.0
"""An idle worker process is kept for so long; it is looked at when another call ends."""

REAP_SECONDS = 5.0
"""How long a call waits for a process that it has killed. Beyond it, the end of the trio run waits."""


@dataclass(frozen=True, slots=True)
class OffloadStatistics:
    """What runs beside the scheduler, for this trio run."""

    threads: int
    """Threads at work for `run_blocking`, abandoned ones included."""
    abandoned_threads: int
    """Threads whose caller was cancelled, and which have not ended yet."""
    processes: int
    """Worker processes of `run_killable`, idle ones included."""
    idle_processes: int
    """Worker processes that wait for the next call."""


def offload_statistics() -> OffloadStatistics:
    """Count the threads and processes of the trio run that this is called in."""
    threads, workers = _threads(), _workers()
    return OffloadStatistics(
        threads=threads.running,
        abandoned_threads=threads.abandoned,
        processes=len(workers.all),
        idle_processes=len(workers.idle),
    )


class _Threads:
    """The threads of one trio run. Belongs to trio's thread."""

    def __init__(self) -> None:
        # Not trio's default one: what hangs in abandoned threads must not starve everybody else's I/O.
        self.limiter = trio.CapacityLimiter(BLOCKING_LIMIT)
        self.running = 0
        self.abandoned = 0


class _BlockingCall(Generic[R]):
    """One call. Holds a token of its limiter until the thread has ended, whoever still waits for it."""

    def __init__(
        self, name: str, function: Callable[[], R], limiter: trio.CapacityLimiter, threads: _Threads
    ) -> None:
        self._name = name
        self._function = function
        self._limiter = limiter
        self._threads = threads
        self._token = trio.lowlevel.current_trio_token()
        self._over = False
        self._abandoned = False

    async def run(self) -> R:
        await self._limiter.acquire_on_behalf_of(self)
        self._threads.running += 1
        # trio gives this one's token back when the thread has ended: so it tells whether there is a thread.
        thread = trio.CapacityLimiter(1)
        try:
            return await trio.to_thread.run_sync(
                self._call, thread_name=self._name, abandon_on_cancel=True, limiter=thread
            )
        except BaseException:
            if not self._over:
                if thread.borrowed_tokens:
                    self._abandoned = True
                    self._threads.abandoned += 1
                else:
                    self._end()
            raise

    def _call(self) -> R:
        try:
            return self._function()
        finally:
            with contextlib.suppress(trio.RunFinishedError):
                # Queued before trio queues the result: the caller finds the token given back.
                self._token.run_sync_soon(self._end)

    def _end(self) -> None:
        self._over = True
        self._threads.running -= 1
        self._threads.abandoned -= self._abandoned
        self._limiter.release_on_behalf_of(self)


_threads_of_run: trio.lowlevel.RunVar[_Threads] = trio.lowlevel.RunVar("runtime.offload.threads")


def _threads() -> _Threads:
    try:
        return _threads_of_run.get()
    except LookupError:
        threads = _Threads()
        _threads_of_run.set(threads)
        return threads


@trio.lowlevel.enable_ki_protection
async def run_blocking(
    function: Callable[[*Ts], R], *args: *Ts, limiter: trio.CapacityLimiter | None = None
) -> R:
    """Call `function(*args)` in a thread, and return or raise what it returns or raises.

    For work that waits: files, DNS, a client without async. Work that computes holds the interpreter's
    lock and slows down every actor: see `run_killable`.

    A cancelled caller gets control back at once. The thread cannot be stopped: it is abandoned, counted
    in `offload_statistics()`, keeps its place in the limiter until it ends, and its late result is
    dropped. The function may look for that itself by `trio.from_thread.check_cancelled()`. The end of
    the trio run does not wait for abandoned threads.

    At most BLOCKING_LIMIT threads run at a time, apart from trio's own, or as many as `limiter` allows;
    the next call waits for its turn, and may be cancelled then without having started. The thread sees a
    copy of the caller's context variables.
    """
    threads = _threads()
    name = _name_of(function)
    call = _BlockingCall(name, lambda: function(*args), limiter or threads.limiter, threads)
    return await call.run()


class _Worker:
    """One worker process, the leader of a session and process group of its own.

    So the terminal's Ctrl-C reaches the host only, and a kill also ends what the work has started.
    """

    def __init__(self, process: trio.Process, setup: bytes) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout
        self._setup = setup
        self._exited = False
        self.idle_since = 0.0

    async def request(self, request: bytes) -> tuple[Status, bytes]:
        """Send a frame and read one.

        Raises:
            EOFError: the process has ended.
        """
        try:
            await self._stdin.send_all(self._setup + request)
        except trio.BrokenResourceError:
            raise EOFError from None
        self._setup = b""
        status, length = HEADER.unpack(await self._receive(HEADER.size))
        return Status(status), await self._receive(length)

    async def _receive(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            chunk = await self._stdout.receive_some(size - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return bytes(data)

    def has_exited(self) -> bool:
        self._exited = self._exited or self._process.poll() is not None
        return self._exited

    def kill(self) -> None:
        """Kill the process and those that it has started. Idempotent."""
        if not self._exited:  # afterwards its number may be somebody else's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Close the pipes, and wait for the end of the process."""
        await self._stdin.aclose()
        await self._stdout.aclose()
        code = await self._process.wait()
        self._exited = True
        return code


class _Workers:
    """The worker processes of one trio run. Belongs to trio's thread."""

    def __init__(self) -> None:
        self.limiter = trio.CapacityLimiter(_available_cores())
        self.all: set[_Worker] = set()
        self.idle: list[_Worker] = []  # the longest idle first
        self._closed = False
        trio.lowlevel.spawn_system_task(self._end_with_the_run, name="runtime.offload")

    async def take(self) -> _Worker:
        """An idle worker, or a new one."""
        while self.idle:
            worker = self.idle.pop()
            if not worker.has_exited():
                return worker
            await self.end(worker)
        # Either raises, or gives a process: a cancellation in between waits until it is known.
        process = await trio.lowlevel.open_process(
            [sys.executable, "-P", str(Path(worker_process.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        worker = _Worker(process, _host_modules())
        self.all.add(worker)
        return worker

    async def give_back(self, worker: _Worker) -> None:
        now = trio.current_time()
        worker.idle_since = now
        self.idle.append(worker)
        while self.idle and (self._closed or now - self.idle[0].idle_since > IDLE_WORKER_SECONDS):
            await self.end(self.idle.pop(0))

    async def end(self, worker: _Worker) -> int | None:
        """Kill a worker and wait until it is gone, also when the caller is being cancelled.

        Returns its exit code, unless it takes longer than REAP_SECONDS to die.
        """
        worker.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + REAP_SECONDS):
            code = await worker.wait()
            self.all.discard(worker)
            return code
        return None

    @trio.lowlevel.enable_ki_protection
    async def _end_with_the_run(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self._closed = True
            for worker in self.all:
                worker.kill()
            with trio.CancelScope(shield=True):
                for worker in tuple(self.all):
                    await worker.wait()


_workers_of_run: trio.lowlevel.RunVar[_Workers] = trio.lowlevel.RunVar("runtime.offload.workers")


def _workers() -> _Workers:
    try:
        return _workers_of_run.get()
    except LookupError:
        workers = _Workers()
        _workers_of_run.set(workers)
        return workers


@trio.lowlevel.enable_ki_protection
async def run_killable(
    function: Callable[[*Ts], R], *args: *Ts, limiter: trio.CapacityLimiter | None = None
) -> R:
    """Call `function(*args)` in a worker process, and return or raise what it returns or raises.

    For work that computes, and for work that may hang or crash. A cancelled caller kills the process at
    once (SIGKILL, and whatever the work has started in its process group), also while it is still
    starting; when the call has ended the process is gone. It is no sandbox: the work runs with the
    host's rights, and what it returns is unpickled in the host.

    At most one process per core that this process may use, or as many as `limiter` allows; the next call
    waits for its turn, and may be cancelled then without having started. Processes are used again: work
    finds the modules as earlier work left them. None outlives the trio run, nor a host that is killed.

    Function, arguments and result are pickled, on the scheduler's thread: keep them small, or send the
    name of a file. The function has to be importable; if it stands in the host's main script, the worker
    runs that script without its `if __name__ == "__main__"`. Context variables do not travel. In the
    worker, stdin is empty and stdout goes to the host's stderr. A Ctrl-C reaches the host only. POSIX
    systems only.

    Raises:
        NotPicklableError: function, arguments, result or exception cannot travel.
        WorkerDiedError: the process ended before the work did.
    """
    name = _name_of(function)
    try:
        request = frame(Status.REQUEST, pickle.dumps((function, args), pickle.HIGHEST_PROTOCOL))
    except Exception as error:  # whatever a __reduce__ raises
        raise NotPicklableError(
            f"{name} and its arguments cannot be sent to a worker process: {error}. Use a function that can"
            " be imported and plain arguments, or run_blocking"
        ) from error
    workers = _workers()
    async with limiter or workers.limiter:
        worker = await workers.take()
        try:
            status, payload = await worker.request(request)
        except EOFError:
            code = await workers.end(worker)
            raise WorkerDiedError(f"the worker process of {name} died: {_ending(code)}") from None
        except BaseException:
            await workers.end(worker)
            raise
        if status is Status.QUIT:
            await workers.end(worker)
            raise WorkerDiedError(f"{name} quit its worker process: {payload.decode()}")
        await workers.give_back(worker)
    return cast("R", _outcome(name, status, payload))


def _outcome(name: str, status: Status, payload: bytes) -> object:
    match status:
        case Status.RETURNED:
            return _loaded(name, "returned", payload)
        case Status.RAISED:
            error = _loaded(name, "raised", payload)
            assert isinstance(error, Exception)
            raise error
        case Status.UNREADABLE_REQUEST:
            raise NotPicklableError(
                f"the worker process cannot load {name} and its arguments: {payload.decode()}. Use"
                " a function of a module that a new process can import, or run_blocking"
            )
        case Status.UNSENDABLE_RESULT:
            raise NotPicklableError(
                f"what {name} returned cannot be sent back: {payload.decode()}. Return plain data, or use"
                " run_blocking"
            )
        case Status.UNSENDABLE_ERROR:
            raise NotPicklableError(
                f"what {name} raised cannot be sent back; catch it there, or use run_blocking. It was:\n"
                f"{payload.decode()}"
            )
        case Status.QUIT | Status.REQUEST:
            raise AssertionError(status)
        case _:
            assert_never(status)


class _ResultUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> object:
        return super().find_class("__main__" if module_name == MAIN_IN_WORKER else module_name, global_name)


def _loaded(name: str, what: str, pickled: bytes) -> object:
    try:
        return _ResultUnpickler(io.BytesIO(pickled)).load()
    except Exception as error:  # whatever a __setstate__ raises
        raise NotPicklableError(
            f"what {name} {what} cannot be loaded here: {error!r}. Return plain data, or use run_blocking"
        ) from error


def _host_modules() -> bytes:
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    modules = (sys.path, getattr(spec, "name", None), getattr(main, "__file__", None))
    return frame(Status.REQUEST, pickle.dumps(modules))


def _name_of(function: object) -> str:
    name = getattr(function, "__qualname__", None)
    return f"{getattr(function, '__module__', None)}.{name}" if name else repr(function)


def _ending(code: int | None) -> str:
    if code is None:
        return "it does not end"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _available_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
