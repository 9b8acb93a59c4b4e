"""Calls on their way through the governor of their connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.connections import Connection
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.governor import CircuitPolicy, CircuitStatus, ConnectionStatus, Governors, RetryPolicy
from actors.governor.protocol import AcquirePermit
from runtime import ActorSystem, open_system
from tests.actors.governor.errors import BUSY, DOWN, throttled

MODEL = "sim:model"


class Delays:
    """What was told before each pause."""

    def __init__(self) -> None:
        self.told: list[tuple[int, ErrorInfo, float]] = []

    def __call__(self, attempt: int, error: ErrorInfo, seconds: float) -> None:
        self.told.append((attempt, error, seconds))


class Endpoint:
    """Fails with these errors, one a call, then answers; or holds calls until they are let go."""

    def __init__(self, *errors: ErrorInfo) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.running = 0
        self.highest_running = 0
        self.order: list[str] = []

    def call(self, name: str = "", until: trio.Event | None = None) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            self.calls += 1
            self.order.append(name)
            self.running += 1
            self.highest_running = max(self.highest_running, self.running)
            try:
                await trio.lowlevel.checkpoint()
                if until is not None:
                    await until.wait()
                if self.errors:
                    raise self.errors.pop(0).to_exception()
            finally:
                self.running -= 1

        return run


@asynccontextmanager
async def open_governors(
    *, retry: RetryPolicy | None = None, circuit: CircuitPolicy | None = None, limit: int | None = None
) -> AsyncGenerator[tuple[ActorSystem, Governors], None]:
    def connection_of(model: str) -> Connection:
        return Connection(connection_id=model.partition(":")[0], max_concurrent=limit)

    async with open_system() as system:
        yield (
            system,
            Governors(
                system, retry=retry, circuit=circuit, connection_of=connection_of, chance=lambda: 0.5
            ),
        )


async def status_of(governors: Governors) -> ConnectionStatus:
    (status,) = await governors.status()
    return status


async def test_a_call_that_is_answered_is_made_once_and_leaves_nothing_behind() -> None:
    endpoint, delays = Endpoint(), Delays()
    async with open_governors() as (_, governors):
        await governors.admission(MODEL).run(endpoint.call(), delays)
        assert await status_of(governors) == ConnectionStatus(connection="sim", running=0, waiting=0)
    assert (endpoint.calls, delays.told) == (1, [])


async def test_a_call_that_fails_before_its_first_part_is_made_again_after_a_growing_pause(
    autojump_clock: MockClock,  # noqa: ARG001 - pauses take no time
) -> None:
    endpoint, delays = Endpoint(DOWN, BUSY, DOWN), Delays()
    async with open_governors() as (_, governors):
        await governors.admission(MODEL).run(endpoint.call(), delays)
    assert endpoint.calls == 4
    assert delays.told == [(1, DOWN, 0.75), (2, BUSY, 1.5), (3, DOWN, 3.0)]


async def test_the_last_error_says_how_often_it_was_tried(
    autojump_clock: MockClock,  # noqa: ARG001 - pauses take no time
) -> None:
    endpoint = Endpoint(*[DOWN] * 10)
    async with open_governors() as (_, governors):
        with pytest.raises(EngineError) as caught:
            await governors.admission(MODEL).run(endpoint.call(), Delays())
        assert (await status_of(governors)).running == 0
    assert endpoint.calls == 4
    assert caught.value.info == ErrorInfo(DOWN.code, DOWN.message, {"attempts": 4})


async def test_nothing_is_tried_again_after_the_first_part() -> None:
    endpoint, delays = Endpoint(DOWN), Delays()
    async with open_governors() as (_, governors):
        admission = governors.admission(MODEL)

        async def call() -> None:
            admission.answered()
            await endpoint.call()()

        with pytest.raises(EngineError) as caught:
            await admission.run(call, delays)
        assert (await status_of(governors)).running == 0
    assert caught.value.info == DOWN
    assert delays.told == []


async def test_a_bug_in_an_adapter_is_not_tried_again_and_returns_its_permit() -> None:
    async def call() -> None:
        raise ValueError("a bug")

    async with open_governors(limit=1) as (_, governors):
        with pytest.raises(ValueError, match="a bug"):
            await governors.admission(MODEL).run(call, Delays())
        assert (await status_of(governors)).running == 0


async def test_no_more_calls_run_than_the_connection_allows() -> None:
    endpoint = Endpoint()
    gate = trio.Event()
    async with open_governors(limit=2) as (_, governors), trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(governors.admission(MODEL).run, endpoint.call(until=gate), Delays())
        await wait_all_tasks_blocked()
        status = await status_of(governors)
        assert (status.running, status.waiting, status.max_concurrent) == (2, 4, 2)
        gate.set()
    assert (endpoint.calls, endpoint.highest_running) == (6, 2)


async def test_the_larger_priority_goes_first() -> None:
    endpoint = Endpoint()
    gate = trio.Event()
    async with open_governors(limit=1) as (_, governors), trio.open_nursery() as nursery:
        for name, priority in (("a", 0), ("b", 0), ("c", 2), ("d", 1), ("e", 2)):
            nursery.start_soon(
                governors.admission(MODEL, priority).run, endpoint.call(name, gate), Delays()
            )
            await wait_all_tasks_blocked()
        gate.set()
    assert endpoint.order == ["a", "c", "e", "d", "b"]


async def test_connections_do_not_wait_for_each_other() -> None:
    endpoint = Endpoint()
    gate = trio.Event()
    async with open_governors(limit=1) as (_, governors), trio.open_nursery() as nursery:
        nursery.start_soon(governors.admission("one:m").run, endpoint.call("one", gate), Delays())
        await wait_all_tasks_blocked()
        await governors.admission("two:m").run(endpoint.call("two"), Delays())
        assert [status.connection for status in await governors.status()] == ["one", "two"]
        gate.set()


@pytest.mark.parametrize("is_running", [True, False])
async def test_a_cancelled_call_gives_back_what_it_has_or_waits_for(is_running: bool) -> None:
    endpoint = Endpoint()
    gate = trio.Event()
    async with open_governors(limit=1) as (_, governors), trio.open_nursery() as nursery:
        if not is_running:
            nursery.start_soon(governors.admission(MODEL).run, endpoint.call("first", gate), Delays())
            await wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                inner.start_soon(governors.admission(MODEL).run, endpoint.call("cut", gate), Delays())
                await wait_all_tasks_blocked()
                scope.cancel()
        gate.set()
        await governors.admission(MODEL).run(endpoint.call("last"), Delays())
        await wait_all_tasks_blocked()
        status = await status_of(governors)
        assert (status.running, status.waiting) == (0, 0)
    assert endpoint.order[-1] == "last"


async def test_a_call_that_is_cancelled_in_its_pause_holds_no_permit() -> None:
    endpoint = Endpoint(throttled(30))
    async with open_governors(limit=1) as (_, governors), trio.open_nursery() as nursery:
        nursery.start_soon(governors.admission(MODEL).run, endpoint.call(), Delays())
        await wait_all_tasks_blocked()
        status = await status_of(governors)
        assert (status.running, status.waiting) == (0, 0)
        assert status.cooling_seconds == pytest.approx(30.25, abs=5)
        assert status.last_error == throttled(30)
        nursery.cancel_scope.cancel()


async def test_a_call_of_a_connection_that_cools_says_so_before_it_is_made(
    autojump_clock: MockClock,  # noqa: ARG001 - pauses take no time
) -> None:
    endpoint, first, second = Endpoint(throttled(30)), Delays(), Delays()
    async with open_governors() as (_, governors), trio.open_nursery() as nursery:
        nursery.start_soon(governors.admission(MODEL).run, endpoint.call(), first)
        await wait_all_tasks_blocked()
        await governors.admission(MODEL).run(endpoint.call(), second)
    assert first.told == [(1, throttled(30), 30.25)]
    assert second.told == [(0, throttled(30), 30.25)]
    assert endpoint.calls == 3


async def test_an_open_circuit_refuses_calls_without_making_them(
    autojump_clock: MockClock,  # noqa: ARG001 - pauses take no time
) -> None:
    endpoint = Endpoint(*[DOWN] * 4)
    circuit = CircuitPolicy(failures=4, failing_seconds=1)
    async with open_governors(circuit=circuit) as (_, governors):
        with pytest.raises(EngineError):
            await governors.admission(MODEL).run(endpoint.call(), Delays())
        with pytest.raises(EngineError) as caught:
            await governors.admission(MODEL).run(endpoint.call(), Delays())
        assert endpoint.calls == 4
        assert caught.value.code is ErrorCode.NETWORK_ERROR
        assert caught.value.details["circuit"] == "open"
        assert (await status_of(governors)).circuit is CircuitStatus.OPEN

        await trio.sleep(60)
        await governors.admission(MODEL).run(endpoint.call(), Delays())
        assert (await status_of(governors)).circuit is CircuitStatus.CLOSED


async def test_a_connection_with_another_key_is_called_at_once() -> None:
    endpoint, connection = Endpoint(throttled(3600)), Connection(connection_id="sim", api_key="spent")
    async with open_system() as system:
        governors = Governors(system, connection_of=lambda _: connection)
        for _ in range(2):
            with pytest.raises(EngineError, match="rate limit"):
                await governors.admission(MODEL).run(endpoint.call(), Delays())
        connection = Connection(connection_id="sim", api_key="fresh", max_concurrent=1)
        await governors.admission(MODEL).run(endpoint.call(), Delays())
        status = await status_of(governors)
    assert endpoint.calls == 2
    assert (status.running, status.max_concurrent, status.cooling_seconds) == (0, 1, 0.0)


@pytest.mark.parametrize("failures", [1, 5])
async def test_a_governor_that_fails_loses_no_call_and_no_permit(failures: int) -> None:
    endpoint = Endpoint()
    gate = trio.Event()
    async with open_governors(limit=1) as (_, governors), trio.open_nursery() as nursery:
        for name in ("a", "b", "c"):
            nursery.start_soon(governors.admission(MODEL).run, endpoint.call(name, gate), Delays())
            await wait_all_tasks_blocked()
        ref = await governors.governor_of("sim")
        assert ref is not None
        for _ in range(failures):
            ref.kill()
            await wait_all_tasks_blocked()
        status = await status_of(governors)
        assert (status.running, status.waiting) == (1, 2)
        gate.set()
    assert endpoint.highest_running == 1
    assert endpoint.order == ["a", "b", "c"]


async def test_what_a_governor_cannot_handle_does_not_reach_its_callers() -> None:
    endpoint = Endpoint()
    gate = trio.Event()
    async with open_governors(limit=1) as (_, governors), trio.open_nursery() as nursery:
        for name in ("a", "b"):
            nursery.start_soon(governors.admission(MODEL).run, endpoint.call(name, gate), Delays())
            await wait_all_tasks_blocked()
        ref = await governors.governor_of("sim")
        assert ref is not None
        ref.tell(AcquirePermit(call_id=9, priority="high"))  # pyright: ignore[reportArgumentType] - the point
        await wait_all_tasks_blocked()
        gate.set()
    assert endpoint.order == ["a", "b"]


async def test_calls_go_on_without_governors_that_are_gone() -> None:
    endpoint = Endpoint()
    gate = trio.Event()
    async with open_system() as system:
        governors = Governors(system)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(governors.admission(MODEL).run, endpoint.call("old", gate), Delays())
            await wait_all_tasks_blocked()
            governors.supervisor.kill()
            await wait_all_tasks_blocked()
            await governors.admission(MODEL).run(endpoint.call("new"), Delays())
            await governors.admission("other:m").run(endpoint.call("other"), Delays())
            gate.set()
        assert await governors.status() == ()
    assert endpoint.order == ["old", "new", "other"]


async def test_a_thousand_calls_that_meet_a_429_all_come_through(
    autojump_clock: MockClock,  # noqa: ARG001 - pauses take no time
) -> None:
    opens_at = trio.current_time() + 5
    arrivals: list[float] = []

    async def call() -> None:
        now = trio.current_time()
        arrivals.append(now)
        await trio.sleep(0.1)
        if now < opens_at:
            raise throttled(opens_at - now).to_exception()

    async with open_governors() as (_, governors), trio.open_nursery() as nursery:
        for _ in range(1000):
            nursery.start_soon(governors.admission(MODEL).run, call, Delays())
    assert len(arrivals) == 2000
    back = sorted(arrivals)[1000:]
    assert back[0] >= opens_at
    assert back[-1] - back[0] > 2, "spread out"
