"""Random lives of a governor: what holds in all of them, after every step."""

from __future__ import annotations

import itertools

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.errors import ErrorInfo
from actors.governor import CircuitPolicy, CircuitStatus, RetryPolicy
from actors.governor.protocol import (
    AcquirePermit,
    CallAnswered,
    CallFailed,
    GovernorMessage,
    ReturnPermit,
    Wake,
)
from actors.governor.state import (
    GovernorState,
    Granted,
    Postponed,
    Refused,
    Ruled,
    WakeAfter,
    Withdrawn,
    decide,
)
from tests.actors.governor.errors import BUSY, DOWN, TOO_LONG, throttled

RETRY = RetryPolicy(max_attempts=3, max_retry_after_seconds=10)
CIRCUIT = CircuitPolicy(failures=3, failing_seconds=1, open_seconds=5)
ERRORS = (DOWN, BUSY, TOO_LONG, throttled(), throttled(0), throttled(3), throttled(100))
PICK = st.integers(0, 10_000)


class GovernorMachine(RuleBasedStateMachine):
    """Calls that come, are answered, fail, try again and are cancelled, and a governor that crashes."""

    def __init__(self) -> None:
        super().__init__()
        self.now: float = 0.0
        self.permits: dict[int, float] = {}
        self.limit: int | None = 2
        self.state = GovernorState("sim", self.permits, RETRY, CIRCUIT)
        self.numbers = itertools.count(1)
        self.wanted: dict[int, int] = {}  # who asks for a permit, with their priority
        self.running: dict[int, bool] = {}  # who has one, and whether it was answered
        self.pausing: dict[int, float] = {}  # until when
        self.attempts: dict[int, int] = {}
        self.over: set[int] = set()
        self.not_before: float = 0.0  # what the endpoint asked for
        self.wake_at: float | None = None
        self.endpoint = 0
        self.endpoints: dict[int, int] = {}  # that each call asks

    def step(self, message: GovernorMessage, chance: float = 0.5) -> list[Ruled]:
        rulings: list[Ruled] = []
        for effect in decide(self.state, message, self.now, chance):
            match effect:
                case Granted(call_id):
                    priority = self.wanted.pop(call_id)
                    limit = self.state.max_concurrent
                    assert limit is None or len(self.permits) <= limit, "never more than allowed"
                    assert self.now >= self.not_before, "nobody begins while the endpoint cools"
                    rank = min(((-other, number) for number, other in self.wanted.items()), default=None)
                    assert rank is None or (-priority, call_id) < rank, "larger priority, then first come"
                    self.running[call_id] = False
                    self.attempts[call_id] += 1
                case Refused(call_id, error):
                    del self.wanted[call_id]
                    self.over.add(call_id)
                    assert error.details["retry_after_seconds"], "it says when to come again"
                case Postponed(call_id, come_again):
                    del self.wanted[call_id]
                    self.pausing[call_id] = self.now + come_again.retry_after_seconds
                case Withdrawn(call_id):
                    del self.wanted[call_id]
                    self.over.add(call_id)
                case Ruled():
                    rulings.append(effect)
                case WakeAfter(seconds):
                    self.wake_at = self.now + seconds
        return rulings

    @rule(priority=st.integers(0, 2))
    def a_call_comes(self, priority: int) -> None:
        call_id = next(self.numbers)
        self.attempts[call_id] = 0
        self.endpoints[call_id] = self.endpoint
        self.ask(call_id, priority)

    def ask(self, call_id: int, priority: int) -> None:
        self.wanted[call_id] = priority
        endpoint = self.endpoints[call_id]
        if endpoint > self.state.endpoint:
            self.not_before = 0.0
        self.step(
            AcquirePermit(call_id=call_id, priority=priority, max_concurrent=self.limit, endpoint=endpoint)
        )

    @precondition(lambda self: self.running)
    @rule(pick=PICK)
    def a_call_is_answered(self, pick: int) -> None:
        call_id = chosen(self.running, pick)
        self.running[call_id] = True
        self.step(CallAnswered(call_id, self.endpoints[call_id]))

    @precondition(lambda self: self.running)
    @rule(pick=PICK, error=st.sampled_from(ERRORS), chance=st.floats(0, 1))
    def a_call_fails(self, pick: int, error: ErrorInfo, chance: float) -> None:
        call_id = chosen(self.running, pick)
        if self.running.pop(call_id):
            self.over.add(call_id)
            self.step(ReturnPermit(call_id))
            return
        asked = error.details.get("retry_after_seconds", 0)
        assert not isinstance(asked, str)
        endpoint = self.endpoints[call_id]
        if endpoint == self.state.endpoint:
            self.not_before = max(self.not_before, self.now + asked)
        attempt = self.attempts[call_id]
        failed = CallFailed(call_id=call_id, error=error, attempt=attempt, endpoint=endpoint)
        (ruled,) = self.step(failed, chance)
        assert ruled.call_id == call_id
        pause = ruled.ruling.retry_after_seconds
        if pause is None:
            self.over.add(call_id)
        else:
            assert error is not TOO_LONG
            assert attempt < RETRY.max_attempts
            assert asked <= pause
            self.pausing[call_id] = self.now + pause

    @precondition(lambda self: self.running)
    @rule(pick=PICK)
    def a_call_ends_or_is_cancelled(self, pick: int) -> None:
        call_id = chosen(self.running, pick)
        del self.running[call_id]
        self.over.add(call_id)
        self.step(ReturnPermit(call_id))

    @precondition(lambda self: self.wanted)
    @rule(pick=PICK)
    def a_call_that_waits_is_cancelled(self, pick: int) -> None:
        call_id = chosen(self.wanted, pick)
        self.step(ReturnPermit(call_id))
        assert call_id in self.over, "it is told that nobody waits for it any more"

    @precondition(lambda self: self.over)
    @rule(pick=PICK)
    def a_permit_is_returned_again(self, pick: int) -> None:
        call_id = chosen(dict.fromkeys(self.over), pick)
        self.step(ReturnPermit(call_id))
        self.step(CallAnswered(call_id))

    @rule()
    def the_connection_leads_elsewhere(self) -> None:
        self.endpoint += 1

    @rule(limit=st.none() | st.integers(1, 3))
    def the_limit_changes(self, limit: int | None) -> None:
        self.limit = limit

    @rule(seconds=st.sampled_from((0.01, 0.5, 3.0, 70.0)))
    def time_passes(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            back = min(self.pausing.values(), default=end + 1)
            due = min(back, end + 1 if self.wake_at is None else self.wake_at)
            if due > end:
                break
            self.now = max(self.now, due)
            if self.wake_at == due:
                self.wake_at = None
                self.step(Wake())
            else:
                call_id = next(number for number, at in self.pausing.items() if at == due)
                del self.pausing[call_id]
                self.ask(call_id, 0)
        self.now = end

    @rule()
    def the_governor_crashes(self) -> None:
        self.state = GovernorState("sim", self.permits, RETRY, CIRCUIT)
        self.wake_at = None
        self.not_before = 0.0
        askers, self.wanted = self.wanted, {}
        for call_id, priority in sorted(askers.items()):
            # As their askers do, who got `ActorDeadError`; in any order, so that order holds anew.
            self.ask(call_id, priority)

    @invariant()
    def permits_are_what_runs(self) -> None:
        assert set(self.permits) == set(self.running)

    @invariant()
    def everybody_who_is_not_answered_is_known(self) -> None:
        assert self.state.everybody() == [
            call_id
            for _, call_id in sorted((-priority, call_id) for call_id, priority in self.wanted.items())
        ]

    @invariant()
    def the_limit_is_kept_and_used(self) -> None:
        limit = self.state.max_concurrent
        if not self.wanted or limit is None:
            return
        # A limit that was lowered is reached as calls end.
        if len(self.running) < limit and self.state.circuit.status is CircuitStatus.CLOSED:
            assert self.wake_at is not None, "nobody would ever let the next one in"

    def teardown(self) -> None:
        """Whatever has happened, when everything that runs ends and time passes nobody waits any more."""
        for _ in range(1000):
            for call_id in tuple(self.running):
                self.running[call_id] = True
                self.step(CallAnswered(call_id))
                self.a_call_ends_or_is_cancelled(list(self.running).index(call_id))
            if not self.wanted and not self.running and not self.pausing:
                break
            self.time_passes(3.0)
        assert not self.wanted, "a call waits for ever"
        assert not self.permits
        assert len(self.over) == len(self.attempts)


def chosen(calls: dict[int, object] | dict[int, int] | dict[int, bool] | dict[int, None], pick: int) -> int:
    return sorted(calls)[pick % len(calls)]


TestGovernor = GovernorMachine.TestCase
TestGovernor.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
