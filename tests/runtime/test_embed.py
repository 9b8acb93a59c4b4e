"""`start_system`: actors for hosts that do not run trio."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pykka
import pytest
import trio

from runtime import (
    BlockingCallError,
    NoActorSystemError,
    SystemClosedError,
    SystemFailedError,
    SystemThread,
    open_system,
    start_system,
)
from tests.runtime.samples import Echo, Obedient, Recorder

PROJECT = Path(__file__).parents[2]


def test_a_started_system_serves_threads_until_it_is_stopped() -> None:
    threads = threading.active_count()
    notes: list[Any] = []
    with start_system() as host:
        ref = host.system.spawn(Recorder, notes)
        ref.tell("told")

    assert notes == ["told"]
    assert not ref.is_alive()
    assert threading.active_count() == threads


def test_start_uses_the_started_system_while_it_runs() -> None:
    with start_system() as host:
        ref = Echo.start()
        assert ref in pykka.ActorRegistry.get_all()
        assert ref.ask("hello", timeout=10) == "hello"
        assert host.call(names_of, host) == []

    assert ref not in pykka.ActorRegistry.get_all()
    with pytest.raises(NoActorSystemError):
        Echo.start()


async def names_of(host: SystemThread) -> list[Any]:
    return [ref for ref in [host.system.find("nobody")] if ref is not None]


def test_stopping_twice_is_stopping_once() -> None:
    host = start_system()
    host.stop()
    host.stop()


def test_a_call_runs_in_the_systems_thread_and_returns_its_result(system_thread: SystemThread) -> None:
    ref = system_thread.system.spawn(Echo)

    async def ask_twice(first: int, second: int) -> list[int]:
        return [await ref.ask(first, block=False), await ref.ask(second, block=False)]

    assert system_thread.call(ask_twice, 1, 2) == [1, 2]


def test_a_call_that_raises_raises_in_its_caller(system_thread: SystemThread) -> None:
    async def fail() -> None:
        raise ValueError("in the call")

    with pytest.raises(ValueError, match="in the call"):
        system_thread.call(fail)
    assert system_thread.system.spawn(Echo).ask("alive", timeout=10) == "alive"


def test_a_call_on_a_stopped_system_says_so() -> None:
    host = start_system()
    host.stop()

    with pytest.raises(SystemClosedError):
        host.call(trio.sleep, 0)


def test_a_call_that_runs_while_the_system_stops_says_so() -> None:
    host = start_system()
    raised: list[BaseException] = []
    running = threading.Event()

    async def wait() -> None:
        running.set()
        await trio.sleep_forever()

    def call() -> None:
        try:
            host.call(wait)
        except BaseException as error:  # noqa: BLE001 - looked at below
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    running.wait()
    host.stop()
    thread.join()

    assert [type(error) for error in raised] == [SystemClosedError]


def test_the_systems_own_thread_cannot_wait_for_its_end(system_thread: SystemThread) -> None:
    def stop(_: Obedient) -> None:
        system_thread.stop()

    ref = system_thread.system.spawn(Obedient)

    with pytest.raises(BlockingCallError):
        ref.ask(stop, timeout=10)
    assert ref.is_alive()


def test_a_defect_of_the_runtime_is_raised_by_stop() -> None:
    host = start_system()
    ref = host.system.spawn(Echo)
    broken: Any = object()

    async def break_it() -> None:
        host.system.scheduler.enqueue(broken)

    host.call(break_it)
    host._thread.join()  # pyright: ignore[reportPrivateUsage] - it ends on its own

    with pytest.raises(SystemFailedError):
        host.stop()
    with pytest.raises(pykka.ActorDeadError):
        ref.ask("anything", timeout=10)
    host.stop()


def test_an_asyncio_host_talks_to_actors_and_stops_them() -> None:
    notes: list[Any] = []

    async def main() -> Any:
        with start_system() as host:
            recorder, echo = host.system.spawn(Recorder, notes), host.system.spawn(Echo)
            recorder.tell("from asyncio")
            answers = [echo.ask(number, block=False) for number in range(10)]
            composed = answers[0].join(*answers[1:]).map(list[Any])
            await echo.stop(block=False)
            with pytest.raises(pykka.ActorDeadError):
                await echo.ask("late", block=False)
            return await composed

    assert asyncio.run(main()) == list(range(10))
    assert notes == ["from asyncio"]


async def test_a_system_in_a_thread_and_one_in_trio_are_independent() -> None:
    with start_system() as host:
        async with open_system() as system:
            here, there = system.spawn(Echo), host.system.spawn(Obedient)

            def ask_back(actor: Obedient) -> None:
                actor.forward(here, "there and back")

            assert await there.ask(ask_back, block=False) == "there and back"
        assert not here.is_alive()
        assert there.is_alive()
        await there.stop(block=False)


def test_the_interpreter_exits_when_a_host_forgets_to_stop() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "tests.runtime.embedding_host"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (finished.returncode, finished.stdout.strip(), finished.stderr) == (0, "answered", "")
