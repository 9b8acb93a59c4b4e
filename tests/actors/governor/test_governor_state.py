"""What a governor decides, in virtual time."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter

import pytest

from actors.errors import ErrorCode, ErrorInfo
from actors.governor import CircuitPolicy, CircuitStatus, RetryPolicy
from actors.governor.pace import CATCH_UP_SECONDS, FORGET_SECONDS, LONGEST_CLOSED_SECONDS, START_RATE
from actors.governor.protocol import (
    AcquirePermit,
    CallAnswered,
    CallFailed,
    GovernorMessage,
    ReturnPermit,
    Wake,
)
from actors.governor.state import GovernorState, Granted, Postponed, Refused, Ruled, WakeAfter, decide
from tests.actors.governor.errors import DOWN, TOO_LONG, throttled

QUICK_CIRCUIT = CircuitPolicy(failures=3, failing_seconds=0, open_seconds=10)


class Desk:
    """A governor, and what it said."""

    def __init__(
        self,
        *,
        retry: RetryPolicy | None = None,
        circuit: CircuitPolicy | None = None,
        limit: int | None = None,
        permits: dict[int, float] | None = None,
        chance: float = 0.0,
    ) -> None:
        self.state = GovernorState("sim", {} if permits is None else permits, retry, circuit)
        self.limit = limit
        self.chance = chance
        self.now = 0.0
        self.granted: list[int] = []
        self.refused: dict[int, ErrorInfo] = {}
        self.pauses: dict[int, float | None] = {}
        self.postponed: dict[int, float] = {}
        self.wake_at: float | None = None

    def say(self, message: GovernorMessage) -> None:
        for effect in decide(self.state, message, self.now, self.chance):
            match effect:
                case Granted(call_id):
                    self.granted.append(call_id)
                case Refused(call_id, error):
                    self.refused[call_id] = error
                case Postponed(call_id, come_again):
                    self.postponed[call_id] = come_again.retry_after_seconds
                case Ruled(call_id, ruling):
                    self.pauses[call_id] = ruling.retry_after_seconds
                case WakeAfter(seconds):
                    self.wake_at = self.now + seconds
                case _:
                    pass

    def ask(self, call_id: int, priority: int = 0) -> None:
        self.say(AcquirePermit(call_id=call_id, priority=priority, max_concurrent=self.limit))

    def fail(self, call_id: int, error: ErrorInfo, attempt: int = 1, spent_seconds: float = 0) -> None:
        self.say(CallFailed(call_id=call_id, error=error, attempt=attempt, spent_seconds=spent_seconds))

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while self.wake_at is not None and self.wake_at <= end:
            self.now, self.wake_at = self.wake_at, None
            self.say(Wake())
        self.now = end


def test_without_a_limit_everybody_begins_at_once() -> None:
    desk = Desk()
    for call_id in range(1000):
        desk.ask(call_id)
    assert desk.granted == list(range(1000))


def test_who_waits_for_a_permit_goes_by_priority_and_then_by_order_of_arrival() -> None:
    desk = Desk(limit=1)
    for call_id, priority in enumerate((0, 0, 2, 1, 2)):
        desk.ask(call_id, priority)
    for call_id in (0, 2, 4, 3, 1):
        desk.say(ReturnPermit(call_id))
    assert desk.granted == [0, 2, 4, 3, 1]


def test_a_call_that_tries_again_has_the_place_that_it_had() -> None:
    desk = Desk(limit=1)
    for call_id in (1, 2, 3):
        desk.ask(call_id)
    desk.fail(1, throttled(1))
    desk.pass_time(1)
    desk.ask(1)
    desk.say(ReturnPermit(2))
    desk.pass_time(1)
    assert desk.granted == [1, 2, 1]


def test_a_request_that_was_taken_back_gets_no_permit() -> None:
    desk = Desk(limit=1)
    for call_id in (1, 2, 3):
        desk.ask(call_id)
    desk.say(ReturnPermit(2))
    desk.say(ReturnPermit(1))
    assert desk.granted == [1, 3]
    assert desk.state.waiting == 0


def test_a_larger_limit_counts_from_the_next_call_on() -> None:
    desk = Desk(limit=1)
    desk.ask(1)
    desk.ask(2)
    desk.limit = 3
    desk.ask(3)
    assert desk.granted == [1, 2, 3]


def test_after_a_429_nobody_begins_before_the_time_it_named() -> None:
    desk = Desk(chance=0.5)
    desk.limit = 1
    for call_id in (1, 2, 3):
        desk.ask(call_id)
    desk.fail(1, throttled(5))
    pause = desk.pauses[1]
    assert pause is not None
    assert 5 <= pause <= 5 + desk.state.retry.base_seconds

    desk.pass_time(4.99)
    assert desk.granted == [1]
    desk.limit = None
    desk.pass_time(1)
    desk.ask(4)
    desk.pass_time(1)
    assert desk.granted == [1, 2, 3, 4]


def test_who_comes_while_the_endpoint_cools_is_told_when_to_come_again() -> None:
    desk = Desk()
    desk.ask(1)
    desk.fail(1, throttled(5))
    desk.pass_time(2)
    desk.ask(2)
    assert desk.postponed == {2: 3}
    assert desk.state.waiting == 0
    desk.pass_time(3)
    desk.ask(2)
    assert desk.granted == [1, 2]


def test_a_429_that_names_no_time_is_answered_by_pauses_that_double() -> None:
    desk = Desk(retry=RetryPolicy(max_attempts=10))
    pauses: list[float | None] = []
    for attempt in range(1, 6):
        desk.ask(1)
        desk.fail(1, throttled(), attempt)
        pauses.append(desk.pauses[1])
        desk.pass_time(10)
    assert pauses == [0.5, 1, 2, 4, 8]


def test_the_later_429_of_a_herd_lengthens_the_pause_but_slows_nobody_down_again() -> None:
    desk = Desk()
    for call_id in range(100):
        desk.ask(call_id)
    for call_id in range(100):
        desk.fail(call_id, throttled(1 + call_id / 100))
    assert desk.state.pace.rate == START_RATE
    assert desk.state.pace.cooling_until == pytest.approx(1.99)


def test_an_endpoint_that_asks_for_more_patience_than_allowed_is_not_waited_for() -> None:
    desk = Desk(retry=RetryPolicy(max_retry_after_seconds=60))
    desk.ask(1)
    desk.fail(1, throttled(3600))
    desk.ask(2)
    assert desk.pauses[1] is None
    assert desk.refused[2].code is ErrorCode.QUOTA_EXCEEDED
    assert desk.refused[2].details["retry_after_seconds"] == 3600
    assert desk.refused[2].message == "rate limit (sim is not called for another 3600 s)"


def test_nobody_is_kept_away_for_more_than_an_hour() -> None:
    desk = Desk()
    desk.ask(1)
    desk.fail(1, throttled(1e300))
    desk.pass_time(LONGEST_CLOSED_SECONDS - 1)
    desk.ask(2)
    assert desk.postponed[2] == pytest.approx(1)
    desk.pass_time(1)
    desk.ask(2)
    assert desk.granted == [1, 2]


def test_nothing_is_held_against_a_connection_that_leads_elsewhere() -> None:
    desk = Desk(circuit=QUICK_CIRCUIT)
    for call_id in range(4):
        desk.ask(call_id)
    desk.fail(1, throttled(3600))
    break_circuit(desk)
    desk.say(AcquirePermit(call_id=5, endpoint=1))

    # These had asked the old one, and will ask it again.
    desk.fail(2, throttled(3600))
    desk.fail(3, throttled(2))
    desk.ask(3)
    desk.fail(3, DOWN)
    desk.say(CallAnswered(0))
    desk.say(AcquirePermit(call_id=6, endpoint=1))

    assert desk.granted[-3:] == [5, 3, 6]
    assert desk.pauses[2] is None
    assert desk.pauses[3] is not None
    assert desk.state.pace.rate is None
    assert desk.state.circuit.status is CircuitStatus.CLOSED
    assert desk.state.status(desk.now).last_error is None


@pytest.mark.parametrize(
    ("attempt", "spent_seconds", "tries_again"),
    [(1, 0, True), (3, 0, True), (4, 0, False), (1, 119.9, False)],
)
def test_attempts_and_their_time_are_bounded(attempt: int, spent_seconds: float, tries_again: bool) -> None:
    desk = Desk()
    desk.ask(1)
    desk.fail(1, DOWN, attempt, spent_seconds)
    assert (desk.pauses[1] is not None) == tries_again


def test_what_the_endpoint_has_judged_is_not_tried_again_and_holds_nobody_up() -> None:
    desk = Desk(circuit=QUICK_CIRCUIT)
    for call_id in range(10):
        desk.ask(call_id)
        desk.fail(call_id, TOO_LONG)
    assert set(desk.pauses.values()) == {None}
    assert desk.granted == list(range(10))


def break_circuit(desk: Desk) -> None:
    for call_id in (101, 102, 103):
        desk.ask(call_id)
        desk.fail(call_id, DOWN)


def test_an_open_circuit_refuses_at_once_with_the_last_error() -> None:
    desk = Desk(circuit=QUICK_CIRCUIT)
    break_circuit(desk)
    assert desk.pauses[102] is not None
    assert desk.pauses[103] is None, "nobody tries again at what is down"

    desk.pass_time(4)
    desk.ask(1)

    assert desk.refused[1].code is ErrorCode.NETWORK_ERROR
    assert desk.refused[1].message == f"{DOWN.message} (sim is not called for another 6 s)"
    assert desk.refused[1].details == {"circuit": "open", "retry_after_seconds": 6}


def test_after_its_time_one_call_is_let_through_and_its_success_lets_the_others_in_slowly() -> None:
    desk = Desk(circuit=QUICK_CIRCUIT)
    break_circuit(desk)
    desk.granted.clear()
    desk.pass_time(10)
    for call_id in (1, 2, 3):
        desk.ask(call_id)
    assert desk.granted == [1]
    assert desk.state.status(desk.now).circuit is CircuitStatus.HALF_OPEN

    desk.say(CallAnswered(1))
    assert desk.state.status(desk.now).circuit is CircuitStatus.CLOSED
    assert desk.state.pace.rate == START_RATE
    desk.pass_time(1)
    assert desk.granted == [1, 2, 3]


def test_a_probe_that_fails_refuses_who_waited_for_it() -> None:
    desk = Desk(circuit=QUICK_CIRCUIT)
    break_circuit(desk)
    desk.pass_time(10)
    for call_id in (1, 2, 3):
        desk.ask(call_id)
    desk.fail(1, DOWN)
    assert desk.refused.keys() == {2, 3}
    assert desk.state.status(desk.now).open_seconds == 10


def test_a_probe_that_is_cancelled_makes_room_for_the_next_one() -> None:
    desk = Desk(circuit=QUICK_CIRCUIT)
    break_circuit(desk)
    desk.granted.clear()
    desk.pass_time(10)
    for call_id in (1, 2, 3):
        desk.ask(call_id)
    desk.say(ReturnPermit(1))
    assert desk.granted == [1, 2]


def test_a_success_begins_the_count_of_failures_anew() -> None:
    desk = Desk(circuit=QUICK_CIRCUIT)
    for call_id in range(20):
        desk.ask(call_id)
        if call_id % 3 == 2:
            desk.say(CallAnswered(call_id))
            desk.say(ReturnPermit(call_id))
        else:
            desk.fail(call_id, DOWN)
    assert desk.state.circuit.status is CircuitStatus.CLOSED


def test_a_thousand_calls_that_break_together_are_no_proof_that_the_endpoint_is_down() -> None:
    desk = Desk()
    for call_id in range(1000):
        desk.ask(call_id)
    for call_id in range(1000):
        desk.fail(call_id, DOWN)
    assert desk.state.circuit.status is CircuitStatus.CLOSED
    assert None not in desk.pauses.values()


def test_the_next_incarnation_knows_the_permits_in_use() -> None:
    permits: dict[int, float] = {}
    first = Desk(limit=2, permits=permits)
    for call_id in (1, 2, 3):
        first.ask(call_id)
    second = Desk(limit=2, permits=permits)
    second.ask(3)
    second.ask(2)  # of which its asker has not heard
    assert second.granted == [2]
    second.say(ReturnPermit(1))
    assert second.granted == [2, 3]


def test_a_minute_after_the_last_429_there_is_no_limit_any_more() -> None:
    desk = Desk()
    desk.ask(0)
    desk.fail(0, throttled(1))
    desk.pass_time(1 + FORGET_SECONDS)
    for call_id in range(1, 1000):
        desk.ask(call_id)
    assert len(desk.granted) == 1000


class Endpoint:
    """Takes so many calls in any second, and refuses the others; answers after `latency` seconds."""

    def __init__(self, per_second: int, *, opens_at: float = 0.0, latency: float = 0.1) -> None:
        self.per_second = per_second
        self.opens_at = opens_at
        self.latency = latency
        self.taken: list[float] = []
        self.refusals = 0

    def takes(self, now: float) -> ErrorInfo | None:
        recent = sum(1 for at in self.taken[-self.per_second :] if at > now - 1)
        if now >= self.opens_at and recent < self.per_second:
            self.taken.append(now)
            return None
        self.refusals += 1
        return throttled(max(self.opens_at - now, 1.0))


def drive(endpoint: Endpoint, calls: int, seed: int, limit: int | None) -> tuple[list[float], Counter[int]]:
    """Play `calls` calls that begin together against the endpoint; when each attempt arrived there."""
    chance = random.Random(seed)
    state = GovernorState("sim", {}, RetryPolicy(), CircuitPolicy())
    arrivals: list[float] = []
    attempts: Counter[int] = Counter()
    done: set[int] = set()
    numbers = itertools.count()
    todo: list[tuple[float, int, GovernorMessage]] = []
    wake = 0

    def later(at: float, message: GovernorMessage) -> int:
        number = next(numbers)
        heapq.heappush(todo, (at, number, message))
        return number

    for call_id in range(calls):
        later(0.0, AcquirePermit(call_id=call_id, max_concurrent=limit))
    while todo:
        now, number, message = heapq.heappop(todo)
        if isinstance(message, Wake) and number != wake:
            continue  # another one was set since
        for effect in decide(state, message, now, chance.random()):
            match effect:
                case Granted(call_id):
                    assert limit is None or len(state.permits) <= limit
                    arrivals.append(now)
                    attempts[call_id] += 1
                    error = endpoint.takes(now)
                    at = now + endpoint.latency
                    if error is None:
                        later(at, CallAnswered(call_id))
                        later(at + 1, ReturnPermit(call_id))
                        done.add(call_id)
                    else:
                        later(at, CallFailed(call_id=call_id, error=error, attempt=attempts[call_id]))
                case Ruled(call_id, ruling):
                    assert ruling.retry_after_seconds is not None, "a call is lost"
                    at = now + ruling.retry_after_seconds
                    later(at, AcquirePermit(call_id=call_id, max_concurrent=limit))
                case Postponed(call_id, come_again):
                    at = now + come_again.retry_after_seconds
                    later(at, AcquirePermit(call_id=call_id, max_concurrent=limit))
                case WakeAfter(seconds):
                    wake = later(now + seconds, Wake())
                case _:
                    raise AssertionError(f"a call is lost: {effect}")
    assert len(done) == calls
    return arrivals, attempts


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("limit", [None, 50])
def test_a_thousand_calls_that_meet_a_429_come_back_spread_out_and_none_is_lost(
    seed: int, limit: int | None
) -> None:
    arrivals, attempts = drive(Endpoint(10_000, opens_at=2.0), 1000, seed, limit)

    back = [at for at in arrivals if at >= 0.2]
    assert min(back) >= 2.0, "never earlier than asked"
    buckets = Counter(int((at - 2.0) / 0.1) for at in back)
    for number in range(max(buckets) + 1):
        # Each success adds one call a second, so that the rate is no more than who is back already.
        rate = START_RATE + sum(count for before, count in buckets.items() if before < number)
        assert buckets[number] <= rate * (0.1 + CATCH_UP_SECONDS) * 1.2 + 2
    assert max(attempts.values()) == 2


@pytest.mark.parametrize("seed", range(3))
def test_calls_settle_at_the_rate_that_the_endpoint_takes(seed: int) -> None:
    endpoint = Endpoint(100)

    arrivals, attempts = drive(endpoint, 1000, seed, None)

    assert max(attempts.values()) <= 4
    assert endpoint.refusals <= 900 + 400, "900 of the first herd, and few that were one too many"
    assert max(arrivals) < 60
