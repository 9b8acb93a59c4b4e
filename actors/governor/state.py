"""The logic of a governor, without I/O: `decide` changes the state and says what to do."""

from __future__ import annotations

import heapq
from typing import TypeAlias, assert_never

import msgspec

from actors.errors import ErrorInfo
from actors.governor.circuit import Circuit, CircuitPolicy, CircuitStatus
from actors.governor.pace import Pace
from actors.governor.protocol import (
    AcquirePermit,
    CallAnswered,
    CallFailed,
    ComeAgain,
    ConnectionStatus,
    GovernorMessage,
    ReturnPermit,
    Ruling,
    Wake,
)
from actors.governor.retrying import Blame, RetryPolicy, blame_of, retry_after_of

__all__ = [
    "SHORTEST_WAKE_SECONDS",
    "Effect",
    "GovernorState",
    "Granted",
    "Postponed",
    "Refused",
    "Ruled",
    "WakeAfter",
    "Withdrawn",
    "decide",
]

SHORTEST_WAKE_SECONDS = 0.001
"""Timers are no finer; what is lost by that the pace makes good."""


class Granted(msgspec.Struct, frozen=True):
    """Let the call begin."""

    call_id: int


class Refused(msgspec.Struct, frozen=True):
    call_id: int
    error: ErrorInfo


class Postponed(msgspec.Struct, frozen=True):
    """The call has to ask again later, and can tell its viewers so."""

    call_id: int
    come_again: ComeAgain


class Withdrawn(msgspec.Struct, frozen=True):
    """Nobody waits for this permit any more."""

    call_id: int


class Ruled(msgspec.Struct, frozen=True):
    """Answer a `CallFailed`."""

    call_id: int
    ruling: Ruling


class WakeAfter(msgspec.Struct, frozen=True):
    """Say `Wake` in so many seconds, and not when it was said before."""

    seconds: float


Effect: TypeAlias = Granted | Refused | Postponed | Withdrawn | Ruled | WakeAfter


class GovernorState:
    """The calls of one connection.

    `permits` are the calls under way and when they began. It is handed from one incarnation of a governor
    to the next, so that a failing one lets no more calls in than are allowed. Everything else is learned
    anew. A call is waiting or has a permit, never both. What calls of another `endpoint` tell is not about
    this one.
    """

    __slots__ = (
        "_circuit_policy",
        "_queue",
        "_waiting",
        "circuit",
        "connection",
        "endpoint",
        "max_concurrent",
        "pace",
        "permits",
        "retry",
    )

    def __init__(
        self,
        connection: str,
        permits: dict[int, float],
        retry: RetryPolicy | None = None,
        circuit: CircuitPolicy | None = None,
    ) -> None:
        self.connection = connection
        self.permits = permits
        self.retry = retry or RetryPolicy()
        self._circuit_policy = circuit or CircuitPolicy()
        self.begin_anew(endpoint=0)
        self.max_concurrent: int | None = None
        # The order of those who wait. Who was withdrawn stays in the queue until its turn comes.
        self._waiting: dict[int, int] = {}
        self._queue: list[tuple[int, int]] = []

    def begin_anew(self, endpoint: int) -> None:
        """Nothing is known of this endpoint yet."""
        self.pace = Pace(self.retry)
        self.circuit = Circuit(self._circuit_policy)
        self.endpoint = endpoint

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def status(self, now: float) -> ConnectionStatus:
        open_seconds = self.circuit.open_until - now if self.circuit.status is CircuitStatus.OPEN else 0.0
        return ConnectionStatus(
            connection=self.connection,
            running=len(self.permits),
            waiting=self.waiting,
            max_concurrent=self.max_concurrent,
            cooling_seconds=max(self.pace.cooling_until - now, 0.0),
            calls_per_second=self.pace.rate,
            circuit=self.circuit.status,
            open_seconds=max(open_seconds, 0.0),
            last_error=self.circuit.last_error or self.pace.last_error,
        )

    def line_up(self, call_id: int, priority: int) -> None:
        self._waiting[call_id] = -priority
        heapq.heappush(self._queue, (-priority, call_id))

    def leave_line(self, call_id: int) -> bool:
        """Whether it was waiting."""
        return self._waiting.pop(call_id, None) is not None

    def first(self) -> int | None:
        """Whose turn it is."""
        while self._queue:
            rank, call_id = self._queue[0]
            if self._waiting.get(call_id) == rank:
                return call_id
            heapq.heappop(self._queue)
        return None

    def everybody(self) -> list[int]:
        """All who wait, in their order."""
        return [
            call_id for _, call_id in sorted((rank, call_id) for call_id, rank in self._waiting.items())
        ]


def decide(state: GovernorState, message: GovernorMessage, now: float, chance: float) -> list[Effect]:
    """One step of a governor, at `now` of a clock that never jumps; `chance` is from 0 to 1."""
    effects: list[Effect] = []
    match message:
        case AcquirePermit():
            effects = _acquire(state, message, now)
        case CallAnswered(call_id, endpoint):
            if endpoint == state.endpoint:
                _heard_of(state, call_id, now)
        case CallFailed():
            effects = [Ruled(message.call_id, _judge(state, message, now, chance))]
        case ReturnPermit(call_id):
            effects = _give_back(state, call_id)
        case Wake():
            pass
        case _:
            assert_never(message)
    return effects + _admit(state, now)


def _acquire(state: GovernorState, request: AcquirePermit, now: float) -> list[Effect]:
    state.max_concurrent = request.max_concurrent
    if request.endpoint > state.endpoint:
        state.begin_anew(request.endpoint)
    if request.call_id in state.permits:
        # The incarnation that gave it failed before it could say so.
        state.permits[request.call_id] = now
        return [Granted(request.call_id)]
    cooling_seconds = state.pace.cooling_until - now
    if cooling_seconds > SHORTEST_WAKE_SECONDS and not _is_hopeless(state, now):
        assert state.pace.last_error is not None, "it cools because of an error"
        return [Postponed(request.call_id, ComeAgain(cooling_seconds, state.pace.last_error))]
    state.line_up(request.call_id, request.priority)
    return []


def _heard_of(state: GovernorState, call_id: int, now: float) -> None:
    """The endpoint answered this call."""
    began_at = state.permits.get(call_id)
    if began_at is None:
        return
    state.pace.answered(began_at)
    _is_up(state, now)


def _is_up(state: GovernorState, now: float) -> None:
    if state.circuit.answered():
        state.pace.slow_down(now)


def _judge(state: GovernorState, failed: CallFailed, now: float, chance: float) -> Ruling:
    """Learn from a failure, and say whether the call may try again, and when."""
    began_at = state.permits.pop(failed.call_id, now)
    if failed.endpoint == state.endpoint:
        pause = _learn(state, failed, began_at, now, chance)
    else:
        pause = _own_pause(state.retry, failed, chance)
    state.circuit.forget(failed.call_id)
    if pause is None or failed.attempt >= state.retry.max_attempts:
        return Ruling(None)
    return Ruling(pause if failed.spent_seconds + pause <= state.retry.max_elapsed_seconds else None)


def _learn(
    state: GovernorState, failed: CallFailed, began_at: float, now: float, chance: float
) -> float | None:
    """The pause before another try, None where there is no point in one."""
    error = failed.error
    match blame_of(error):
        case Blame.THROTTLED:
            state.pace.throttled(error, began_at, now, chance)
            _is_up(state, now)
            asked = retry_after_of(error) or 0.0
            if asked <= state.retry.max_retry_after_seconds:
                return max(state.pace.cooling_until - now, asked)
        case Blame.FAILING:
            state.circuit.failed(failed.call_id, error, now, chance)
            if state.circuit.status is not CircuitStatus.OPEN:
                return state.retry.pause_seconds(failed.attempt, chance)
        case Blame.CALL:
            _is_up(state, now)
    return None


def _own_pause(retry: RetryPolicy, failed: CallFailed, chance: float) -> float | None:
    """As `_learn`, for a call that has asked somebody else, and will again."""
    asked = retry_after_of(failed.error)
    if blame_of(failed.error) is Blame.CALL or (asked or 0.0) > retry.max_retry_after_seconds:
        return None
    return retry.pause_seconds(failed.attempt, chance, asked)


def _give_back(state: GovernorState, call_id: int) -> list[Effect]:
    if state.permits.pop(call_id, None) is not None:
        state.circuit.forget(call_id)
        return []
    return [Withdrawn(call_id)] if state.leave_line(call_id) else []


def _admit(state: GovernorState, now: float) -> list[Effect]:
    """Let in who may begin now; refuse all if there is no point in waiting."""
    effects: list[Effect] = []
    while (call_id := state.first()) is not None:
        circuit = state.circuit.look(now)
        ready_at = state.pace.ready_at(now)
        if _is_hopeless(state, now):
            return effects + _refuse_all(state, _refusal(state, now))
        if state.max_concurrent is not None and len(state.permits) >= state.max_concurrent:
            break  # who gives a permit back lets the next one in
        if circuit is CircuitStatus.HALF_OPEN and state.circuit.probe is not None:
            break  # as does what comes of the probe
        if ready_at > now:
            effects.append(WakeAfter(max(ready_at - now, SHORTEST_WAKE_SECONDS)))
            break
        state.leave_line(call_id)
        state.permits[call_id] = now
        state.pace.began(now)
        if circuit is CircuitStatus.HALF_OPEN:
            state.circuit.probe = call_id
        effects.append(Granted(call_id))
    return effects


def _is_hopeless(state: GovernorState, now: float) -> bool:
    """Whether nobody should wait: the endpoint is down, or asks for more patience than anybody has."""
    is_closed = state.pace.closed_until - now > state.retry.max_retry_after_seconds
    return is_closed or state.circuit.look(now) is CircuitStatus.OPEN


def _refuse_all(state: GovernorState, error: ErrorInfo) -> list[Effect]:
    refused = state.everybody()
    for call_id in refused:
        state.leave_line(call_id)
    return [Refused(call_id, error) for call_id in refused]


def _refusal(state: GovernorState, now: float) -> ErrorInfo:
    """The last error of the connection, and how long it stands."""
    if state.circuit.status is CircuitStatus.OPEN:
        last, seconds, circuit = (
            state.circuit.last_error,
            state.circuit.open_until - now,
            CircuitStatus.OPEN,
        )
    else:
        last, seconds, circuit = state.pace.last_error, state.pace.closed_until - now, None
    assert last is not None, "it is only closed by an error"
    details = {**last.details, "retry_after_seconds": round(seconds, 3)}
    if circuit is not None:
        details["circuit"] = circuit.value
    return ErrorInfo(
        last.code, f"{last.message} ({state.connection} is not called for another {seconds:.0f} s)", details
    )
