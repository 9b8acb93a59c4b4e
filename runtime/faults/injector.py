"""Puts the faults of a plan into a system: by its actors' way in, their interceptors, timers and tasks.

The messages of the runtime itself (`stop`, `Terminated`, what supervisors and their children tell each
other) are never touched, so that what the runtime promises about ends and restarts holds in an experiment.
"""

from __future__ import annotations

import random
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from types import CoroutineType
from typing import TYPE_CHECKING, Any, cast

import pykka
import trio

from runtime.cell import NOT_FOR_USERS
from runtime.errors import MailboxFullError
from runtime.events import RuntimeEvent
from runtime.faults.plan import Crash, Delay, Drop, Duplicate, Fault, FaultPlan, FaultRule, Hang, Seam
from runtime.idle import IdleTimeout
from runtime.messages import Ask, Counted, Terminated
from runtime.reply import Reply, answer, answer_dead, answer_error
from runtime.timers import Tick, Timers

if TYPE_CHECKING:
    from collections import deque

    from runtime.bounds import Bounds
    from runtime.cell import Cell
    from runtime.dispatch import Handler
    from runtime.system import ActorSystem
    from runtime.timers import Alarm

__all__ = ["FaultInjected", "Injector", "install"]

DROPPED = "fault: dropped"


class FaultInjected(RuntimeEvent, frozen=True):
    """A fault has been put in. `occurrence` is the number of this one among those that concern its rule."""

    rule: int
    """Index of the rule in its plan."""
    seam: Seam
    fault: Fault
    actor: str
    """Its name, or that of its class."""
    message: str
    """The name of its type; at `Seam.TASK` that of the function."""
    occurrence: int


# Classes of actors that a rule for everybody leaves alone. By name: their layers are above this one.
_BY_NAME_ONLY = frozenset({"runtime.supervision.supervisor.Supervisor", "runtime.testing.probe.ProbeActor"})

_OF_THE_RUNTIME = (*NOT_FOR_USERS, Terminated, IdleTimeout, RuntimeEvent)


def install(system: ActorSystem, plan: FaultPlan) -> Injector:
    """Put the faults of a plan into a running system: into the actors that it starts from now on.

    Called on the scheduler's thread.

    Raises:
        ValueError: there is a plan in this system already.
    """
    if system.faults is not None:
        raise ValueError("this system has a plan of faults already: make one of both")
    injector = Injector(system, plan)
    system.faults = injector
    return injector


class Injector:
    """Decides, for one system, what happens to whom, and keeps an account of it.

    `injected` and `stop` are for users, from any thread; the rest is for the runtime.
    """

    def __init__(self, system: ActorSystem, plan: FaultPlan) -> None:
        self.plan = plan
        self._system = system
        self._injected: list[FaultInjected] = []
        self._lock = threading.RLock()  # senders may be on any thread
        self._stopped = False
        self._rules = {seam: _rules_at(seam, plan) for seam in Seam}

    @property
    def injected(self) -> tuple[FaultInjected, ...]:
        """All faults so far, in their order."""
        with self._lock:
            return tuple(self._injected)

    def stop(self) -> None:
        """Put in no more faults. Those that are under way, such as a delay, take their course."""
        self._stopped = True

    def adopt(self, cell: Cell) -> None:
        """Stand in the way of a new actor's mail, and around its handlers."""
        gate = _Gate(self, cell)
        cell.own().bounds = cast("Bounds", gate)  # asked wherever a guarded cell's bounds are
        cell.intercept(gate.deliver)

    def timers_of(self, cell: Cell) -> Timers:
        return _FaultyTimers(self, cell)

    def task(
        self, cell: Cell, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]
    ) -> tuple[Callable[..., Awaitable[object]], tuple[Any, ...]]:
        """What runs in place of a child task."""
        name = getattr(function, "__name__", type(function).__name__)
        match self.decide(Seam.TASK, cell, name):
            case Delay(seconds):

                async def later() -> None:
                    await trio.sleep(seconds)
                    await function(*args)

                return later, ()
            case Crash() as crash:

                async def raising() -> None:
                    raise crash.make(f"fault: the task {name} crashed")

                return raising, ()
            case Hang():
                return trio.sleep_forever, ()
            case _:
                return function, args

    def decide(self, seam: Seam, cell: Cell, what: type | str) -> Fault | None:
        """The fault for one occurrence, if a rule takes it. It counts as put in."""
        rules = self._rules[seam]
        if not rules or self._stopped:
            return None
        names = (what,) if isinstance(what, str) else _names_of(what)
        with self._lock:
            # All of them count and draw, so that no rule changes the chances of another.
            taking = [rule for rule in rules if rule.concerns(cell, names) and rule.would_take()]
            if not taking:
                return None
            rule = taking[0]
            rule.taken += 1
            event = FaultInjected(
                rule.index,
                seam,
                rule.rule.fault,
                cell.belongings.name or cell.actor_class.__name__,
                names[0],
                rule.occurrences,
            )
            self._injected.append(event)
        self._system.events.publish(event)
        return event.fault

    def has_rules_at(self, seam: Seam) -> bool:
        return bool(self._rules[seam])

    def bury(self, cell: Cell, message: object, reason: str) -> None:
        self._system.bury(cell.ref, message, reason)


class _Rule:
    """A rule at work: how often it was concerned, and its chances."""

    def __init__(self, index: int, rule: FaultRule, seed: int) -> None:
        self.index = index
        self.rule = rule
        self.occurrences = 0
        self.taken = 0
        self._chance = random.Random(f"rule {index} of {seed}")  # noqa: S311 - reproducible, as it should be
        self._concerned: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()

    def concerns(self, cell: Cell, message_names: tuple[str, ...]) -> bool:
        rule = self.rule
        if rule.message is not None and rule.message not in message_names:
            return False
        if rule.actor is not None and rule.actor == cell.belongings.name:
            return True
        actor_class = cell.actor_class
        concerned = self._concerned.get(actor_class)
        if concerned is None:
            if rule.actor is None:
                concerned = not any(_full_name(base) in _BY_NAME_ONLY for base in actor_class.__mro__)
            else:
                concerned = rule.actor in _names_of(actor_class)
            self._concerned[actor_class] = concerned
        return concerned

    def would_take(self) -> bool:
        rule = self.rule
        self.occurrences += 1
        drawn = rule.probability == 1 or self._chance.random() < rule.probability
        return (
            drawn
            and (rule.nth is None or self.occurrences == rule.nth)
            and (rule.limit is None or self.taken < rule.limit)
        )


class _Gate:
    """Every way of mail to one actor and into its handlers. It stands in for the bounds of its mailbox.

    What it holds back is a part of the mail: at the death of the actor it is answered or buried.
    """

    def __init__(self, injector: Injector, cell: Cell) -> None:
        self._injector = injector
        self._cell = cell
        self._bounds = cell.belongings.bounds
        self._held: dict[Alarm, Any] = {}
        # Askers, for what has been lost, each until it is settled; of a future of pykka's own nobody learns
        # when it is, and whoever waits for it keeps it.
        self._waiting: dict[Reply[Any], None] = {}
        self._waiting_elsewhere: weakref.WeakSet[pykka.Future[Any]] = weakref.WeakSet()
        # Answers that pass by here: an actor that forgets one it has deferred must not cut the asker off.
        self._passing: dict[Reply[Any], None] = {}
        self._coming_again: dict[int, int] = {}  # how often, by id of the message
        self._closed = False

    def place(self) -> Reply[None] | None:
        return None if self._bounds is None else self._bounds.place()

    def give_up(self, granted: Reply[None]) -> None:
        assert self._bounds is not None
        self._bounds.give_up(granted)

    def free_place(self) -> None:
        assert self._bounds is not None
        self._bounds.free_place()

    def make_room(self, mail: deque[Any], item: Counted) -> Counted | None:
        assert self._bounds is not None
        return self._bounds.make_room(mail, item)

    def turn_away(self, cell: Cell, item: Counted) -> None:
        assert self._bounds is not None
        self._bounds.turn_away(cell, item)

    def close(self) -> None:
        self._closed = True
        held, self._held = self._held, {}
        for alarm, item in held.items():
            alarm.cancel()
            self._cell.refuse(item)
        waiting = (*self._waiting, *self._waiting_elsewhere)
        self._waiting_elsewhere.clear()
        for reply in waiting:  # and leaves, once it is settled
            answer_dead(reply, f"{self._cell} stopped before it answered")
        if self._bounds is not None:
            self._bounds.close()

    def admit(self, cell: Cell, item: Any, *, placed: bool) -> Any:
        """`Bounds.admit`, on any thread, with the faults of `Seam.SEND`. None: it has been dealt with."""
        message = item.message if type(item) is Ask else item
        if issubclass(type(message), _OF_THE_RUNTIME):
            return self._admit(item, placed=placed)
        match self._injector.decide(Seam.SEND, cell, cast("type[Any]", type(message))):
            case Drop():
                self._leave(placed=placed)
                self._on_scheduler(self._lose, item)
            case Delay(seconds):
                # A place that the sender has waited for stays taken; else the bounds see it when it comes.
                self._on_scheduler(self._hold, seconds, Counted(item) if placed else item)
            case Duplicate():
                admitted = self._admit(item, placed=placed)
                if admitted is not None:
                    cell.post(admitted)
                self._on_scheduler(self._arrive, _copy_of(item))
            case Crash() as crash:
                self._leave(placed=placed)
                error = crash.make(f"fault: sending to {cell} crashed")
                if type(item) is not Ask:
                    raise error
                answer_error(item.reply, error)
            case _:
                return self._admit(item, placed=placed)
        return None

    def _admit(self, item: Any, *, placed: bool) -> Any:
        return item if self._bounds is None else self._bounds.admit(self._cell, item, placed=placed)

    def _leave(self, *, placed: bool) -> None:
        if placed:
            assert self._bounds is not None
            self._bounds.free_place()

    def _arrive(self, item: Any) -> None:
        """A message that no sender accompanies is there, and enters if there is room."""
        if type(item) is not Counted:
            try:
                item = self._admit(item, placed=False)
            except MailboxFullError:
                self._injector.bury(self._cell, item, "the mailbox is full")
                return
        if item is not None:
            self._cell.deliver(item)

    def _on_scheduler(self, function: Callable[..., object], *args: Any) -> None:
        assert self._cell.scheduler is not None
        self._cell.scheduler.call(function, *args)

    def _lose(self, item: Any) -> None:
        if type(item) is Ask:
            self._keep_waiting(item.reply)
            item = item.message
        self._injector.bury(self._cell, item, DROPPED)

    def _keep_waiting(self, reply: pykka.Future[Any]) -> None:
        """An asker to whom nothing comes: it learns of the actor's end at least."""
        if self._closed:
            answer_dead(reply, f"{self._cell} stopped before it answered")
        elif not isinstance(reply, Reply):
            self._waiting_elsewhere.add(reply)
        else:
            self._waiting[reply] = None
            if not reply.subscribe(self._wait_no_more):
                self._wait_no_more(reply)

    def _wait_no_more(self, reply: Reply[Any]) -> None:
        self._waiting.pop(reply, None)

    def _hold(self, seconds: float, item: Any) -> None:
        if self._closed:
            self._cell.refuse(item)
            return

        def let_go() -> None:
            self._arrive(self._held.pop(alarm))

        assert self._cell.scheduler is not None
        alarm = self._cell.scheduler.alarms.set(seconds, let_go)
        self._held[alarm] = item

    def deliver(self, handler: Handler, actor: Any, message: Any) -> Any:
        """An interceptor: the faults of `Seam.DELIVER`, `Seam.HANDLER` and `Seam.REPLY`."""
        if issubclass(type(message), _OF_THE_RUNTIME):
            return handler(actor, message)
        cell, kind = self._cell, cast("type[Any]", type(message))
        fault = None if self._is_again(message) else self._injector.decide(Seam.DELIVER, cell, kind)
        match fault:
            case Drop():
                self._lose(message if cell.asked is None else Ask(message, self._take_asked()))
                return None
            case Delay(seconds):
                self._hold(seconds, self._again(message, self._take_asked()))
                return None
            case Duplicate():
                cell.deliver(self._again(message, None if cell.asked is None else Reply()))
            case Crash() as crash:
                raise crash.make(f"fault: delivering to {cell} crashed")
            case _:
                pass
        if cell.asked is not None and self._injector.has_rules_at(Seam.REPLY):
            cell.asked = self._answering_with_faults(cell.asked, kind)
        match self._injector.decide(Seam.HANDLER, cell, kind):
            case Delay(seconds):
                return _begin_later(seconds, handler, actor, message)
            case Crash() as crash:
                return self._crash_after(crash, handler, actor, message)
            case Hang():
                return _hang()
            case _:
                return handler(actor, message)

    def _take_asked(self) -> Any:
        reply, self._cell.asked = self._cell.asked, None
        return reply

    def _again(self, message: Any, reply: pykka.Future[Any] | None) -> Any:
        """The item by which the message comes again, without another fault of its delivery."""
        self._coming_again[id(message)] = self._coming_again.get(id(message), 0) + 1
        return message if reply is None else Ask(message, reply)

    def _is_again(self, message: Any) -> bool:
        # The mail keeps the message, and with it its id. Of two that are one object either may go first.
        times = self._coming_again.pop(id(message), 0)
        if times > 1:
            self._coming_again[id(message)] = times - 1
        return times > 0

    def _crash_after(self, crash: Crash, handler: Handler, actor: Any, message: Any) -> Any:
        result = handler(actor, message)
        error = crash.make(f"fault: a handler of {self._cell} crashed")
        if type(result) is not CoroutineType:
            raise error
        coroutine = cast("CoroutineType[Any, Any, Any]", result)

        async def raising() -> None:
            await coroutine
            raise error

        return raising()

    def _answering_with_faults(self, reply: pykka.Future[Any], kind: type) -> Reply[Any]:
        """A reply that passes its outcome on to this one, unless the plan has it otherwise."""

        def settled(inner: Reply[Any]) -> None:
            self._passing.pop(inner, None)
            self._on_scheduler(self._pass_on, inner, reply, kind)

        inner: Reply[Any] = Reply()
        self._passing[inner] = None
        inner.subscribe(settled)
        return inner

    def _pass_on(self, inner: Reply[Any], reply: pykka.Future[Any], kind: type) -> None:
        # What the runtime says of an actor that is dead is no answer of that actor.
        if self._closed or _is_dead_answer(inner):
            _copy_outcome(inner, reply)
            return
        match self._injector.decide(Seam.REPLY, self._cell, kind):
            case Drop():
                self._keep_waiting(reply)
            case Delay(seconds):
                self._answer_later(seconds, inner, reply)
            case Crash() as crash:
                answer_error(reply, crash.make(f"fault: the answer of {self._cell} crashed"))
            case _:
                _copy_outcome(inner, reply)

    def _answer_later(self, seconds: float, inner: Reply[Any], reply: pykka.Future[Any]) -> None:
        def let_go() -> None:
            _copy_outcome(inner, reply)

        self._keep_waiting(reply)
        assert self._cell.scheduler is not None
        self._cell.scheduler.alarms.set(seconds, let_go)


class _FaultyTimers(Timers):
    """Timers with the faults of `Seam.TIMER`."""

    __slots__ = ("_faulty_cell", "_injector")

    def __init__(self, injector: Injector, cell: Cell) -> None:
        super().__init__(cell)
        self._injector = injector
        self._faulty_cell = cell

    def ring(self, tick: Tick) -> None:
        cell = self._faulty_cell
        match self._injector.decide(Seam.TIMER, cell, cast("type[Any]", type(tick.message))):
            case Drop():
                if tick.take():
                    self._injector.bury(cell, tick.message, DROPPED)
            case Delay(seconds):
                assert cell.scheduler is not None
                # The alarm of the tick, so that a cancelled timer stays cancelled.
                tick.alarm = cell.scheduler.alarms.set(seconds, lambda: cell.deliver(tick))
            case _:
                super().ring(tick)


async def _hang() -> None:
    await trio.sleep_forever()


async def _begin_later(seconds: float, handler: Handler, actor: Any, message: Any) -> Any:
    await trio.sleep(seconds)
    result = handler(actor, message)
    if type(result) is CoroutineType:
        return await cast("Coroutine[Any, Any, Any]", result)
    return result


def _copy_of(item: Any) -> Any:
    return Ask(item.message, Reply()) if type(item) is Ask else item


def _copy_outcome(source: Reply[Any], target: pykka.Future[Any]) -> None:
    try:
        value = source.get(timeout=0)
    except BaseException as error:  # noqa: BLE001 - it is the answer
        answer_error(target, error, error.__traceback__)
    else:
        answer(target, value)


def _is_dead_answer(reply: Reply[Any]) -> bool:
    try:
        reply.get(timeout=0)
    except pykka.ActorDeadError:
        return True
    except BaseException:  # noqa: BLE001 - another answer
        return False
    return False


def _rules_at(seam: Seam, plan: FaultPlan) -> tuple[_Rule, ...]:
    return tuple(
        _Rule(index, rule, plan.seed) for index, rule in enumerate(plan.rules) if rule.seam is seam
    )


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _names_of(cls: type) -> tuple[str, ...]:
    """Its name, and those of its bases."""
    return tuple(base.__name__ for base in cls.__mro__ if base is not object)
