"""The supervisor actor: performs what `SupervisorState` decides."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple, assert_never, cast

import pykka
import trio

from runtime import lifecycle
from runtime.actor import TrioActor
from runtime.cell import Cell, cell_of
from runtime.dispatch import handles
from runtime.events import ActorRestarted
from runtime.life import Life
from runtime.messages import ChildEnded, ChildStarted, Failed
from runtime.messages import Halt as HaltActor
from runtime.ref import ActorRef
from runtime.reply import answer, answer_error
from runtime.supervision.policy import AutoShutdown, Backoff, ChildSpec, Intensity, Shutdown, Strategy
from runtime.supervision.protocol import (
    CountChildren,
    DeleteChild,
    FindChild,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from runtime.supervision.state import ChildCounts, ChildInfo, SupervisorState
from runtime.supervision.status import Phase
from runtime.supervision.steps import Answer, Escalate, Finish, Halt, Release, Revive, Start, Step, Wait

__all__ = ["Supervisor"]


_STARTED = frozenset({Phase.RESTING, Phase.HALTING, Phase.LAUNCHING})


class _BackoffOver(NamedTuple):
    generation: int


class Supervisor(TrioActor):
    """Starts child actors one after another, and restarts those that fail, as OTP's supervisor does.

    A restarted child is a new actor behind the old ref: it keeps the mail that had not been handled, and
    has a new state and a new context. The message that it failed at is answered, or a dead letter, and
    never delivered again. Watchers hear of a child when it has ended for good.

    When restarts come faster than `intensity` allows, all children are ended and the supervisor itself
    fails with `RestartIntensityError`: then its own supervisor, if it has one, decides. When it ends, its
    children end before it, the youngest first. It counts as started when its first children are.

    Further children are added, ended and listed by messages: see `runtime.supervision.protocol`.
    """

    expected_errors: ClassVar[tuple[type[Exception], ...] | None] = ()
    shutdown_seconds: ClassVar[float | None] = None  # as long as its children take
    starts_in_messages: ClassVar[bool] = True

    def __init__(
        self,
        specs: Iterable[ChildSpec] = (),
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: Intensity | None = None,
        backoff: Backoff | None = None,
        auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """
        `chance` draws the jitter of the backoff, from 0 to 1.

        Raises:
            ChildExistsError: two children have the same name.
            ValueError: a child is significant, and `auto_shutdown` is NEVER.
            TypeError: an argument is of another type than it says.
        """
        super().__init__()
        specs = _checked_specs(specs)
        for name, value, kind in (
            ("strategy", strategy, Strategy),
            ("intensity", intensity, Intensity | None),
            ("backoff", backoff, Backoff | None),
            ("auto_shutdown", auto_shutdown, AutoShutdown),
        ):
            if not isinstance(value, kind):
                raise TypeError(f"a Supervisor's {name} is {value!r}; allowed: {kind}")
        self._state = SupervisorState(
            specs, strategy=strategy, intensity=intensity, backoff=backoff, auto_shutdown=auto_shutdown
        )
        self._chance = chance
        self._refs: dict[str, ActorRef[Any]] = {}
        self._names: dict[ActorRef[Any], str] = {}
        self._reviving: set[str] = set()
        self._requests: dict[int, pykka.Future[Any]] = {}
        self._request_numbers = itertools.count()
        self._announced = False

    def on_start(self) -> None:
        self._perform(self._state.start_all())

    @handles(ChildStarted)
    def on_child_started(self, notice: ChildStarted) -> None:
        name = self._names.get(notice.ref)
        if name is None:
            return
        if name in self._reviving:
            self._reviving.discard(name)
            self.system.events.publish(ActorRestarted(notice.ref))
        self._perform(self._state.child_started(name, trio.current_time()))

    @handles(ChildEnded)
    def on_child_ended(self, notice: ChildEnded) -> None:
        name = self._names.get(notice.ref)
        if name is not None:
            self._reviving.discard(name)
            self._perform(self._child_ended(name, notice.reason))

    @handles(_BackoffOver)
    def on_backoff_over(self, backoff: _BackoffOver) -> None:
        self._perform(self._state.backoff_over(backoff.generation, trio.current_time()))

    def _child_ended(self, name: str, failure: BaseException | None) -> tuple[Step, ...]:
        return self._state.child_ended(name, failure, trio.current_time(), self._chance())

    @handles(StartChild)
    def on_start_child(self, request: StartChild) -> None:
        if not isinstance(request.spec, ChildSpec):  # pyright: ignore[reportUnnecessaryIsInstance] - the asker is to blame, not the children
            reply = self.defer()
            if reply is not None:
                answer_error(reply, TypeError(f"StartChild takes a ChildSpec, not {request.spec!r}"))
            return
        self._perform(self._state.start_child(self._take_request(), request.spec))

    @handles(TerminateChild)
    def on_terminate_child(self, request: TerminateChild) -> None:
        self._perform(self._state.terminate_child(self._take_request(), request.name))

    @handles(RestartChild)
    def on_restart_child(self, request: RestartChild) -> None:
        self._perform(self._state.restart_child(self._take_request(), request.name))

    @handles(DeleteChild)
    def on_delete_child(self, request: DeleteChild) -> None:
        self._perform(self._state.delete_child(self._take_request(), request.name))

    @handles(FindChild)
    def on_find_child(self, request: FindChild) -> ActorRef[Any] | None:
        return self._refs.get(request.name)

    @handles(WhichChildren)
    def on_which_children(self, _: WhichChildren) -> tuple[ChildInfo, ...]:
        return self._state.which_children()

    @handles(CountChildren)
    def on_count_children(self, _: CountChildren) -> ChildCounts:
        return self._state.count_children()

    def _take_request(self) -> int:
        number = next(self._request_numbers)
        reply = self.defer()
        if reply is not None:
            self._requests[number] = reply
        return number

    def _perform(self, first: tuple[Step, ...]) -> None:
        steps = deque(first)
        while steps:
            match steps.popleft():
                case Start(name):
                    steps.extend(self._start(name))
                case Revive(name):
                    self._reviving.add(name)
                    lifecycle.revive(self._refs[name].cell)
                case Halt(name):
                    self._halt(name)
                case Release(name):
                    self._release(name)
                case Wait(seconds, generation):
                    self.timers.start(("backoff", generation), seconds, _BackoffOver(generation))
                case Answer() as settled:
                    self._answer(settled)
                case Escalate(failure):
                    self._cell.post_control(Failed(failure))
                case Finish():
                    self._cell.post_control(HaltActor(None))
                case _ as never:
                    assert_never(never)
        if not self._announced and self._state.phase in _STARTED:
            self._announced = True
            lifecycle.announce_start(self._cell)

    def _start(self, name: str) -> tuple[Step, ...]:
        spec = self._state.spec(name)
        try:
            ref = self._adopt(spec)
        except BaseException as error:  # noqa: BLE001 - supervision edge: making a child failed
            return self._child_ended(name, error)
        self._refs[name] = ref
        self._names[ref] = name
        return ()

    def _adopt(self, spec: ChildSpec) -> ActorRef[Any]:
        # In its own context from the beginning, as in the lives to come.
        context = self.system.new_context()
        actor = context.run(_make, spec)
        cell, ref = cell_of(actor), actor.actor_ref
        belongings = cell.own()
        belongings.supervised = True
        belongings.factory = spec.start
        belongings.shutdown_seconds = _shutdown_seconds(spec, actor)
        self.system.adopt(cell, name=spec.registered_name, parent=self._cell)
        cell.context = context
        self._keep_order(spec.name)
        return ref

    def _keep_order(self, name: str) -> None:
        """A child that comes back as a new actor is no younger than those that start after it.

        The family is in order but for its last member, the new one: only those are moved who were behind
        its place, and at the first start of all there are none.
        """
        family = self._cell.belongings.child_actors
        assert family is not None
        rank = self._state.rank(name)
        younger: list[Cell] = []
        for sibling in itertools.islice(reversed(family), 1, None):
            # A subclass may have child actors that it does not supervise: they are in nobody's way.
            known_as = None if sibling.ref is None else self._names.get(sibling.ref)
            if known_as is not None:
                if self._state.rank(known_as) < rank:
                    break
                younger.append(sibling)
        for sibling in reversed(younger):
            del family[sibling]
            family[sibling] = None

    def _halt(self, name: str) -> None:
        cell = self._refs[name].cell
        if cell.life is not Life.HALTED:  # else it has ended by itself: its notice is under way
            lifecycle.end_child(cell)

    def _release(self, name: str) -> None:
        ref = self._refs.pop(name, None)
        if ref is not None:
            del self._names[ref]
            lifecycle.finish(ref.cell)

    def _answer(self, settled: Answer) -> None:
        reply = self._requests.pop(settled.request, None)
        if reply is None:
            return
        if settled.error is None:
            answer(reply, self._refs.get(settled.name))
        else:
            answer_error(reply, settled.error)


def _make(spec: ChildSpec) -> TrioActor:
    """
    Raises:
        TypeError: the factory gave something else than a new actor.
        BaseException: what the factory raised.
    """
    actor = cast("object", spec.start())
    if not isinstance(actor, TrioActor):
        raise TypeError(f"ChildSpec.start of {spec.name!r} gave {actor!r}, not a new TrioActor")
    cell = cell_of(actor)
    if cell.life is not Life.NEW or cell.scheduler is not None:
        raise TypeError(f"ChildSpec.start of {spec.name!r} gave an actor that runs already, not a new one")
    return actor


def _shutdown_seconds(spec: ChildSpec, actor: TrioActor) -> float | None:
    """The time to end in, as a cell has it."""
    match spec.shutdown:
        case None:
            return actor.shutdown_seconds
        case Shutdown.KILL:
            return 0.0
        case Shutdown.NO_LIMIT:
            return None
        case _:
            return spec.shutdown


def _checked_specs(specs: Iterable[ChildSpec]) -> tuple[ChildSpec, ...]:
    if not isinstance(specs, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] - a lone ChildSpec is the usual mistake
        raise TypeError(f"a Supervisor takes a list of ChildSpec, not {specs!r}")
    checked = tuple(specs)
    for spec in checked:
        if not isinstance(spec, ChildSpec):  # pyright: ignore[reportUnnecessaryIsInstance] - as above
            raise TypeError(f"a Supervisor takes a list of ChildSpec; {spec!r} is none")
    return checked
