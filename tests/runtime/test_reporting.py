"""What the host's logging raises reaches nobody who only wanted something noted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from runtime import ActorRef, ActorSystem, Observer, open_system, trace
from runtime.reporting import report
from tests.runtime.samples import Echo


class Broken(logging.Handler):
    """Raises what it was given, and counts how often."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.asked = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.asked += 1
        raise self.error from RuntimeError(record.getMessage())


@pytest.fixture(params=[RuntimeError, SystemExit])
def broken(request: pytest.FixtureRequest) -> Generator[Broken, None, None]:
    """The handler of a host whose logging is broken."""
    handler = Broken(request.param("no space left"))
    logger = logging.getLogger("greenroom")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def fail(*_: Any) -> None:
    raise ValueError


class Failing(Observer):
    def actor_started(self, ref: ActorRef[Any], /) -> None:
        fail(ref)


async def test_a_system_outlives_a_failing_observer_and_broken_logging(broken: Broken) -> None:
    async with open_system(observer=Failing()) as system:
        assert await system.spawn(Echo).ask("still there", block=False) == "still there"

    assert broken.asked == 1


async def test_a_system_outlives_a_failing_trace_and_broken_logging(
    system: ActorSystem, broken: Broken
) -> None:
    ref = system.spawn(Echo)
    await trace_with_failures(ref)

    assert await ref.ask("still there", block=False) == "still there"
    assert broken.asked == 2


async def trace_with_failures(ref: ActorRef[Echo]) -> None:
    await ref.ask("started", block=False)
    trace(ref, fail)
    await ref.ask("traced", block=False)


async def test_a_system_outlives_a_failing_subscriber_and_broken_logging(
    system: ActorSystem, broken: Broken
) -> None:
    system.events.subscribe(fail, str)
    await trio.to_thread.run_sync(system.events.publish, "event")
    await wait_all_tasks_blocked()

    assert await system.spawn(Echo).ask("still there", block=False) == "still there"
    assert broken.asked == 1


def interrupt() -> None:
    raise KeyboardInterrupt


async def test_in_trio_an_interrupt_out_of_logging_is_swallowed() -> None:
    report(interrupt)


def test_an_interrupt_of_a_thread_without_trio_goes_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        report(interrupt)


def test_any_thread_may_report() -> None:
    noted: list[str] = []
    thread = threading.Thread(target=report, args=(noted.append, "noted"))
    thread.start()
    thread.join()

    assert noted == ["noted"]
