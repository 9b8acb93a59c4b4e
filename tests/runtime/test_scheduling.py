"""One handler at a time per actor, everybody in turn."""

from __future__ import annotations

import gc
import sys
import threading
from time import perf_counter
from types import FrameType
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import ActorSystem, Pace, TrioActor, open_system
from tests.runtime.samples import Echo, Obedient, Recorder, run_in_threads


class Alone(TrioActor):
    """Notes how many of its handlers run at once."""

    def __init__(self) -> None:
        super().__init__()
        self.running = 0
        self.most = 0
        self.handled = 0

    def on_receive(self, message: Any) -> Any:
        if message == "most":
            return self.most
        return self.handle_slowly() if message % 2 else self.handle_quickly()

    def handle_quickly(self) -> None:
        self.most = max(self.most, self.running + 1)

    async def handle_slowly(self) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await trio.lowlevel.checkpoint()
        self.running -= 1


@pytest.mark.usefixtures("eager_thread_switches")
async def test_an_actor_runs_one_handler_at_a_time_whoever_tells_it(system: ActorSystem) -> None:
    ref = system.spawn(Alone)

    def tell(sender: int) -> None:
        for number in range(100):
            ref.tell(sender + number)

    await run_in_threads(8, tell)

    assert await ref.ask("most", block=False) == 1


async def test_an_actor_that_stands_in_the_queue_twice_still_runs_one_handler_at_a_time(
    system: ActorSystem,
) -> None:
    """Two threads may mark and queue an actor at the same moment: nothing on the way in takes a lock."""
    ref = system.spawn(Alone)
    for number in (1, 3, 5):
        ref.tell(number)
        system.scheduler.enqueue(ref._cell)  # pyright: ignore[reportPrivateUsage] - as the second thread would

    assert await ref.ask("most", block=False) == 1


async def test_other_actors_go_on_while_an_async_handler_waits(system: ActorSystem) -> None:
    gate = trio.Event()

    async def wait(_: Obedient) -> str:
        await gate.wait()
        return "waited"

    waiting = system.spawn(Obedient)
    waited = waiting.ask(wait, block=False)
    behind = waiting.ask(lambda _: "behind", block=False)  # pyright: ignore[reportUnknownLambdaType] - any function

    assert await system.spawn(Echo).ask("meanwhile", block=False) == "meanwhile"
    assert not waited.done
    assert not behind.done
    gate.set()
    assert [await waited, await behind] == ["waited", "behind"]


async def test_hundreds_of_async_handlers_run_at_once(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    async def sleep(_: Obedient) -> None:
        await trio.sleep(1)

    for _ in range(2):  # the second time, some workers are there already
        replies = [system.spawn(Obedient).ask(sleep, block=False) for _ in range(300)]
        for reply in replies:
            await reply

    assert autojump_clock.current_time() == 2


class Flooding(TrioActor):
    """Always has mail of its own, until it stops."""

    turns = 0

    def on_start(self) -> None:
        self.actor_ref.tell("again")

    def on_receive(self, message: Any) -> None:
        self.turns += 1
        self.send(self.actor_ref, message)


async def test_an_actor_that_floods_itself_starves_no_other(system: ActorSystem) -> None:
    for _ in range(3):
        system.spawn(Flooding)

    assert await system.spawn(Echo).ask("my turn", block=False) == "my turn"


async def test_timers_and_sockets_are_served_under_full_load(system: ActorSystem) -> None:
    for _ in range(3):
        system.spawn(Flooding)
    left, right = trio.socket.socketpair()

    with left, right, trio.fail_after(30):
        for _ in range(20):
            await trio.sleep(0.001)
            await left.send(b"x")
            assert await right.recv(1) == b"x"


async def test_a_system_under_full_load_stops_when_its_budget_is_over(autojump_clock: MockClock) -> None:
    system_of_two = open_two_that_flood_each_other()

    assert await system_of_two == "stopped"
    assert autojump_clock.current_time() <= 1


async def open_two_that_flood_each_other() -> str:
    async with open_system(shutdown_budget_seconds=0) as system:
        for _ in range(2):
            system.spawn(Flooding)
    return "stopped"


async def test_a_stopping_actor_with_mail_does_not_keep_the_scheduler_spinning(system: ActorSystem) -> None:
    async def end_slowly() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await may_end.wait()

    may_end = trio.Event()
    ref = system.spawn(Obedient)
    await ref.ask(lambda actor: actor.spawn(end_slowly) and None, block=False)  # pyright: ignore[reportUnknownLambdaType, reportUnknownMemberType] - an Obedient
    await wait_all_tasks_blocked()

    stopped = ref.stop(block=False)
    ref._cell.post("behind")  # pyright: ignore[reportPrivateUsage] - as a sender that was a moment earlier
    with trio.fail_after(10):
        await wait_all_tasks_blocked()  # never comes while the dispatcher spins
    may_end.set()

    assert await stopped is True


async def test_messages_told_by_a_callback_of_trio_wake_the_actor(system: ActorSystem) -> None:
    notes: list[str] = []
    ref = system.spawn(Recorder, notes)
    await wait_all_tasks_blocked()

    trio.lowlevel.current_trio_token().run_sync_soon(ref.tell, "from a callback")
    await wait_all_tasks_blocked()

    assert notes == ["from a callback"]


def spin(seconds: float) -> None:
    end = perf_counter() + seconds
    while perf_counter() < end:
        pass


class Worker(TrioActor):
    def on_receive(self, message: object) -> object:
        spin(0.00002)
        return message


async def test_busy_tasks_of_the_host_leave_the_actors_their_share(system: ActorSystem) -> None:
    rounds = 0
    worker = system.spawn(Worker)
    for number in range(5_000):  # at a millisecond a round they would take about a hundred rounds
        worker.tell(number)
    last = worker.ask("last", block=False)

    async def be_busy() -> None:
        nonlocal rounds
        while not last.done:
            rounds += 1
            spin(0.02)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(be_busy)

    assert rounds < 40


class HandPace(Pace):
    """A clock that moves when a test says so, and no other."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.clock = lambda: self.seconds


class Metered(TrioActor):
    """Takes a tenth of a millisecond for each message, and always has more of its own."""

    def __init__(self, pace: HandPace) -> None:
        super().__init__()
        self.pace = pace

    def on_receive(self, message: object) -> None:
        self.pace.seconds += 0.0001
        self.send(self.actor_ref, message)


class Turns(trio.abc.Instrument):
    """How long the actors had between two rounds of trio."""

    def __init__(self, pace: HandPace) -> None:
        self.pace = pace
        self.began = 0.0
        self.seconds: list[float] = []

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task.name == "runtime.dispatcher":
            self.began = self.pace.seconds

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task.name == "runtime.dispatcher":
            self.seconds.append(self.pace.seconds - self.began)


@pytest.mark.parametrize(("actors", "messages"), [(1, 100), (100, 1)], ids=["one slice", "many actors"])
async def test_trio_gets_its_round_after_a_millisecond_or_the_next_look_at_the_clock(
    actors: int, messages: int
) -> None:
    pace = HandPace()
    turns = Turns(pace)
    async with open_system(pace=pace, handler_limit_seconds=None, shutdown_budget_seconds=0) as system:
        for _ in range(actors):
            ref = system.spawn(Metered, pace)
            for number in range(messages):
                ref.tell(number)
        trio.lowlevel.add_instrument(turns)
        for _ in range(50):
            await trio.lowlevel.checkpoint()
        trio.lowlevel.remove_instrument(turns)

    # 16 messages, and not 10: between two of them nobody looks at the clock.
    assert max(turns.seconds) == pytest.approx(0.0016)


async def test_mail_from_a_thread_wakes_the_dispatcher_once(system: ActorSystem) -> None:
    ref = system.spawn(Echo)
    await wait_all_tasks_blocked()
    wakes = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal wakes
        wakes += event == "call" and frame.f_code is trio.lowlevel.TrioToken.run_sync_soon.__code__

    def tell() -> None:
        sys.setprofile(count)
        for number in range(1000):
            ref.tell(number)
        sys.setprofile(None)

    thread = threading.Thread(target=tell)
    thread.start()
    thread.join()  # on the scheduler's thread: nobody takes anything meanwhile

    assert wakes == 1
    assert await ref.ask("last", block=False) == "last"


class WorkersHired(trio.abc.Instrument):
    def __init__(self) -> None:
        self.count = 0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        self.count += task.name == "runtime.worker"


async def test_async_handlers_use_the_workers_that_are_there(system: ActorSystem) -> None:
    async def pause(_: Obedient) -> None:
        await trio.lowlevel.checkpoint()

    refs = [system.spawn(Obedient) for _ in range(40)]
    hired = WorkersHired()
    trio.lowlevel.add_instrument(hired)
    for _ in range(5):
        for reply in [ref.ask(pause, block=False) for ref in refs]:
            await reply
        await wait_all_tasks_blocked()
    trio.lowlevel.remove_instrument(hired)

    assert hired.count == 40


async def test_an_actor_at_rest_has_given_its_mailbox_back(system: ActorSystem) -> None:
    refs = [system.spawn(Echo) for _ in range(100)]
    for ref in refs:
        ref.tell("something")
    await wait_all_tasks_blocked()

    assert [ref._cell.mail for ref in refs] == [None] * 100  # pyright: ignore[reportPrivateUsage] - what is at stake


LOCKS = (type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Event)


def count_locks() -> int:
    gc.collect()
    return len(
        {
            id(held)
            for holder in gc.get_objects()
            for held in gc.get_referents(holder)
            if type(held) in LOCKS
        }
    )


async def test_idle_actors_own_no_task_no_thread_and_no_lock(system: ActorSystem) -> None:
    await system.spawn(Echo).ask("warm up", block=False)
    await wait_all_tasks_blocked()
    tasks, threads = trio.lowlevel.current_statistics().tasks_living, threading.active_count()
    locks = count_locks()

    refs = [system.spawn(Echo) for _ in range(1000)]
    for ref in refs:
        assert await ref.ask("hello", block=False) == "hello"
    await wait_all_tasks_blocked()

    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert threading.active_count() == threads
    assert count_locks() < locks + 10  # a thread that waits holds one more
    assert all(ref.is_alive() for ref in refs)
