"""Whatever children do, and whenever they do it, the supervisor keeps its promises."""

from __future__ import annotations

from typing import assert_never

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from runtime.supervision import (
    AutoShutdown,
    Backoff,
    ChildStartError,
    ChildStatus,
    Intensity,
    Restart,
    RestartIntensityError,
    Strategy,
)
from runtime.supervision.state import SupervisorState
from runtime.supervision.status import Phase
from runtime.supervision.steps import Answer, Escalate, Finish, Halt, Release, Revive, Start, Step, Wait
from tests.runtime.supervision.play import BoomError, spec

NAMES = ("a", "b", "c", "d")
PERIOD = 5.0

names = st.sampled_from(NAMES)
failures = st.sampled_from([None, BoomError("by chance")])
picks = st.integers(0, 3)


class SupervisionMachine(RuleBasedStateMachine):
    """Children that start, fail and end at any moment; the model knows who lives, and judges each step."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.beginning: set[str] = set()
        self.running: set[str] = set()
        self.halting: set[str] = set()
        self.held: set[str] = set()  # incarnations that are not released
        self.waits: list[int] = []
        self.revived_at: list[float] = []
        self.owed: set[int] = set()
        self.additions: set[int] = set()  # requests to add a child
        self.request = 0
        self.broke_at = self.now
        self.last_step: Escalate | Finish | None = None
        self.last_halted: int | None = None  # position of the last child halted since the end began

    @initialize(
        restarts=st.lists(st.sampled_from(Restart), max_size=4),
        strategy=st.sampled_from(Strategy),
        max_restarts=st.sampled_from([1, 3, 50, 50]),
        backoff_seconds=st.sampled_from([0.0, 1.0]),
        auto_shutdown=st.sampled_from(AutoShutdown),
        starts=st.sampled_from(["not yet", "begin", "have begun", "have begun"]),
    )
    def found(
        self,
        restarts: list[Restart],
        strategy: Strategy,
        max_restarts: int,
        backoff_seconds: float,
        auto_shutdown: AutoShutdown,
        starts: str,
    ) -> None:
        self.strategy = strategy
        self.max_restarts = max_restarts
        self.immediate = backoff_seconds == 0
        self.auto_shutdown = auto_shutdown
        self.state = SupervisorState(
            [
                spec(name, restart, significant=self.may_be_significant(restart))
                for name, restart in zip(NAMES, restarts, strict=False)
            ],
            strategy=strategy,
            intensity=Intensity(max_restarts, PERIOD),
            backoff=Backoff(backoff_seconds, jitter=0.5),
            auto_shutdown=auto_shutdown,
        )
        if starts != "not yet":
            self.start_all()
        if starts == "have begun":
            self.all_goes_well()

    def may_be_significant(self, restart: Restart) -> bool:
        return restart is not Restart.PERMANENT and self.auto_shutdown is not AutoShutdown.NEVER

    # -- the actor --

    def order(self) -> list[str]:
        return [child.name for child in self.state.which_children()]

    def alive(self) -> set[str]:
        return self.beginning | self.running | self.halting

    def perform(self, steps: tuple[Step, ...]) -> None:
        for step in steps:
            if self.last_step is not None:
                assert isinstance(step, Answer), f"{step} after {self.last_step}"
            match step:
                case Start(name):
                    assert name not in self.held, f"two incarnations of {name}"
                    self.held.add(name)
                    self.begin(name)
                case Revive(name):
                    assert name in self.held, f"{name} has no incarnation to revive"
                    assert self.state.spec(name).restart is not Restart.TEMPORARY
                    self.revived_at.append(self.now)
                    self.begin(name)
                    self.check_revival(name)
                case Halt(name):
                    self.halt(name)
                case Release(name):
                    assert name in self.held, f"{name} is released, and has no incarnation"
                    assert name not in self.alive(), f"{name} is released, and alive"
                    self.held.remove(name)
                case Wait(seconds, generation):
                    assert seconds > 0
                    self.waits.append(generation)
                case Answer(request, name, error):
                    assert request in self.owed, f"{step} is no answer to a request, or the second"
                    self.owed.remove(request)
                    if request in self.additions and isinstance(error, ChildStartError):
                        assert name not in self.order() or Start(name) in steps  # asked for again
                case Escalate() | Finish():
                    self.end(step)
                case _:
                    assert_never(step)

    def begin(self, name: str) -> None:
        assert name not in self.alive(), f"{name} begins a life, and has one"
        assert not self.beginning, f"{name} begins while {self.beginning} does"
        assert not self.halting, f"{name} begins while {self.halting} ends"
        assert self.state.phase in (Phase.STARTING, Phase.LAUNCHING)
        self.beginning.add(name)

    def check_revival(self, name: str) -> None:
        """Without a backoff nothing comes between: who is younger than the one revived is down."""
        order = self.order()
        younger = set(order[order.index(name) + 1 :])
        if self.immediate and self.strategy is not Strategy.ONE_FOR_ONE:
            assert not younger & self.running
        if self.immediate and self.strategy is Strategy.ONE_FOR_ONE:
            recent = [at for at in self.revived_at if at >= self.now - PERIOD]
            assert len(recent) <= self.max_restarts

    def halt(self, name: str) -> None:
        assert name in self.running, f"{name} is halted, and does not run"
        assert not self.halting, f"{name} is halted while {self.halting} is"
        self.running.discard(name)
        self.halting.add(name)
        if self.state.phase is Phase.STOPPING:
            position = self.order().index(name)
            assert self.last_halted is None or position < self.last_halted
            self.last_halted = position

    def end(self, step: Escalate | Finish) -> None:
        assert not self.alive()
        assert not self.held
        assert not self.owed
        assert self.state.phase is Phase.ENDED
        if isinstance(step, Escalate) and isinstance(step.failure, RestartIntensityError):
            assert f"allowed: {self.max_restarts}" in str(step.failure)
            if self.immediate and self.strategy is Strategy.ONE_FOR_ONE:
                recent = [at for at in self.revived_at if at >= self.broke_at - PERIOD]
                assert len(recent) == self.max_restarts
        self.last_step = step

    # -- the world --

    @precondition(lambda self: self.state.phase is Phase.NEW)
    @rule()
    def start_all(self) -> None:
        self.perform(self.state.start_all())

    @precondition(lambda self: self.beginning)
    @rule()
    def a_child_has_started(self) -> None:
        name = self.beginning.pop()
        self.running.add(name)
        self.perform(self.state.child_started(name, self.now))

    @precondition(lambda self: self.beginning or self.halting)
    @rule()
    def all_goes_well(self) -> None:
        while self.beginning or self.halting:
            if self.halting:
                self.tell_end(self.halting.pop(), None, 0.0)
            else:
                self.a_child_has_started()

    @precondition(lambda self: self.beginning)
    @rule(failure=failures, chance=st.floats(0, 1))
    def a_child_fails_to_start(self, failure: BaseException | None, chance: float) -> None:
        self.tell_end(self.beginning.pop(), failure, chance)

    @precondition(lambda self: self.running)
    @rule(pick=picks, failure=failures, chance=st.floats(0, 1))
    def a_child_ends(self, pick: int, failure: BaseException | None, chance: float) -> None:
        name = sorted(self.running)[pick % len(self.running)]
        self.running.remove(name)
        self.tell_end(name, failure, chance)

    @precondition(lambda self: self.halting)
    @rule(failure=failures)
    def a_halted_child_ends(self, failure: BaseException | None) -> None:
        self.tell_end(self.halting.pop(), failure, 0.0)

    def tell_end(self, name: str, failure: BaseException | None, chance: float) -> None:
        if self.state.phase is not Phase.STOPPING:
            self.broke_at = self.now
        self.perform(self.state.child_ended(name, failure, self.now, chance))

    @rule(seconds=st.sampled_from([0.25, 2.0, PERIOD]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.waits)
    @rule(pick=picks)
    def a_backoff_is_over(self, pick: int) -> None:
        generation = self.waits.pop(pick % len(self.waits))
        self.perform(self.state.backoff_over(generation, self.now))
        assert self.state.backoff_over(generation + 1_000, self.now) == ()

    @precondition(lambda self: len(self.alive()) < len(NAMES))
    @rule(name=names)
    def late_news_of_a_child_without_a_life(self, name: str) -> None:
        if name not in self.alive():
            assert self.state.child_ended(name, BoomError(name), self.now, 0.0) == ()
            assert self.state.child_started(name, self.now) == ()

    # -- those who ask --

    def ask(self) -> int:
        self.request += 1
        self.owed.add(self.request)
        return self.request

    @precondition(lambda self: self.last_step is None)
    @rule(name=names, restart=st.sampled_from(Restart), significant=st.booleans())
    def add(self, name: str, restart: Restart, significant: bool) -> None:
        child = spec(name, restart, significant=significant and restart is not Restart.PERMANENT)
        request = self.ask()
        self.additions.add(request)
        self.perform(self.state.start_child(request, child))

    @rule(name=names, what=st.sampled_from(["terminate", "restart", "delete"]))
    def ask_for(self, name: str, what: str) -> None:
        match what:
            case "terminate":
                steps = self.state.terminate_child(self.ask(), name)
            case "restart":
                steps = self.state.restart_child(self.ask(), name)
            case _:
                steps = self.state.delete_child(self.ask(), name)
        self.perform(steps)

    # -- always --

    @invariant()
    def it_knows_who_lives(self) -> None:
        if not hasattr(self, "state"):
            return
        told = {child.name: child.status for child in self.state.which_children()}
        begins = (ChildStatus.STARTING, ChildStatus.REVIVING)
        assert {name for name, status in told.items() if status in begins} == self.beginning
        assert {name for name, status in told.items() if status is ChildStatus.RUNNING} == self.running
        assert {name for name, status in told.items() if status is ChildStatus.HALTING} == self.halting
        assert self.state.count_children().active == len(self.alive())
        assert self.held <= set(told)

    @invariant()
    def it_rests_only_when_nothing_is_left_to_do(self) -> None:
        if hasattr(self, "state") and self.state.phase is Phase.RESTING:
            assert not self.beginning
            assert not self.halting
            assert not self.owed
            assert ChildStatus.ENDED not in {child.status for child in self.state.which_children()}

    @invariant()
    def what_has_ended_leaves_nothing_behind(self) -> None:
        if self.last_step is not None:
            assert not self.alive()
            assert not self.held
            assert not self.owed


def test_a_supervisor_keeps_its_promises_whatever_children_do() -> None:
    run_state_machine_as_test(  # pyright: ignore[reportUnknownMemberType] - untyped in hypothesis
        SupervisionMachine,
        settings=settings(
            max_examples=300,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],  # says something of the machine's load only
        ),
    )
