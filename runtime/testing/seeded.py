"""Runs that a seed decides, in the manner of FoundationDB's simulation and of hypothesis-trio.

trio shuffles its tasks, and has no public way to have a seed decide how. test_deterministic.py fails with
a message that says so should the private one ever change.
"""

from __future__ import annotations

import contextvars
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import trio
from trio._core import _run as _trio_run  # pyright: ignore[reportPrivateUsage] - see above
from trio.testing import MockClock

from runtime.system import ActorSystem, open_system
from runtime.testing.clock import ManualClock
from runtime.testing.seeded_pace import SeededPace

if TYPE_CHECKING:
    from runtime.faults import FaultPlan

__all__ = ["DeadlockError", "explore", "find_failing_seed", "open_seeded_system", "run_seeded"]

P = ParamSpec("P")
T = TypeVar("T")


class DeadlockError(RuntimeError):
    """In a seeded run everything waits, and for nothing that time brings.

    Either the actors and tasks wait for each other, or one waits for a thread, a process or a socket, whose
    order no seed decides: seeded runs must do without them.
    """


def run_seeded(
    async_function: Callable[..., Awaitable[T]],
    *args: Any,
    seed: int,
    clock: ManualClock | None = None,
) -> T:
    """`trio.run(async_function, *args)` in an order that the seed decides: the same seed, the same run.

    Decided are the order of actors, the length of their slices, when tasks get their turn, the order of
    tasks, and that of timers due at the same moment: of systems that `open_seeded_system` makes inside.
    Time does not pass by itself: when everything waits, it jumps to the next deadline; a `ManualClock` is
    advanced by the test instead. The `random` module is seeded, too, and put back afterwards.

    An exception gets a note that names the seed. Not decided, and to be avoided inside: threads, processes
    and sockets; other trio runs of the process at the same time; the order of sets and of addresses (`id`),
    and across processes of `hash(str)`.

    Raises:
        DeadlockError: nothing can happen any more.
        RuntimeError: it was called inside a trio run, or trio does not allow for it any more.
    """
    with _trio_decided_by(seed), _naming(seed):
        token = _seed.set(_Seed(seed))
        try:
            return trio.run(
                _run_until_deadlock, async_function, args, clock=clock or MockClock(autojump_threshold=0)
            )
        finally:
            _seed.reset(token)


def explore(
    async_function: Callable[..., Awaitable[object]], *args: Any, seeds: Iterable[int] = range(100)
) -> None:
    """`run_seeded` for every seed; the first failure is raised, with a note that names its seed."""
    for seed in seeds:
        run_seeded(async_function, *args, seed=seed)


def find_failing_seed(
    async_function: Callable[..., Awaitable[object]], *args: Any, seeds: Iterable[int] = range(100)
) -> int | None:
    """The first seed whose run raises an Exception, for `run_seeded` to replay; None if none does."""
    for seed in seeds:
        try:
            run_seeded(async_function, *args, seed=seed)
        except Exception:  # noqa: BLE001 - what the caller looks for
            return seed
    return None


@asynccontextmanager
async def open_seeded_system(
    *, shutdown_budget_seconds: float = 10.0, faults: FaultPlan | None = None
) -> AsyncGenerator[ActorSystem, None]:
    """`open_system` with the seed of the run that it is in.

    Raises:
        RuntimeError: this is no seeded run.
    """
    seed = _seed.get(None)
    if seed is None:
        raise RuntimeError("open_seeded_system() takes the seed of run_seeded(), and this is no seeded run")
    async with open_system(
        shutdown_budget_seconds=shutdown_budget_seconds,
        handler_limit_seconds=None,  # the watchdog is a thread
        pace=seed.pace(),
        faults=faults,
    ) as system:
        yield system


class _Seed:
    """The seed of a run. Each of its systems gets a pace of its own."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._systems = 0

    def pace(self) -> SeededPace:
        self._systems += 1
        return SeededPace(f"{self._seed}, system {self._systems}")


_seed: contextvars.ContextVar[_Seed] = contextvars.ContextVar("runtime.testing.seed")


@contextmanager
def _naming(seed: int) -> Generator[None, None, None]:
    try:
        yield
    except BaseException as error:
        error.add_note(f"This was seed {seed}: run_seeded(..., seed={seed}) runs it again.")
        raise


@contextmanager
def _trio_decided_by(seed: int) -> Generator[None, None, None]:
    if not isinstance(getattr(_trio_run, "_r", None), random.Random) or not hasattr(
        _trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING"
    ):
        raise RuntimeError(f"trio {trio.__version__} schedules its tasks in a way that no seed decides")
    private: Any = _trio_run
    allowed, trio_state, random_state = (
        private._ALLOW_DETERMINISTIC_SCHEDULING,
        private._r.getstate(),
        random.getstate(),
    )
    private._ALLOW_DETERMINISTIC_SCHEDULING = True
    private._r.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        private._ALLOW_DETERMINISTIC_SCHEDULING = allowed
        private._r.setstate(trio_state)
        random.setstate(random_state)


async def _run_until_deadlock(async_function: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> T:
    with trio.CancelScope() as scope:
        watch = _DeadlockWatch(scope)
        trio.lowlevel.add_instrument(watch)
        try:
            result = await async_function(*args)
        finally:
            trio.lowlevel.remove_instrument(watch)
        if not watch.deadlocked:
            return result
    raise DeadlockError(
        "everything waits, and for nothing that time brings: a deadlock, or a thread or socket"
    )


class _DeadlockWatch(trio.abc.Instrument):
    """Cancels the run when trio is about to wait for nothing that could come."""

    def __init__(self, scope: trio.CancelScope) -> None:
        self._scope = scope
        self._token = trio.lowlevel.current_trio_token()
        self._idle_rounds = 0
        self.deadlocked = False

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - trio's signature
        self._idle_rounds = 0

    def before_io_wait(self, timeout: float) -> None:
        # Somebody in wait_all_tasks_blocked() runs within a round or two of 0 seconds, and a jump of the
        # clock brings a task to run in the round after it.
        self._idle_rounds += 1
        if (self._idle_rounds > _ROUNDS_TO_WAKE or timeout > _AN_HOUR) and not self.deadlocked:
            statistics = trio.lowlevel.current_statistics()
            if not statistics.tasks_runnable and not statistics.run_sync_soon_queue_size:
                self.deadlocked = True
                self._token.run_sync_soon(self._scope.cancel)


_ROUNDS_TO_WAKE = 10
_AN_HOUR = 3600.0
