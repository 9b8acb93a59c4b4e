"""Work off the scheduler's thread: real threads, real processes, and none of them left behind."""

from __future__ import annotations

import contextlib
import contextvars
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from runtime import ActorSystem, TrioActor
from runtime.errors import NotPicklableError, WorkerDiedError
from runtime.offload import offload_statistics, run_blocking, run_killable
from tests.runtime import offload_work
from tests.runtime.offload_work import (
    Awkward,
    StubbornError,
    announce_and_hang,
    double,
    fail,
    fork_and_exit,
    fork_twice_with_files_open,
    hang_after_starting_a_program,
    quit_by_exit,
    return_lock,
    talk,
    threads_of,
)
from tests.runtime.samples import Echo

PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="worker processes need POSIX")


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """A named pipe through which a worker tells the number of a process."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


def pid_through(fifo: Path) -> int:
    return int(fifo.read_text())


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def has_ended(pid: int) -> bool:
    """For processes that are not our children: gone, or left to init, which takes its time."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def wait_until_ended(pid: int) -> None:
    while not has_ended(pid):
        await trio.lowlevel.checkpoint()


# --- threads ----------------------------------------------------------------------------------------


async def test_blocking_work_runs_in_a_thread_with_the_callers_context() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("of the caller")

    def look(prefix: str) -> tuple[str, bool]:
        return prefix + variable.get(), threading.current_thread() is threading.main_thread()

    assert await run_blocking(look, "it is ") == ("it is of the caller", False)
    assert offload_statistics().threads == 0


async def test_an_exception_in_the_thread_comes_back_as_itself() -> None:
    error = KeyError("mine")

    with pytest.raises(KeyError) as raised:
        await run_blocking(fail, error)
    assert raised.value is error
    assert offload_statistics().threads == 0


class Gate:
    """Blocking work that lasts until the test opens it."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.results: list[str] = []

    def pass_through(self) -> str:
        self.entered.set()
        self.opened.wait()
        self.results.append("late")
        return "late"


@contextlib.contextmanager
def gate() -> Generator[Gate, None, None]:
    gate = Gate()
    try:
        yield gate
    finally:
        gate.opened.set()


async def test_an_abandoned_thread_is_counted_and_its_late_result_dropped() -> None:
    with gate() as work:
        results: list[str] = []

        async def call() -> None:
            results.append(await run_blocking(work.pass_through))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await trio.to_thread.run_sync(work.entered.wait)
            nursery.cancel_scope.cancel()

        statistics = offload_statistics()
        assert (statistics.threads, statistics.abandoned_threads) == (1, 1)

        work.opened.set()
        await trio.testing.wait_all_threads_completed()
        while offload_statistics().threads:
            await trio.lowlevel.checkpoint()

    assert (work.results, results) == (["late"], [])
    assert offload_statistics().abandoned_threads == 0


async def test_an_abandoned_thread_keeps_its_place_in_the_limiter_and_the_next_call_can_be_cancelled() -> (
    None
):
    limiter = trio.CapacityLimiter(1)
    with gate() as work:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: run_blocking(work.pass_through, limiter=limiter))
            await trio.to_thread.run_sync(work.entered.wait)
            nursery.cancel_scope.cancel()

        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: run_blocking(double, 1, limiter=limiter))
                await wait_all_tasks_blocked()
                scope.cancel()
        assert limiter.statistics().tasks_waiting == 0
        assert offload_statistics().threads == 1

        work.opened.set()
        assert await run_blocking(double, 2, limiter=limiter) == 4
    assert limiter.borrowed_tokens == 0


async def test_abandoned_threads_do_not_take_trios_own() -> None:
    with gate() as work:
        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(run_blocking, work.pass_through)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

        assert offload_statistics().abandoned_threads == 40
        assert trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
        assert await trio.to_thread.run_sync(double, 1) == 2
        work.opened.set()


async def test_a_call_cancelled_before_it_began_leaves_nothing_taken() -> None:
    limiter = trio.CapacityLimiter(1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await run_blocking(double, 1, limiter=limiter)

    assert limiter.borrowed_tokens == 0
    assert offload_statistics().threads == 0


def test_the_trio_run_ends_without_its_abandoned_threads() -> None:
    ended = threading.Event()

    with gate() as work:

        def pass_and_tell() -> None:
            work.pass_through()
            ended.set()

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run_blocking, pass_and_tell)
                await trio.to_thread.run_sync(work.entered.wait)
                nursery.cancel_scope.cancel()

        trio.run(main)
        assert not ended.is_set()

    assert ended.wait(60)


# --- processes --------------------------------------------------------------------------------------


async def test_killable_work_runs_in_another_process_which_is_used_again() -> None:
    first, _ = await run_killable(threads_of)
    second, thread = await run_killable(threads_of, None)

    assert first == second != os.getpid()
    assert thread == "MainThread"
    assert offload_statistics().processes == offload_statistics().idle_processes == 1


async def test_a_cancelled_call_kills_its_process(fifo: Path) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_killable, announce_and_hang, fifo)
        pid = await trio.to_thread.run_sync(pid_through, fifo)
        assert is_there(pid)
        nursery.cancel_scope.cancel()

    assert not is_there(pid)
    assert offload_statistics().processes == 0


async def test_a_cancelled_call_kills_what_its_work_has_started(fifo: Path) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_killable, hang_after_starting_a_program, fifo)
        pid = await trio.to_thread.run_sync(pid_through, fifo)
        nursery.cancel_scope.cancel()

    await wait_until_ended(pid)


async def test_calls_cancelled_at_any_moment_leave_no_process_behind() -> None:
    before = children()
    for number in range(10):
        with trio.move_on_after(number * 0.01):  # while it starts, and at work
            await run_killable(double, 1)
            await run_killable(signal.pause)

    assert offload_statistics().processes <= 1  # one that became idle
    assert len(children() - before) == offload_statistics().processes


def test_no_process_outlives_the_trio_run() -> None:
    async def main() -> tuple[int, int]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_killable, double, 1)
            nursery.start_soon(run_killable, double, 2)
        return await run_killable(os.getpid), offload_statistics().processes

    before = children()
    pid, count = trio.run(main)

    assert count
    assert not is_there(pid)
    assert children() <= before


def children() -> set[str]:
    """The processes that this one has started and not yet collected."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()) | {
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
    }


@pytest.mark.parametrize(
    ("function", "args", "said"),
    [
        (os._exit, (5,), "the worker process of posix._exit died: exit code 5"),
        (signal.raise_signal, (signal.SIGSEGV,), "died: killed by SIGSEGV"),
        (signal.raise_signal, (signal.SIGKILL,), "died: killed by SIGKILL"),
        (
            quit_by_exit,
            (),
            "tests.runtime.offload_work.quit_by_exit quit its worker process: SystemExit: 3",
        ),
        (fail, (KeyboardInterrupt(),), "fail quit its worker process: KeyboardInterrupt"),
    ],
    ids=["exit", "segfault", "kill", "sys.exit", "interrupt"],
)
async def test_work_that_ends_its_process_says_so(function: Any, args: tuple[Any, ...], said: str) -> None:
    with pytest.raises(WorkerDiedError) as raised:
        await run_killable(function, *args)

    assert str(raised.value).endswith(said)
    assert offload_statistics().processes == 0
    assert await run_killable(double, 1) == 2


async def test_a_process_that_dies_takes_its_forked_children_with_it(fifo: Path) -> None:
    async with trio.open_nursery() as nursery:

        async def die() -> None:
            with pytest.raises(WorkerDiedError):
                await run_killable(fork_and_exit, fifo)

        nursery.start_soon(die)
        pid = await trio.to_thread.run_sync(pid_through, fifo)

    await wait_until_ended(pid)


async def test_what_a_forked_child_opens_stays_open_in_its_own_children() -> None:
    assert await run_killable(fork_twice_with_files_open) == 10


async def test_a_worker_that_died_idle_is_replaced() -> None:
    pid = await run_killable(os.getpid)
    os.kill(pid, signal.SIGKILL)
    await trio.to_thread.run_sync(os.waitid, os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    assert await run_killable(double, 1) == 2
    assert offload_statistics().processes == 1


async def test_an_exception_in_the_worker_comes_back_as_itself_with_its_story() -> None:
    with pytest.raises(ZeroDivisionError, match="mine") as raised:
        await run_killable(fail, ZeroDivisionError("mine"))

    assert "offload_work.py" in raised.value.__notes__[0]
    assert await run_killable(double, 1) == 2
    assert offload_statistics().processes == 1


async def test_what_cannot_travel_says_so_and_names_the_function() -> None:
    def local() -> None:
        pass

    with pytest.raises(NotPicklableError, match=r"<locals>\.local and its arguments cannot be sent"):
        await run_killable(local)
    with pytest.raises(NotPicklableError, match="double and its arguments cannot be sent"):
        await run_killable(double, threading.Lock())  # pyright: ignore[reportArgumentType] - what is tested
    with pytest.raises(NotPicklableError, match=r"cannot load .*threads_of and its arguments: ValueError"):
        await run_killable(threads_of, Awkward())
    with pytest.raises(NotPicklableError, match=r"what .*return_lock returned cannot be sent back"):
        await run_killable(return_lock)
    with pytest.raises(
        NotPicklableError, match=r"what .*Awkward returned cannot be loaded here: ValueError"
    ):
        await run_killable(Awkward)
    with pytest.raises(NotPicklableError, match=r"raised cannot be sent back(.|\n)*StubbornError: onetwo"):
        await run_killable(raise_stubborn)

    assert await run_killable(double, 1) == 2
    assert offload_statistics().processes == 1


def raise_stubborn() -> None:
    raise StubbornError("one", "two")


async def test_context_variables_do_not_travel() -> None:
    assert await run_killable(read_variable) == "default"
    _variable.set("of the caller")
    assert await run_killable(read_variable) == "default"


_variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")


def read_variable() -> str:
    return _variable.get()


async def test_large_arguments_and_results_pass() -> None:
    data = os.urandom(5_000_000)
    assert await run_killable(bytes.upper, data) == data.upper()


async def test_work_may_use_the_standard_streams(capfd: pytest.CaptureFixture[str]) -> None:
    assert await run_killable(talk) == ""
    assert capfd.readouterr() == ("", "from print\nfrom echo\nfrom write\n")


async def test_calls_beyond_the_limit_wait_and_can_be_cancelled(fifo: Path) -> None:
    limiter = trio.CapacityLimiter(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run_killable(announce_and_hang, fifo, limiter=limiter))
        await trio.to_thread.run_sync(pid_through, fifo)

        with trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                inner.start_soon(lambda: run_killable(double, 1, limiter=limiter))
                while not limiter.statistics().tasks_waiting:
                    await trio.lowlevel.checkpoint()
                scope.cancel()
        assert offload_statistics().processes == 1
        nursery.cancel_scope.cancel()

    assert await run_killable(double, 2, limiter=limiter) == 4
    assert limiter.borrowed_tokens == 0


# --- hosts ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def host(*arguments: str | Path) -> Generator[subprocess.Popen[str], None, None]:
    """A program in a process group of its own, as a shell starts it."""
    with subprocess.Popen(
        [sys.executable, str(offload_work.__file__), *arguments],
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_ctrl_c_reaches_the_host_and_no_worker(fifo: Path) -> None:
    with host("be interrupted", fifo) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "2\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "4\n"
        worker = pid_through(fifo)
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)

    assert (process.returncode, output, errors) == (0, "0\n6\n", "")
    assert not is_there(worker)


async def test_a_worker_ends_when_its_host_is_killed(fifo: Path) -> None:
    with host("hang", fifo) as process:
        worker = await trio.to_thread.run_sync(pid_through, fifo)
        process.kill()
        process.wait()

    await wait_until_ended(worker)


def test_functions_and_values_of_a_script_travel() -> None:
    with host() as process:
        output, errors = process.communicate(timeout=60)

    assert (process.returncode, output, errors) == (0, "True 8\n", "")


# --- actors -----------------------------------------------------------------------------------------


class Computing(TrioActor):
    """Awaits killable work in a child task, and tells its result to itself."""

    def __init__(self, fifo: Path) -> None:
        super().__init__()
        self.fifo = fifo
        self.results: list[object] = []

    def on_receive(self, message: Any) -> Any:
        match message:
            case "double":
                self.spawn(self.compute)
            case "hang":
                self.spawn(run_killable, announce_and_hang, self.fifo)
            case "results":
                return self.results
            case result:
                self.results.append(result)
        return None

    async def compute(self) -> None:
        self.actor_ref.tell(await run_killable(double, 21))


async def test_stopping_an_actor_kills_the_worker_of_its_child_task(
    system: ActorSystem, fifo: Path
) -> None:
    computing, echo = system.spawn(Computing, fifo), system.spawn(Echo)
    computing.tell("hang")
    pid = await trio.to_thread.run_sync(pid_through, fifo)
    assert is_there(pid)
    assert await echo.ask("the others go on", block=False) == "the others go on"

    assert await computing.stop(block=False)

    assert not is_there(pid)


async def test_an_actor_gets_the_result_of_killable_work_as_a_message(
    system: ActorSystem, fifo: Path
) -> None:
    computing = system.spawn(Computing, fifo)
    computing.tell("double")
    with trio.fail_after(60):
        while not (results := await computing.ask("results", block=False)):
            await trio.lowlevel.checkpoint()

    assert results == [42]
