"""What a supervisor knows of its children, and what follows from what happens to them."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable
from typing import TypeAlias, assert_never

import msgspec

from runtime.supervision.errors import (
    ChildExistsError,
    ChildRestartingError,
    ChildRunningError,
    ChildStartError,
    RestartIntensityError,
    SupervisorStoppingError,
    UnknownChildError,
)
from runtime.supervision.policy import (
    AFFECTED,
    RESTARTED,
    AutoShutdown,
    Backoff,
    ChildSpec,
    Ending,
    Intensity,
    Restart,
    Strategy,
)
from runtime.supervision.status import (
    ALIVE,
    ChildStatus,
    Phase,
    check_child_transition,
    check_transition,
)
from runtime.supervision.steps import Answer, Escalate, Finish, Halt, Release, Revive, Start, Step, Wait

__all__ = ["ChildCounts", "ChildInfo", "SupervisorState"]


class ChildInfo(msgspec.Struct, frozen=True):
    """One child as `which_children` tells of it."""

    name: str
    status: ChildStatus
    restart: Restart
    significant: bool


class ChildCounts(msgspec.Struct, frozen=True):
    """`specs`: the children there are, up or down. `active`: those that have a life, begun and not over."""

    specs: int
    active: int


class SupervisorState:
    """A supervisor without its actor: events come in, the steps to perform go out, in order.

    Nothing here waits, reads a clock or draws lots. `now` is in seconds of a clock that never goes back;
    `chance` is random, from 0 to 1, and is the jitter of the backoff that may follow. Each method returns
    when everything that follows at once is decided; what the steps lead to comes back as further events.

    It does one thing at a time, as OTP's supervisor does: ends and requests that come meanwhile wait in
    line. A backoff is no thing under way: ends and requests are taken up during it, so that nobody waits
    half a minute to terminate what cannot be started. (For that reason OTP gives up control between two
    attempts, `try_again_restart`.)

    What is decided here is the end that follows from what the children do. When the supervisor is stopped
    or killed, its children end with it as those of any actor do, see `runtime.lifecycle`, and no event
    comes after that.

    A request has a number of the caller's choice; every one is answered exactly once, by an `Answer`.

    Invariants:
    - At most one child is told to halt at a time, and at most one begins a life.
    - An incarnation begins with Start, goes on with Revive, and is released once, when it has no life.
    - The phase leaves RESTING only when an item of the agenda is taken up.
    """

    def __init__(
        self,
        specs: Iterable[ChildSpec] = (),
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        intensity: Intensity | None = None,
        backoff: Backoff | None = None,
        auto_shutdown: AutoShutdown = AutoShutdown.NEVER,
    ) -> None:
        """
        Raises:
            ChildExistsError: two children have the same name.
            ValueError: a child is significant, and `auto_shutdown` is NEVER.
        """
        self.phase = Phase.NEW
        self._strategy = strategy
        self._intensity = intensity or Intensity()
        self._backoff = backoff or Backoff()
        self._auto_shutdown = auto_shutdown
        self._children: dict[str, _Child] = {}  # in start order
        self._ranks = itertools.count()
        self._significant_up = 0  # significant children that are not ABSENT
        self._now = 0.0
        self._restarts: deque[float] = deque()  # when, within the last period
        self._generation = 0
        self._waiting: dict[int, list[str]] = {}  # by generation: who comes back when that backoff is over
        self._agenda: deque[_Item] = deque()
        self._request: _Request | None = None  # under way; its answer is owed
        self._group: list[str] = []  # whom the restart under way concerns, in start order
        self._to_halt: list[str] = []  # in start order, taken from the end
        self._to_launch: deque[str] = deque()
        self._last_step: Escalate | Finish = Finish()
        self._steps: list[Step] = []
        for spec in specs:
            error = self._objection(spec)
            if error is not None:
                raise error
            self._children[spec.name] = _Child(spec, next(self._ranks))

    def start_all(self) -> tuple[Step, ...]:
        """Start the children, one after another. If one cannot be started, the supervisor fails.

        Raises:
            IllegalTransitionError: it was called before.
        """
        self._enter(Phase.STARTING)
        self._to_launch.extend(self._children)
        self._launch_next()
        return self._outcome()

    def child_started(self, name: str, now: float) -> tuple[Step, ...]:
        """What `Start` or `Revive` asked for has happened. Ignored of a child that begins no life."""
        self._see(now)
        child = self._children.get(name)
        if child is not None and child.status in _BEGINNING:
            self._become(child, ChildStatus.RUNNING)
            child.started_at = now
            self._launch_next()
        return self._outcome()

    def child_ended(
        self, name: str, failure: BaseException | None, now: float, chance: float
    ) -> tuple[Step, ...]:
        """The life of a child is over: of itself, as asked by `Halt`, or before it had started.

        Ignored of a child that has no life.
        """
        self._see(now)
        child = self._children.get(name)
        if child is None:
            return ()
        match child.status:
            case ChildStatus.STARTING | ChildStatus.REVIVING:
                self._start_failed(child, failure, chance)
            case ChildStatus.RUNNING:
                child.end_run(now, self._intensity.period_seconds)
                child.failure, child.chance = failure, chance
                self._agenda.append(_Judge(name))
            case ChildStatus.HALTING:
                child.end_run(now, self._intensity.period_seconds)
                self._put_down(child)
                self._halt_next()
            case ChildStatus.ABSENT | ChildStatus.ENDED | ChildStatus.RESTARTING:
                pass
            case _:
                assert_never(child.status)
        return self._outcome()

    def backoff_over(self, generation: int, now: float) -> tuple[Step, ...]:
        """The time of a `Wait` has passed. Ignored if nobody waits for that generation any more."""
        self._see(now)
        if generation in self._waiting:
            self._agenda.append(_Resume(generation))
        return self._outcome()

    def start_child(self, request: int, spec: ChildSpec) -> tuple[Step, ...]:
        """Add a child, after all others, and start it.

        If it cannot be started it is not added, and nobody else is concerned. Answered with
        `ChildExistsError`, `ChildStartError`, or ValueError for a significant child where no automatic
        shutdown is.
        """
        return self._ask(_StartChild(request, spec))

    def terminate_child(self, request: int, name: str) -> tuple[Step, ...]:
        """End a child, or call its restart off. Its spec stays, unless it is temporary.

        It is no failure, and never an automatic shutdown. A later restart of its group brings the child
        back, as in OTP: delete it if that is not wanted. Answered with `UnknownChildError`.
        """
        return self._ask(_TerminateChild(request, name))

    def restart_child(self, request: int, name: str) -> tuple[Step, ...]:
        """Start a child that is down, as a new incarnation. It counts as no restart.

        Answered with `UnknownChildError`, `ChildRunningError`, `ChildRestartingError`, `ChildStartError`.
        """
        return self._ask(_RestartChild(request, name))

    def delete_child(self, request: int, name: str) -> tuple[Step, ...]:
        """Forget a child that is down.

        Answered with `UnknownChildError`, `ChildRunningError`, `ChildRestartingError`.
        """
        return self._ask(_DeleteChild(request, name))

    def spec(self, name: str) -> ChildSpec:
        """
        Raises:
            UnknownChildError: there is no such child.
        """
        return self._known(name).spec

    def rank(self, name: str) -> int:
        """Larger than that of every child which comes before it in start order.

        Raises:
            UnknownChildError: there is no such child.
        """
        return self._known(name).rank

    def which_children(self) -> tuple[ChildInfo, ...]:
        """All children, in start order."""
        return tuple(
            ChildInfo(child.spec.name, child.status, child.spec.restart, child.spec.significant)
            for child in self._children.values()
        )

    def count_children(self) -> ChildCounts:
        active = sum(child.status in ALIVE for child in self._children.values())
        return ChildCounts(specs=len(self._children), active=active)

    def _known(self, name: str) -> _Child:
        child = self._children.get(name)
        if child is None:
            raise _unknown(name)
        return child

    def _outcome(self) -> tuple[Step, ...]:
        while self._agenda and self.phase is Phase.RESTING:
            self._take_up(self._agenda.popleft())
        steps = tuple(self._steps)
        self._steps.clear()
        return steps

    def _take_up(self, item: _Item) -> None:
        match item:
            case _Judge():
                self._judge(item)
            case _Resume():
                self._resume(item)
            case _StartChild():
                self._add(item)
            case _TerminateChild():
                self._terminate(item)
            case _RestartChild():
                self._restart_by_hand(item)
            case _DeleteChild():
                self._delete(item)
            case _:
                assert_never(item)

    def _ask(self, request: _Request) -> tuple[Step, ...]:
        if self.phase in (Phase.STOPPING, Phase.ENDED):
            self._refuse(request)
        else:
            self._agenda.append(request)
        return self._outcome()

    def _answer(self, request: _Request, error: Exception | None = None) -> None:
        self._steps.append(Answer(request.request, request.name, error))

    def _refuse(self, request: _Request) -> None:
        self._answer(request, SupervisorStoppingError("the supervisor stops, or has stopped"))

    def _settle_request(self, error: Exception | None = None) -> None:
        if self._request is not None:
            self._answer(self._request, error)
            self._request = None

    def _enter(self, phase: Phase) -> None:
        check_transition(self.phase, phase)
        self.phase = phase

    def _become(self, child: _Child, status: ChildStatus) -> None:
        if child.spec.significant:
            was_up = child.status is not ChildStatus.ABSENT
            self._significant_up += (status is not ChildStatus.ABSENT) - was_up
        child.become(status)

    def _see(self, now: float) -> None:
        self._now = max(self._now, now)

    def _judge(self, end: _Judge) -> None:
        child = self._children.get(end.name)
        if child is None:
            return
        failure, child.failure = child.failure, None
        if child.status is not ChildStatus.ENDED:
            return  # a restart of its group, or a request, has settled it meanwhile
        if RESTARTED[child.spec.restart, Ending.of(failure)]:
            self._restart(child, failure, child.chance)
            return
        self._let_go(child)
        if child.spec.significant and self._is_over():
            self._unwind(Finish())

    def _is_over(self) -> bool:
        match self._auto_shutdown:
            case AutoShutdown.NEVER:
                return False
            case AutoShutdown.ANY_SIGNIFICANT:
                return True
            case AutoShutdown.ALL_SIGNIFICANT:
                return self._significant_up == 0
            case _:
                assert_never(self._auto_shutdown)

    def _restart(self, culprit: _Child, failure: BaseException | None, chance: float) -> None:
        count = self._count_restart()
        if count > self._intensity.max_restarts:
            self._unwind(Escalate(self._too_many(culprit, count, failure)))
            return
        culprit.attempts += 1
        culprit.not_before = self._now + self._backoff.delay_seconds(culprit.attempts, chance)
        self._enter(Phase.HALTING)
        self._group = list(AFFECTED[self._strategy](self._children, culprit.spec.name))
        self._to_halt = list(self._group)
        self._halt_next()

    def _count_restart(self) -> int:
        oldest = self._now - self._intensity.period_seconds
        while self._restarts and self._restarts[0] < oldest:
            self._restarts.popleft()
        self._restarts.append(self._now)
        return len(self._restarts)

    def _too_many(
        self, culprit: _Child, count: int, failure: BaseException | None
    ) -> RestartIntensityError:
        error = RestartIntensityError(
            f"restarting child {culprit.spec.name!r} would be restart {count} within "
            f"{self._intensity.period_seconds:g} s; allowed: {self._intensity.max_restarts}"
        )
        error.__cause__ = failure
        return error

    def _halt_next(self) -> None:
        while self._to_halt:
            child = self._children.get(self._to_halt.pop())
            if child is None:
                continue
            if child.status in ALIVE:
                self._become(child, ChildStatus.HALTING)
                self._steps.append(Halt(child.spec.name))
                return
            self._put_down(child)
        self._all_halted()

    def _put_down(self, child: _Child) -> None:
        """A child has no life any more: keep it for the restart of its group, or let it go."""
        if not self._group or child.spec.restart is Restart.TEMPORARY:
            self._let_go(child)
        elif child.status is not ChildStatus.RESTARTING:
            self._become(child, ChildStatus.RESTARTING)

    def _let_go(self, child: _Child) -> None:
        """End the incarnation, if there is one, and the row of restarts. A temporary child is forgotten."""
        if child.held:
            child.held = False
            self._steps.append(Release(child.spec.name))
        if child.status is not ChildStatus.ABSENT:
            self._become(child, ChildStatus.ABSENT)
        child.attempts = 0
        child.not_before = 0.0
        if child.spec.restart is Restart.TEMPORARY:
            del self._children[child.spec.name]

    def _all_halted(self) -> None:
        if self.phase is Phase.STOPPING:
            self._enter(Phase.ENDED)
            self._steps.append(self._last_step)
        elif self._group:
            names, self._group = [name for name in self._group if name in self._children], []
            self._bring_back(names)
        else:
            self._enter(Phase.RESTING)
            self._settle_request()

    def _unwind(self, last_step: Escalate | Finish) -> None:
        """Refuse what is asked, end all children, and then say the last word."""
        assert self._request is None, "only what nobody asked for ends the supervisor"
        self._enter(Phase.STOPPING)
        self._last_step = last_step
        for item in self._agenda:
            if isinstance(item, _Request):
                self._refuse(item)
        self._agenda.clear()
        self._to_halt = list(self._children)
        self._halt_next()

    def _bring_back(self, names: list[str]) -> None:
        seconds = max(self._children[name].not_before for name in names) - self._now
        if seconds <= 0:
            self._launch(names)
            return
        self._generation += 1
        self._waiting[self._generation] = names
        for name in names:
            self._children[name].generation = self._generation
        self._steps.append(Wait(seconds, self._generation))
        self._enter(Phase.RESTING)

    def _resume(self, backoff: _Resume) -> None:
        # Who was terminated, or taken into a later restart, waits for this generation no more.
        names = [
            name
            for name in self._waiting.pop(backoff.generation)
            if (child := self._children.get(name)) is not None
            and child.status is ChildStatus.RESTARTING
            and child.generation == backoff.generation
        ]
        if names:
            self._launch(names)

    def _launch(self, names: Iterable[str]) -> None:
        self._enter(Phase.LAUNCHING)
        self._to_launch.extend(names)
        self._launch_next()

    def _launch_next(self) -> None:
        if not self._to_launch:
            self._enter(Phase.RESTING)
            self._settle_request()
            return
        child = self._children[self._to_launch.popleft()]
        name = child.spec.name
        if child.held:
            self._become(child, ChildStatus.REVIVING)
            self._steps.append(Revive(name))
        else:
            child.held = True
            self._become(child, ChildStatus.STARTING)
            self._steps.append(Start(name))

    def _start_failed(self, child: _Child, failure: BaseException | None, chance: float) -> None:
        if child.status is ChildStatus.STARTING:
            child.held = False
            self._steps.append(Release(child.spec.name))
        self._become(child, ChildStatus.ENDED)
        self._to_launch.clear()
        if self.phase is Phase.STARTING:
            self._unwind(Escalate(_not_started(child, failure)))
        elif self._request is None:
            self._restart(child, failure, chance)
        else:
            self._give_up(self._request, child, failure)

    def _give_up(self, request: _Request, child: _Child, failure: BaseException | None) -> None:
        self._let_go(child)
        if isinstance(request, _StartChild):
            self._children.pop(request.name, None)
        self._enter(Phase.RESTING)
        self._settle_request(_not_started(child, failure))

    def _objection(self, spec: ChildSpec) -> Exception | None:
        if spec.name in self._children:
            return ChildExistsError(f"there is already a child {spec.name!r}")
        if spec.significant and self._auto_shutdown is AutoShutdown.NEVER:
            return ValueError(
                f"ChildSpec.significant of {spec.name!r} is True; allowed: False where the supervisor's "
                f"auto_shutdown is {AutoShutdown.NEVER}"
            )
        return None

    def _add(self, request: _StartChild) -> None:
        error = self._objection(request.spec)
        if error is not None:
            self._answer(request, error)
            return
        self._children[request.name] = _Child(request.spec, next(self._ranks))
        self._request = request
        self._launch((request.name,))

    def _terminate(self, request: _TerminateChild) -> None:
        if request.name not in self._children:
            self._answer(request, _unknown(request.name))
            return
        self._request = request
        self._enter(Phase.HALTING)
        self._to_halt = [request.name]
        self._halt_next()

    def _restart_by_hand(self, request: _RestartChild) -> None:
        error = self._why_not_down(request.name)
        if error is not None:
            self._answer(request, error)
            return
        self._request = request
        self._launch((request.name,))

    def _delete(self, request: _DeleteChild) -> None:
        error = self._why_not_down(request.name)
        if error is None:
            del self._children[request.name]
        self._answer(request, error)

    def _why_not_down(self, name: str) -> Exception | None:
        child = self._children.get(name)
        if child is None:
            return _unknown(name)
        match child.status:
            case ChildStatus.ABSENT:
                return None
            case ChildStatus.RESTARTING:
                return ChildRestartingError(f"child {name!r} is about to be restarted")
            case _:
                return ChildRunningError(f"child {name!r} is running")


_BEGINNING = frozenset({ChildStatus.STARTING, ChildStatus.REVIVING})


class _Child:
    __slots__ = (
        "attempts",
        "chance",
        "failure",
        "generation",
        "held",
        "not_before",
        "rank",
        "spec",
        "started_at",
        "status",
    )

    def __init__(self, spec: ChildSpec, rank: int) -> None:
        self.spec = spec
        self.rank = rank
        self.status = ChildStatus.ABSENT
        self.held = False  # there is an incarnation, alive or with mail to keep
        self.started_at: float | None = None  # of the life that runs
        self.failure: BaseException | None = None  # of the last life, and the chance that came with it:
        self.chance = 0.0  # what counts is how it ended last, when it ended twice before it is judged
        self.attempts = 0  # restarts in a row
        self.not_before = 0.0  # when its backoff is over
        self.generation = 0  # of the Wait that it last was part of

    def become(self, status: ChildStatus) -> None:
        check_child_transition(self.spec.name, self.status, status)
        self.status = status

    def end_run(self, now: float, period_seconds: float) -> None:
        self.become(ChildStatus.ENDED)
        if self.started_at is not None and now - self.started_at >= period_seconds:
            self.attempts = 0
        self.started_at = None


class _Judge(msgspec.Struct, frozen=True):
    """A child has ended by itself."""

    name: str


class _Resume(msgspec.Struct, frozen=True):
    """A backoff is over."""

    generation: int


class _StartChild(msgspec.Struct, frozen=True):
    request: int
    spec: ChildSpec

    @property
    def name(self) -> str:
        return self.spec.name


class _TerminateChild(msgspec.Struct, frozen=True):
    request: int
    name: str


class _RestartChild(msgspec.Struct, frozen=True):
    request: int
    name: str


class _DeleteChild(msgspec.Struct, frozen=True):
    request: int
    name: str


_Request: TypeAlias = _StartChild | _TerminateChild | _RestartChild | _DeleteChild
_Item: TypeAlias = _Judge | _Resume | _Request


def _unknown(name: str) -> UnknownChildError:
    return UnknownChildError(f"there is no child {name!r}")


def _not_started(child: _Child, failure: BaseException | None) -> ChildStartError:
    why = "it ended before it had started" if failure is None else repr(failure)
    error = ChildStartError(f"child {child.spec.name!r} could not be started: {why}")
    error.__cause__ = failure
    return error
