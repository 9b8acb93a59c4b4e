"""`start_system`: actors for hosts that do not run trio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pykka
import pytest
import trio

from runtime import (
    ActorRef,
    BlockingCallError,
    NoActorSystemError,
    Pace,
    SystemClosedError,
    SystemFailedError,
    SystemOptions,
    SystemThread,
    TrioActor,
    open_system,
    start_system,
)
from runtime.embed import HostQueue
from runtime.faults import Drop, FaultPlan, FaultRule, Seam
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


def test_the_options_of_a_system_are_the_same_in_every_host() -> None:
    options = inspect.signature(open_system).parameters

    assert SystemOptions.__annotations__.keys() == options.keys()
    with pytest.raises(TypeError, match="patience"):
        SystemThread(patience=1)  # pyright: ignore[reportCallIssue] - what a checker would not let pass


def test_a_started_system_takes_faults_and_a_pace() -> None:
    class OneAtATime(Pace):
        messages_per_slice = 1

    drop_all = FaultPlan((FaultRule(Seam.SEND, Drop()),))
    with start_system(faults=drop_all, pace=OneAtATime(), handler_limit_seconds=None) as host:
        host.system.spawn(Echo).tell("dropped")
        assert host.system.scheduler.messages_per_slice == 1

    assert host.system.dead_letters == 1


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


# --- SystemThread in asyncio ------------------------------------------------------------------------


class Lingering(TrioActor):
    """Says that it stops, and stops when it may."""

    def __init__(self, stopping: threading.Event, may_stop: threading.Event) -> None:
        super().__init__()
        self.stopping = stopping
        self.may_stop = may_stop

    async def on_stop(self) -> None:
        self.stopping.set()
        await trio.to_thread.run_sync(self.may_stop.wait)


class Silent(TrioActor):
    """Says that it has been asked, and never answers."""

    def __init__(self, say_asked: Callable[[], object]) -> None:
        super().__init__()
        self.say_asked = say_asked

    def on_receive(self, message: Any) -> None:  # noqa: ARG002 - pykka's name
        self.defer()
        self.say_asked()


def test_async_with_stops_the_system_while_the_loop_runs_on() -> None:
    stopping, may_stop = threading.Event(), threading.Event()

    async def let_stop() -> None:
        await asyncio.to_thread(stopping.wait)
        may_stop.set()  # which never happened if the loop stood still

    async def main() -> ActorRef[Lingering]:
        async with SystemThread() as host:
            ref = host.system.spawn(Lingering, stopping, may_stop)
            assert await host.system.spawn(Echo).ask("started", block=False) == "started"
            letting = asyncio.create_task(let_stop())
        assert letting.done()
        return ref

    assert not asyncio.run(main()).is_alive()
    assert "greenroom-runtime" not in {thread.name for thread in threading.enumerate()}


def test_async_with_takes_a_system_that_has_been_started() -> None:
    async def main() -> Any:
        async with start_system() as host:
            return await host.system.spawn(Echo).ask("hello", block=False)

    assert asyncio.run(main()) == "hello"


def test_async_with_stops_the_system_though_every_executor_thread_waits_for_an_actor() -> None:
    async def main() -> list[object]:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))
        async with SystemThread() as host:
            asked = asyncio.Event()
            silent = host.system.spawn(Silent, lambda: loop.call_soon_threadsafe(asked.set))
            waiting = asyncio.create_task(asyncio.to_thread(silent.ask, "anything"))
            await asked.wait()
        return list(await asyncio.gather(waiting, return_exceptions=True))

    assert [type(error) for error in asyncio.run(main())] == [pykka.ActorDeadError]


def test_a_cancelled_async_with_passes_the_cancellation_on_when_the_system_has_stopped() -> None:
    stopping, may_stop = threading.Event(), threading.Event()
    refs: list[ActorRef[Lingering]] = []

    async def serve() -> None:
        async with SystemThread() as host:
            refs.append(host.system.spawn(Lingering, stopping, may_stop))

    async def main() -> None:
        serving = asyncio.create_task(serve())
        await asyncio.to_thread(stopping.wait)
        serving.cancel()
        await asyncio.sleep(0)
        assert not serving.done()
        may_stop.set()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert not refs[0].is_alive()

    asyncio.run(main())


# --- HostQueue --------------------------------------------------------------------------------------


class CountingLoop(asyncio.SelectorEventLoop):
    """An event loop that counts how often another thread wakes it."""

    wake_ups = 0

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> asyncio.Handle:
        self.wake_ups += 1
        return super().call_soon_threadsafe(*args, **kwargs)


class Producer(TrioActor):
    """Puts as many numbers as it is told into a queue, and closes it."""

    def __init__(self, queue: HostQueue[int]) -> None:
        super().__init__()
        self.queue = queue

    def on_receive(self, message: int) -> int:
        accepted = sum(self.queue.put(number) for number in range(message))
        self.queue.close()
        return accepted


def test_an_asyncio_host_gets_what_actors_put_in_order_and_then_the_end(
    system_thread: SystemThread,
) -> None:
    async def main() -> list[int]:
        async with HostQueue[int](limit=10_000) as queue:
            system_thread.system.spawn(Producer, queue).tell(10_000)
            return [item async for batch in queue for item in batch]

    assert asyncio.run(main()) == list(range(10_000))


def test_a_batch_wakes_the_loop_once() -> None:
    async def main(loop: CountingLoop) -> int:
        queue: HostQueue[int] = HostQueue(limit=1000)
        waiting = asyncio.ensure_future(anext(queue))
        await asyncio.sleep(0)
        before = loop.wake_ups
        for number in range(1000):
            queue.put(number)
        assert await waiting == list(range(1000))
        return loop.wake_ups - before

    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, CountingLoop)
        assert runner.run(main(loop)) == 1


def test_a_full_queue_refuses_and_counts_what_is_put() -> None:
    queue: HostQueue[int] = HostQueue(limit=2)

    assert [queue.put(number) for number in range(4)] == [True, True, False, False]
    assert (len(queue), queue.lost) == (2, 2)
    assert queue.get() == [0, 1]
    assert queue.put(4)
    assert queue.get() == [4]
    with pytest.raises(ValueError, match="at most 0 items"):
        HostQueue(limit=0)


def test_a_closed_queue_gives_what_it_has_and_refuses_more() -> None:
    with HostQueue[int](limit=10) as queue:
        queue.put(1)
    queue.close()

    assert not queue.put(2)
    assert queue.lost == 1
    assert list(queue) == [[1]]
    assert queue.get(timeout=0) == []


def test_a_queue_whose_loop_is_closed_refuses_and_counts() -> None:
    queue: HostQueue[int] = HostQueue(limit=10)

    async def wait() -> None:
        await anext(queue)

    loop = asyncio.new_event_loop()
    task = loop.create_task(wait())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    assert not queue.put(1)
    assert not queue.put(2)
    assert (len(queue), queue.lost) == (0, 2)
    task.get_coro().close()


def test_a_consumer_that_is_cancelled_while_it_is_woken_loses_nothing() -> None:
    async def main() -> list[int]:
        queue: HostQueue[int] = HostQueue(limit=10)
        waiting = asyncio.ensure_future(anext(queue))
        await asyncio.sleep(0)
        queue.put(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        queue.put(2)
        return await anext(queue)

    assert asyncio.run(main()) == [1, 2]


def test_a_second_consumer_is_refused() -> None:
    async def main() -> None:
        queue: HostQueue[int] = HostQueue(limit=10)
        waiting = asyncio.ensure_future(anext(queue))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one consumer"):
            await anext(queue)
        queue.close()
        with pytest.raises(StopAsyncIteration):
            await waiting

    asyncio.run(main())


def test_a_thread_iterates_over_what_actors_put(system_thread: SystemThread) -> None:
    with HostQueue[int](limit=10_000) as queue:
        answer = system_thread.system.spawn(Producer, queue).ask(10_000, block=False)
        taken = [item for batch in queue for item in batch]

    assert taken == list(range(10_000))
    assert answer.get(timeout=60) == 10_000


def test_a_thread_waits_no_longer_than_its_timeout() -> None:
    queue: HostQueue[int] = HostQueue(limit=10)

    with pytest.raises(TimeoutError):
        queue.get(timeout=0)
    queue.put(1)
    assert queue.get(timeout=0) == [1]


async def test_a_queue_does_not_block_trio() -> None:
    with pytest.raises(BlockingCallError):
        HostQueue[int](limit=10).get()


@pytest.mark.usefixtures("eager_thread_switches")
def test_nothing_is_forgotten_or_miscounted_when_many_threads_put() -> None:
    threads, count = 4, 1_000

    async def main() -> tuple[list[tuple[int, int]], int, int]:
        queue: HostQueue[tuple[int, int]] = HostQueue(limit=100)
        accepted: list[int] = []

        def produce(thread: int) -> None:
            accepted.append(sum(queue.put((thread, number)) for number in range(count)))

        async def produce_all() -> None:
            with concurrent.futures.ThreadPoolExecutor(threads) as executor:
                loop = asyncio.get_running_loop()
                await asyncio.gather(*(loop.run_in_executor(executor, produce, n) for n in range(threads)))
            queue.close()

        producing = asyncio.create_task(produce_all())
        taken = [item async for batch in queue for item in batch]
        await producing
        return taken, sum(accepted), queue.lost

    for _ in range(10):
        taken, accepted, lost = asyncio.run(main())
        assert len(taken) == accepted == threads * count - lost
        for thread in range(threads):
            numbers = [number for owner, number in taken if owner == thread]
            assert numbers == sorted(numbers)


@pytest.mark.usefixtures("eager_thread_switches")
def test_no_wake_up_is_lost_between_a_put_and_a_consumer_that_falls_asleep() -> None:
    rounds = 3_000
    taken = threading.Semaphore(0)
    queue: HostQueue[int] = HostQueue(limit=1)

    def produce() -> None:
        for number in range(rounds):
            queue.put(number)
            taken.acquire()

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    for number in range(rounds):
        assert queue.get(timeout=10) == [number]
        taken.release()
    producer.join()


@pytest.mark.usefixtures("eager_thread_switches")
def test_what_is_accepted_while_the_queue_is_closed_is_taken_or_refused() -> None:
    producers = 4

    def put_until_refused(queue: HostQueue[object], began: threading.Event) -> int:
        accepted = 0
        while queue.put(object()):
            accepted += 1
            began.set()
        return accepted

    with concurrent.futures.ThreadPoolExecutor(producers) as executor:
        for _ in range(500):
            queue: HostQueue[object] = HostQueue(limit=1_000_000)
            began = threading.Event()
            accepted = [executor.submit(put_until_refused, queue, began) for _ in range(producers)]
            began.wait()
            queue.close()
            taken = sum(len(batch) for batch in queue)
            assert taken == sum(count.result() for count in accepted)
            assert queue.lost == producers
            assert len(queue) == 0
