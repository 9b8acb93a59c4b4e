"""A storm over a tree of actors, after Pekko's SupervisorHierarchySpec; decided by a seed, twice the same.

python -m tests.runtime.chaos --seeds 500
"""

from __future__ import annotations

import argparse
import enum
import logging
import random
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import msgspec
import pykka
import trio

from runtime import (
    ActorFailed,
    ActorRef,
    ActorRestarted,
    ActorSystem,
    DeadLetter,
    IdleTimeout,
    Mailbox,
    MailboxFullError,
    Overflow,
    Reply,
    Terminated,
    TrioActor,
    handles,
)
from runtime.supervision import (
    Backoff,
    ChildSpec,
    ChildStatus,
    DeleteChild,
    FindChild,
    Intensity,
    Restart,
    RestartChild,
    RestartIntensityError,
    Shutdown,
    StartChild,
    Strategy,
    Supervisor,
    TerminateChild,
    WhichChildren,
)
from runtime.testing import open_seeded_system, run_seeded

__all__ = ["StormReport", "run_storm"]

MIDDLE_SUPERVISORS = 8
LEAF_SUPERVISORS = 5  # below each of those
WORKERS = 451  # spread over all leaf supervisors: 500 actors with the root
ORDERS = 800


class BrokenError(Exception):
    """What the storm breaks things with."""


class Do(enum.Enum):
    WORK = "work"
    WORK_SLOWLY = "work slowly"
    FAIL = "fail"
    FAIL_SLOWLY = "fail slowly"
    EXIT = "exit"
    HANG = "hang"
    STOP = "stop"
    TASK = "task"
    FAILING_TASK = "failing task"
    HANGING_TASK = "hanging task"
    TIMER = "timer"
    IDLE = "idle"
    FORWARD = "forward"
    DEFER = "defer"
    ADOPT = "adopt"
    WATCH = "watch"


WEIGHTS = {
    Do.WORK: 20,
    Do.WORK_SLOWLY: 15,
    Do.FAIL: 8,
    Do.FAIL_SLOWLY: 6,
    Do.EXIT: 2,
    Do.HANG: 3,
    Do.STOP: 3,
    Do.TASK: 6,
    Do.FAILING_TASK: 5,
    Do.HANGING_TASK: 3,
    Do.TIMER: 5,
    Do.IDLE: 2,
    Do.FORWARD: 10,
    Do.DEFER: 5,
    Do.ADOPT: 4,
    Do.WATCH: 4,
}


class Order(msgspec.Struct, frozen=True):
    """Each is sent once, and has a number of its own."""

    number: int
    what: Do


class Rang(NamedTuple):
    """A timer's message: it is the actor's own, and nobody misses it."""


class StormReport(msgspec.Struct, frozen=True):
    """What one storm was like. Two of one seed are equal."""

    told: int
    asked: int
    failures: int
    restarts: int
    escalations: int
    kills: int
    dead_letters: int
    survivors: int
    trace: int
    """Who began which order, in which order, in a number."""


class Storm:
    """The ledger of one storm, and its dice."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.rages = True
        self.calm = trio.Event()
        self.violations: list[str] = []
        self.workers: dict[str, ActorRef[Any]] = {}
        self.supervisors: dict[str, ActorRef[Any]] = {}
        self.hanging: dict[ActorRef[Any], float] = {}
        self.told: set[int] = set()
        self.asked: dict[int, Reply[Any]] = {}
        self.requests: list[Reply[Any]] = []
        self.begun: Counter[int] = Counter()
        self.buried: Counter[int] = Counter()
        self.seen: Counter[str] = Counter()
        self.trace = 0
        self._orders = 0
        self._children = 0
        self._inside: Counter[str] = Counter()
        self._tasks: Counter[str] = Counter()
        self._incarnations: dict[str, TrioActor] = {}

    # --- sending ------------------------------------------------------------------------------------

    def chance(self, probability: float) -> bool:
        return self.rages and self.dice.random() < probability

    def order(self) -> Order:
        self._orders += 1
        return Order(self._orders, self.dice.choices([*WEIGHTS], [*WEIGHTS.values()])[0])

    def somebody(self) -> ActorRef[Any]:
        return self.workers[self.dice.choice([*self.workers])]

    def tell(self, ref: ActorRef[Any], order: Order) -> None:
        try:
            ref.tell(order)
        except (pykka.ActorDeadError, MailboxFullError):
            return
        self.told.add(order.number)

    def ask(self, ref: ActorRef[Any], order: Order) -> None:
        self.asked[order.number] = ref.ask(order, block=False)

    # --- what the actors report ---------------------------------------------------------------------

    def born(self, actor: TrioActor, path: str) -> None:
        if self._inside[path] or self._tasks[path]:
            self.violations.append(f"{path} began while its last incarnation was at work")
        self._incarnations[path] = actor
        self.workers[path] = actor.actor_ref

    @contextmanager
    def inside(self, actor: TrioActor, path: str) -> Generator[None, None, None]:
        """A handler or hook of the actor runs."""
        if self._inside[path]:
            self.violations.append(f"two handlers of {path} ran at once")
        if self._incarnations.get(path) is not actor:
            self.violations.append(f"an incarnation of {path} was at work after the next had begun")
        self._inside[path] += 1
        try:
            yield
        finally:
            self._inside[path] -= 1

    @contextmanager
    def in_task(self, path: str) -> Generator[None, None, None]:
        self._tasks[path] += 1
        try:
            yield
        finally:
            self._tasks[path] -= 1

    def begin(self, path: str, order: Order) -> None:
        self.begun[order.number] += 1
        self.trace = zlib.crc32(f"{path} {order.number}".encode(), self.trace)

    async def hang(self, ref: ActorRef[Any]) -> None:
        self.hanging[ref] = trio.current_time()
        try:
            await trio.sleep_forever()
        finally:
            self.hanging.pop(ref, None)

    def kill_the_hanging(self, since_seconds: float) -> None:
        now = trio.current_time()
        for ref, since in tuple(self.hanging.items()):
            if now - since >= since_seconds:
                self.kill(ref)

    def kill(self, ref: ActorRef[Any]) -> None:
        self.seen["kills"] += 1
        ref.kill()

    def see(self, event: object) -> None:
        match event:
            case DeadLetter(_, Order(number), _):
                self.buried[number] += 1
            case ActorFailed(_, error):
                self.seen["failures"] += 1
                self.seen["escalations"] += isinstance(error, RestartIntensityError)
            case ActorRestarted():
                self.seen["restarts"] += 1
            case _:
                pass

    def new_child_path(self, path: str) -> str:
        self._children += 1
        return f"{path}/child{self._children}"


class Worker(TrioActor):
    """Does what it is ordered, most of which ends badly."""

    expected_errors: ClassVar[tuple[type[Exception], ...] | None] = ()
    shutdown_seconds: ClassVar[float | None] = 0.2

    def __init__(self, storm: Storm, path: str) -> None:
        super().__init__()
        self.storm = storm
        self.path = path
        if storm.chance(0.01):
            raise BrokenError("in the making")

    def on_start(self) -> Any:
        self.storm.born(self, self.path)
        if self.storm.chance(0.2):
            return self.start_slowly()
        with self.storm.inside(self, self.path):
            if self.storm.chance(0.03):
                raise BrokenError("on_start")
        return None

    async def start_slowly(self) -> None:
        with self.storm.inside(self, self.path):
            if self.storm.chance(0.01):
                await self.storm.hang(self.actor_ref)
            await trio.sleep(0.01)
            if self.storm.chance(0.05):
                raise BrokenError("on_start")

    def on_stop(self) -> Any:
        return self.end()

    def on_failure(self, *_: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - takes them all
        return self.end()

    def end(self) -> Any:
        if self.storm.chance(0.2):
            return self.end_slowly()
        with self.storm.inside(self, self.path):
            if self.storm.chance(0.03):
                raise BrokenError("the last hook")
        return None

    async def end_slowly(self) -> None:
        with self.storm.inside(self, self.path):
            if self.storm.chance(0.05):
                await self.storm.hang(self.actor_ref)
            await trio.sleep(0.01)

    def on_receive(self, message: Any) -> Any:
        self.storm.violations.append(f"{self.path} got {message!r}")

    @handles(Rang, Terminated, IdleTimeout)
    def on_notice(self, _: Rang | Terminated | IdleTimeout) -> None:
        with self.storm.inside(self, self.path):
            if not self.storm.rages:
                self.timers.cancel("timer")
                self.set_idle_timeout(None)
            if self.storm.chance(0.1):
                raise BrokenError("at a notice")

    @handles(str)
    def on_ping(self, message: str) -> str:
        with self.storm.inside(self, self.path):
            return message

    @handles(Order)
    def on_order(self, order: Order) -> Any:
        self.storm.begin(self.path, order)
        what = order.what if self.storm.rages else Do.WORK
        if what in (Do.WORK_SLOWLY, Do.FAIL_SLOWLY, Do.HANG):
            return self.do_slowly(what, order)
        with self.storm.inside(self, self.path):
            return self.do(what, order)

    async def do_slowly(self, what: Do, order: Order) -> int:
        with self.storm.inside(self, self.path):
            if what is Do.HANG:
                await self.storm.hang(self.actor_ref)
            await trio.sleep(0.001 * (order.number % 30))
            if what is Do.FAIL_SLOWLY:
                raise BrokenError("slowly")
        return order.number

    def do(self, what: Do, order: Order) -> Any:
        match what:
            case Do.FAIL:
                raise BrokenError("at once")
            case Do.EXIT:
                raise SystemExit(3)
            case Do.STOP:
                self.stop()
            case Do.TASK | Do.FAILING_TASK | Do.HANGING_TASK:
                self.spawn(self.task, what)
            case Do.TIMER:
                self.timers.start_periodic("timer", 0.1, Rang())
            case Do.IDLE:
                self.set_idle_timeout(0.15)
            case Do.FORWARD:
                following = self.storm.order()
                self.storm.told.add(following.number)  # send() takes it, whatever becomes of it
                self.send(self.storm.somebody(), following)
            case Do.DEFER:
                reply = self.defer()
                if reply is not None:
                    self.spawn(self.answer, reply, order)
            case Do.ADOPT:
                self.spawn_actor(Worker, self.storm, self.storm.new_child_path(self.path))
            case Do.WATCH:
                self.watch(self.storm.somebody())
            case _:
                pass
        return order.number

    async def task(self, what: Do) -> None:
        with self.storm.in_task(self.path):
            if what is Do.HANGING_TASK:
                await self.storm.calm.wait()
            await trio.sleep(0.02)
            if what is Do.FAILING_TASK:
                raise BrokenError("in a task")

    async def answer(self, reply: pykka.Future[int], order: Order) -> None:
        with self.storm.in_task(self.path):
            await trio.sleep(0.01)
            if order.number % 2:
                reply.set(order.number)


class LenientWorker(Worker):
    """pykka's rule: a failed ask is only answered."""

    expected_errors: ClassVar[tuple[type[Exception], ...] | None] = None


class BoundedWorker(Worker):
    mailbox: ClassVar[Mailbox | None] = Mailbox(limit=3, overflow=Overflow.DROP_OLDEST)


class RejectingWorker(Worker):
    mailbox: ClassVar[Mailbox | None] = Mailbox(limit=3)


class Branch(Supervisor):
    """A supervisor that the storm knows."""

    def __init__(self, storm: Storm, path: str, specs: Iterable[ChildSpec], **policy: Any) -> None:
        super().__init__(specs, chance=storm.dice.random, **policy)
        self.storm = storm
        self.path = path

    def on_start(self) -> None:
        self.storm.supervisors[self.path] = self.actor_ref
        super().on_start()


class Forest:
    """The policies of a tree, drawn once: a restarted branch has those of the last one."""

    def __init__(self, storm: Storm) -> None:
        self._storm = storm
        self._dice = storm.dice

    def root(self) -> Branch:
        middles = [self._middle(f"m{number}") for number in range(MIDDLE_SUPERVISORS)]
        return Branch(self._storm, "root", middles, intensity=Intensity(10**9, 1.0))

    def _middle(self, path: str) -> ChildSpec:
        per_leaf, rest = divmod(WORKERS, MIDDLE_SUPERVISORS * LEAF_SUPERVISORS)
        first = int(path[1:]) * LEAF_SUPERVISORS
        leaves = [
            self._leaf(f"{path}/l{number}", per_leaf + (first + number < rest))
            for number in range(LEAF_SUPERVISORS)
        ]
        return self._branch(path, leaves, max_restarts=6)

    def _leaf(self, path: str, workers: int) -> ChildSpec:
        specs = [self.worker(f"{path}/w{number}") for number in range(workers)]
        return self._branch(path, specs, max_restarts=self._dice.choice([2, 5, 20]))

    def _branch(self, path: str, specs: list[ChildSpec], *, max_restarts: int) -> ChildSpec:
        strategy = self._dice.choice([*Strategy, Strategy.ONE_FOR_ONE])
        backoff = self._dice.choice([Backoff(), Backoff(0.01, jitter=0.5, limit_seconds=0.2)])
        intensity = Intensity(max_restarts, 0.5)

        def start() -> Branch:
            return Branch(self._storm, path, specs, strategy=strategy, backoff=backoff, intensity=intensity)

        return ChildSpec(path, start, shutdown=Shutdown.NO_LIMIT)

    def worker(self, path: str) -> ChildSpec:
        kind = self._dice.choice([Worker, Worker, LenientWorker, BoundedWorker, RejectingWorker])
        restart = self._dice.choice([*Restart, Restart.PERMANENT, Restart.PERMANENT])
        shutdown = self._dice.choice([Shutdown.KILL, 0.05, 1.0])
        return ChildSpec(path, lambda: kind(self._storm, path), restart=restart, shutdown=shutdown)


def run_storm(seed: int) -> StormReport:
    """One storm, in a run of its own.

    Raises:
        AssertionError: what the runtime promises did not hold. It names the seed.
    """
    pykka_log = logging.getLogger("pykka")
    level = pykka_log.level
    pykka_log.setLevel(logging.CRITICAL + 1)  # thousands of failures, all of them wanted
    try:
        return run_seeded(_storm, seed, seed=seed)
    finally:
        pykka_log.setLevel(level)


async def _storm(seed: int) -> StormReport:
    storm = Storm(seed)
    async with open_seeded_system() as system:
        system.events.subscribe(storm.see, DeadLetter, ActorFailed, ActorRestarted)
        forest = Forest(storm)
        root = await _plant(system, forest, storm)
        await _rage(storm, forest)
        await _let_it_calm_down(storm)
        survivors = await _ping_all(root)
    _check_the_ledger(storm)
    return StormReport(
        told=len(storm.told),
        asked=len(storm.asked),
        failures=storm.seen["failures"],
        restarts=storm.seen["restarts"],
        escalations=storm.seen["escalations"],
        kills=storm.seen["kills"],
        dead_letters=sum(storm.buried.values()),
        survivors=survivors,
        trace=storm.trace,
    )


async def _plant(system: ActorSystem, forest: Forest, storm: Storm) -> ActorRef[Any]:
    storm.rages = False
    root = system.spawn(forest.root)
    await trio.sleep(1)
    assert len(storm.workers) + len(storm.supervisors) == 500, "the tree has not grown"
    storm.rages = True
    return root


async def _rage(storm: Storm, forest: Forest) -> None:
    dice = storm.dice
    for number in range(ORDERS):
        _strike(storm, forest, number)
        if dice.random() < 0.3:
            await trio.sleep(dice.choice([0.0, 0.001, 0.02]))
        if number % 50 == 49:
            await trio.sleep(0.2)
            storm.kill_the_hanging(since_seconds=0.1)


def _strike(storm: Storm, forest: Forest, number: int) -> None:
    dice = storm.dice
    lot = dice.random()
    if lot < 0.55:
        storm.tell(storm.somebody(), storm.order())
    elif lot < 0.85:
        storm.ask(storm.somebody(), storm.order())
    elif lot < 0.89:
        storm.kill(storm.somebody())
    elif lot < 0.92:
        storm.requests.append(storm.somebody().stop(block=False, drain=dice.random() < 0.5))
    elif lot < 0.93:
        storm.kill(storm.supervisors[dice.choice([path for path in storm.supervisors if path != "root"])])
    else:
        path = dice.choice([path for path in storm.supervisors if "/" in path])
        child = dice.choice([spec for spec in storm.workers if spec.rpartition("/")[0] == path])
        requests: list[Callable[[], object]] = [
            lambda: TerminateChild(child),
            lambda: RestartChild(child),
            lambda: DeleteChild(child),
            lambda: StartChild(forest.worker(f"{path}/w{1000 + number}")),
            lambda: StartChild(forest.worker(child)),
        ]
        storm.requests.append(storm.supervisors[path].ask(dice.choice(requests)(), block=False))


async def _let_it_calm_down(storm: Storm) -> None:
    storm.rages = False
    storm.calm.set()
    for _ in range(20):  # who hangs now may keep others from ending, who hang then
        await trio.sleep(2)
        storm.kill_the_hanging(since_seconds=0)


async def _ping_all(root: ActorRef[Any]) -> int:
    """Every actor that is said to be running answers; nobody is for ever about to do something."""
    survivors = 0
    to_visit = [root]
    while to_visit:
        supervisor = to_visit.pop()
        survivors += 1
        for child in await _answer_of(supervisor, WhichChildren()):
            if child.status is ChildStatus.ABSENT:
                continue
            assert child.status is ChildStatus.RUNNING, f"{child.name} is {child.status.value} for ever"
            ref = await _answer_of(supervisor, FindChild(child.name))
            if issubclass(ref.actor_class, Supervisor):
                to_visit.append(ref)
            else:
                assert await _answer_of(ref, "ping") == "ping"
                survivors += 1
    return survivors


async def _answer_of(ref: ActorRef[Any], message: object) -> Any:
    with trio.move_on_after(60):
        return await ref.ask(message, block=False)
    raise AssertionError(f"{ref} does not answer {message!r}")


def _check_the_ledger(storm: Storm) -> None:
    assert not storm.violations, storm.violations[:5]
    pending = [number for number, reply in storm.asked.items() if not reply.done]
    assert not pending, f"asks that are never answered: {pending[:5]}"
    assert all(reply.done for reply in storm.requests), "a request that is never answered"
    twice = [number for number, times in storm.begun.items() if times > 1]
    assert not twice, f"orders that were begun twice: {twice[:5]}"
    buried_twice = [number for number, times in storm.buried.items() if times > 1]
    assert not buried_twice, f"orders that were buried twice: {buried_twice[:5]}"
    lost = [number for number in storm.told if not storm.begun[number] and not storm.buried[number]]
    assert not lost, f"orders that were told, and neither begun nor buried: {lost[:5]}"
    for number, reply in storm.asked.items():
        if not storm.begun[number]:
            assert _is_refused(reply), f"order {number} was answered, and never begun"


def _is_refused(reply: Reply[Any]) -> bool:
    try:
        reply.get(timeout=0)
    except (pykka.ActorDeadError, MailboxFullError):
        return True
    except Exception:  # noqa: BLE001 - an answer
        return False
    return False


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.runtime.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many storms (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: %(default)s)")
    arguments = parser.parse_args()
    started = time.perf_counter()
    total: Counter[str] = Counter()
    failed: list[int] = []
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        try:
            report = run_storm(seed)
        except Exception as error:  # noqa: BLE001 - reported with its seed, and the next one follows
            failed.append(seed)
            sys.stdout.write(f"\nseed {seed}: {type(error).__name__}: {error}\n")
        else:
            total.update({field: getattr(report, field) for field in report.__struct_fields__})
        if sys.stdout.isatty():
            sys.stdout.write(f"\r{seed + 1 - arguments.first}/{arguments.seeds}")
            sys.stdout.flush()
    seconds = time.perf_counter() - started
    counts = ", ".join(f"{total[name]:,} {name.replace('_', ' ')}" for name in total if name != "trace")
    seeds = f"seeds {arguments.first}-{arguments.first + arguments.seeds - 1}"
    failures = f"{len(failed)} failed {failed}" if failed else "none failed"
    sys.stdout.write("\r" if sys.stdout.isatty() else "")
    sys.stdout.write(f"{seeds}: {failures}; {counts}; {seconds:.0f} s\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
