"""Runs that a seed decides."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
import trio
from trio._core import _run  # pyright: ignore[reportPrivateUsage] - the canary below is about it

from runtime import ActorRef, TrioActor, open_system
from runtime.supervision import Backoff, ChildSpec, FindChild, Intensity, Supervisor
from runtime.testing import (
    DeadlockError,
    ManualClock,
    SeededPace,
    explore,
    find_failing_seed,
    open_seeded_system,
    run_seeded,
)
from tests.runtime.samples import Echo, Obedient, Recorder

trio_run: Any = _run


def test_trio_still_lets_a_seed_decide_about_its_tasks() -> None:
    message = (
        f"trio {trio.__version__} has changed what runtime.testing.seeded relies on: look at the top of "
        "trio._core._run.unrolled_run, where a batch of tasks is sorted and shuffled by _r"
    )

    assert isinstance(getattr(trio_run, "_r", None), random.Random), message
    assert hasattr(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING"), message
    assert run_seeded(order_of_tasks, seed=1) == run_seeded(order_of_tasks, seed=1), message
    assert len({tuple(run_seeded(order_of_tasks, seed=seed)) for seed in range(20)}) > 10, message


async def order_of_tasks() -> list[int]:
    order: list[int] = []

    async def note(number: int) -> None:
        for _ in range(3):
            await trio.lowlevel.checkpoint()
            order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(note, number)
    return order


class Noting(TrioActor):
    """Notes everything that it does, in a list of all."""

    def __init__(self, name: str, notes: list[str]) -> None:
        super().__init__()
        self.name = name
        self.notes = notes

    def on_receive(self, message: Any) -> Any:
        self.notes.append(f"{self.name} {message}")
        match message:
            case "slow":
                return self.slow()
            case "task":
                self.spawn(self.task)
            case "timer":
                self.timers.start("timer", 1.0, "rang")
            case "jitter":
                self.notes.append(f"{self.name} {random.random()}")
            case _:
                pass
        return None

    async def slow(self) -> None:
        await trio.lowlevel.checkpoint()
        self.notes.append(f"{self.name} was slow")

    async def task(self) -> None:
        await trio.lowlevel.checkpoint()
        self.notes.append(f"{self.name}'s task")


async def a_busy_system(*orders: str) -> list[str]:
    notes: list[str] = []
    async with open_seeded_system() as system:
        refs = [system.spawn(Noting, f"actor{number}", notes) for number in range(6)]
        for order in orders:
            for ref in refs:
                ref.tell(order)
        await trio.sleep(2)
    return notes


@pytest.mark.parametrize("order", ["plain", "slow", "task", "timer"])
def test_a_seed_decides_the_order_of(order: str) -> None:
    """Actors; async handlers; child tasks; timers that are due at the same moment."""
    traces = [run_seeded(a_busy_system, order, seed=seed) for seed in range(20)]

    assert traces == [run_seeded(a_busy_system, order, seed=seed) for seed in range(20)]
    # Of the timers the order in which they rang.
    assert len({tuple(note for note in trace if not note.endswith(" timer")) for trace in traces}) > 10


def test_the_same_seed_is_the_same_run_with_everything_at_once() -> None:
    orders = ("plain", "slow", "task", "timer", "jitter", "plain", "slow")

    for seed in range(10):
        assert run_seeded(a_busy_system, *orders, seed=seed) == run_seeded(
            a_busy_system, *orders, seed=seed
        )


def test_messages_of_one_sender_keep_their_order_whatever_the_seed() -> None:
    async def tell_in_order() -> list[int]:
        notes: list[int] = []
        async with open_seeded_system() as system:
            first, second = system.spawn(Recorder, notes), system.spawn(Recorder, [])
            for number in range(200):
                first.tell(number)
                second.tell(number)
        return notes

    for seed in range(20):
        assert run_seeded(tell_in_order, seed=seed) == list(range(200))


def test_the_pace_tells_two_orders_apart_by_their_fingerprints() -> None:
    async def fingerprint(seed: int) -> int:
        pace = SeededPace(seed)
        async with open_system(pace=pace, handler_limit_seconds=None) as system:
            for _ in range(5):
                system.spawn(Echo).tell("hello")
        return pace.fingerprint

    prints = [run_seeded(fingerprint, seed, seed=0) for seed in (1, 1, 2)]

    assert prints[0] == prints[1] != prints[2]


# --- a bug that only some orders show -----------------------------------------------------------------


class Account(TrioActor):
    def __init__(self) -> None:
        super().__init__()
        self.balance = 0

    def on_receive(self, message: int | None) -> int:
        if message is not None:
            self.balance = message
        return self.balance


async def deposit(account: ActorRef[Account]) -> None:
    """Read, then write: what happened in between is lost."""
    balance = await account.ask(None, block=False)
    await account.ask(balance + 1, block=False)


async def two_deposits() -> None:
    async with open_seeded_system() as system:
        account = system.spawn(Account)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(deposit, account)
            await trio.sleep(random.choice([0, 0, 0, 1]))
            nursery.start_soon(deposit, account)
        assert await account.ask(None, block=False) == 2


def test_a_lost_update_is_found_and_replayed_by_its_seed() -> None:
    seed = find_failing_seed(two_deposits, seeds=range(50))

    assert seed is not None
    for _ in range(3):
        with pytest.raises(AssertionError) as failure:
            run_seeded(two_deposits, seed=seed)
        assert failure.value.__notes__ == [
            f"This was seed {seed}: run_seeded(..., seed={seed}) runs it again."
        ]


def test_exploring_raises_the_first_failure_and_names_its_seed() -> None:
    seed = find_failing_seed(two_deposits)

    with pytest.raises(AssertionError) as failure:
        explore(two_deposits)

    assert f"seed {seed}:" in failure.value.__notes__[0]


def test_some_orders_do_not_show_it() -> None:
    failing = [seed for seed in range(30) if find_failing_seed(two_deposits, seeds=[seed]) is not None]

    assert 0 < len(failing) < 30


# --- time, and the end of everything ------------------------------------------------------------------


def test_time_jumps_where_everything_waits() -> None:
    async def nap() -> float:
        async with open_seeded_system() as system:
            await system.spawn(Obedient).ask(sleep_a_day, block=False)
        return trio.current_time()

    assert run_seeded(nap, seed=1) == 24 * 3600


async def sleep_a_day(_: Obedient) -> None:
    await trio.sleep(24 * 3600)


def test_the_backoff_of_supervisors_is_decided_too() -> None:
    async def restart_times() -> list[float]:
        times: list[float] = []

        class Failing(TrioActor):
            def on_start(self) -> None:
                times.append(trio.current_time())
                if 1 < len(times) < 6:
                    raise ValueError

            def on_receive(self, message: object) -> None:
                raise ValueError(message)

        async with open_seeded_system() as system:
            supervisor = system.spawn(
                Supervisor,
                [ChildSpec("child", Failing)],
                intensity=Intensity(100, 1.0),
                backoff=Backoff(0.1, jitter=0.5),
            )
            child: ActorRef[Any] = await supervisor.ask(FindChild("child"), block=False)
            child.tell("fail")
            await trio.sleep(60)
        return times

    first, again, other = (run_seeded(restart_times, seed=seed) for seed in (1, 1, 2))

    assert first == again != other
    assert len(first) == 6


def test_a_deadlock_is_an_error_instead_of_a_hang() -> None:
    async def ask_each_other() -> None:
        async with open_seeded_system(shutdown_budget_seconds=1) as system:
            first, second = system.spawn(Obedient), system.spawn(Obedient)

            async def ask_first(_: Obedient) -> Any:
                return await first.ask(len, block=False)

            async def ask_second(_: Obedient) -> Any:
                return await second.ask(ask_first, block=False)

            await first.ask(ask_second, block=False)

    with pytest.raises(DeadlockError) as failure:
        run_seeded(ask_each_other, seed=5)
    assert "seed 5" in failure.value.__notes__[0]


@pytest.mark.parametrize("clock", [None, ManualClock()], ids=["jumping", "manual"])
def test_waiting_for_nothing_is_an_error_also_without_actors(clock: ManualClock | None) -> None:
    with pytest.raises(DeadlockError):
        run_seeded(trio.sleep_forever, seed=1, clock=clock)


def test_a_thread_is_refused() -> None:
    release = threading.Event()

    async def in_thread() -> None:
        await trio.to_thread.run_sync(release.wait, abandon_on_cancel=True)

    with pytest.raises(DeadlockError, match="thread or socket"):
        run_seeded(in_thread, seed=1)
    release.set()


def test_a_seeded_run_leaves_trio_and_random_as_they_were() -> None:
    before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING
    random.seed(3)
    expected = random.random()
    random.seed(3)

    run_seeded(order_of_tasks, seed=1)
    with pytest.raises(ValueError, match="broken"):
        run_seeded(broken, seed=1)

    assert random.random() == expected
    assert before == trio_run._ALLOW_DETERMINISTIC_SCHEDULING


async def broken() -> None:
    raise ValueError("broken")


def test_a_seeded_system_needs_a_seeded_run() -> None:
    async def without_a_seed() -> None:
        async with open_seeded_system():
            pass

    with pytest.raises(RuntimeError, match="no seeded run"):
        trio.run(without_a_seed)


def test_a_manual_clock_may_decide_about_time_in_a_seeded_run() -> None:
    clock = ManualClock()

    async def ring() -> list[str]:
        notes: list[str] = []
        async with open_seeded_system() as system:
            system.spawn(Noting, "actor", notes).tell("timer")
            await clock.advance(0.5)
            notes.append("half a second")
            await clock.advance(0.5)
        return notes

    assert run_seeded(ring, seed=1, clock=clock) == ["actor timer", "half a second", "actor rang"]
