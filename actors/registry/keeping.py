"""What callers do with the sessions that the registry knows."""

from __future__ import annotations

import math

from actors.errors import ErrorCode, ErrorInfo
from actors.records import SessionRuntime
from actors.registry import deleting, loading
from actors.registry.effects import Answered, Effect, Refused, SetCleanup, TellSession
from actors.registry.knowing import forget, forget_unless_kept, learn
from actors.registry.ledger import CleanupPlan
from actors.registry.protocol import (
    ListRuntimes,
    RegisterSession,
    SetActiveSession,
    StartAutoCleanup,
    UnregisterSession,
)
from actors.registry.seats import Phase
from actors.registry.state import RegistryState
from actors.session.protocol import MarkRead, SetActive

__all__ = [
    "clean_up",
    "list_runtimes",
    "noticed",
    "register",
    "set_active",
    "start_cleanup",
    "stop_cleanup",
    "unregister",
]

SHORTEST_CLEANUP_SECONDS = 0.001
"""What a timer cannot keep would fail the registry, and each one after it, for the plan outlives them."""


def noticed(state: RegistryState, runtime: SessionRuntime, now: float) -> list[Effect]:
    """A session says what it is, for the first time or anew."""
    session_id = runtime.session_id
    seat = state.seats.find(session_id)
    if seat is None:
        return []
    effects = learn(state, runtime)
    # One that somebody has just loaded is about to be used: it is none too many before the next one comes.
    just_loaded = session_id if seat.phase is Phase.LOADING and seat.used else None
    if seat.phase is Phase.LOADING:
        state.seats.enter(session_id, Phase.LOADED)
    parked, seat.parked = seat.parked, []
    for command, request in parked:
        if isinstance(command, RegisterSession):
            effects += _keep(state, command, now, request)
        elif session_id in state.deleting:
            state.deleting[session_id].append(request)
        else:
            effects += deleting.begin(state, command, request)
    return effects + loading.settle(state, session_id, now, but=just_loaded)


# -- registered sessions --


def register(state: RegistryState, message: RegisterSession, now: float, request: int) -> list[Effect]:
    session_id = message.session_id
    refusal = state.cannot_load(session_id, now)
    if refusal is not None:
        return [Refused(request, refusal)]
    effects: list[Effect] = []
    seat = state.seats.find(session_id)
    if seat is None:
        if session_id in state.ledger.known:
            refusal = state.forbids(message.principal, message, session_id)
            if refusal is not None:
                return [Refused(request, refusal)]
        effects = loading.load(state, session_id, used=True)
        seat = state.seats.find(session_id)
        assert seat is not None
    if seat.phase is Phase.LOADING or session_id not in state.ledger.known:
        state.seats.park(session_id, [(message, request)])
        return effects
    return effects + _keep(state, message, now, request)


def _keep(state: RegistryState, message: RegisterSession, now: float, request: int) -> list[Effect]:
    session_id = message.session_id
    refusal = state.forbids(message.principal, message, session_id)
    if refusal is not None:
        return [Refused(request, refusal)]
    seat = state.seats.find(session_id)
    assert seat is not None
    seat.unregister = seat.forget = False
    state.seats.touch(session_id, now)
    state.ledger.change(session_id, registered=True, in_background=False)
    return [Answered(request, state.runtime(session_id))]


def unregister(state: RegistryState, message: UnregisterSession, request: int) -> list[Effect]:
    session_id = message.session_id
    known = state.ledger.known.get(session_id)
    if known is None or session_id in state.deleting:
        return [Refused(request, _unknown(session_id))]
    refusal = state.forbids(message.principal, message, session_id)
    if refusal is not None:
        return [Refused(request, refusal)]
    is_busy = state.pool.holds(session_id) or not loading.is_settled(known.runtime)
    if message.keep_in_background:
        return _keep_in_background(state, session_id, request, is_busy=is_busy)
    if is_busy and not message.force:
        return [
            Refused(
                request,
                ErrorInfo(
                    ErrorCode.SESSION_BUSY,
                    f"session {session_id} is {known.runtime.status}: wait until its turn has ended, or "
                    "unregister it with force=True, which stops it, or keep_in_background=True",
                ),
            )
        ]
    seat = state.seats.find(session_id)
    if seat is None:
        return [*forget(state, session_id), Answered(request)]
    seat.unregister = seat.forget = True
    seat.askers.append(request)
    return loading.release(state, session_id, abort=message.force)


def _keep_in_background(
    state: RegistryState, session_id: str, request: int, *, is_busy: bool
) -> list[Effect]:
    """It is unloaded when it settles; nobody looks at it, so that its answer is unread then."""
    state.ledger.change(session_id, registered=False, in_background=True)
    state.unloaded.pop(session_id, None)
    effects = _look_away(state) if state.ledger.active_id == session_id else []  # may forget it
    seat = state.seats.find(session_id)
    if is_busy or seat is None:
        return [*effects, *forget_unless_kept(state, session_id), Answered(request)]
    seat.askers.append(request)
    return effects + loading.release(state, session_id, abort=False)


# -- the active session --


def set_active(state: RegistryState, message: SetActiveSession, now: float, request: int) -> list[Effect]:
    session_id = message.session_id
    if session_id is None:
        refusal = state.forbids(message.principal, message)
    else:
        refusal = state.cannot_load(session_id, now)
        if refusal is None and session_id not in state.ledger.known:
            refusal = _unknown(session_id)
        refusal = refusal or state.forbids(message.principal, message, session_id)
    if refusal is not None:
        return [Refused(request, refusal)]
    if session_id is None or session_id == state.ledger.active_id:
        effects = _look_away(state) if session_id is None else []
    else:
        effects = _look_away(state)
        state.ledger.active_id = session_id
        effects += _tell_active(state, session_id, active=True)
    runtime = None if session_id is None else state.ledger.runtime(session_id)
    if session_id is None or (session_id not in state.seats and runtime and not runtime.unread_count):
        return [*effects, Answered(request)]
    read = MarkRead(message.principal)
    return effects + loading.hand_over(state, session_id, read, now, request, touch=True)


def _look_away(state: RegistryState) -> list[Effect]:
    session_id, state.ledger.active_id = state.ledger.active_id, None
    if session_id is None:
        return []
    return [*_tell_active(state, session_id, active=False), *forget_unless_kept(state, session_id)]


def _tell_active(state: RegistryState, session_id: str, *, active: bool) -> list[Effect]:
    seat = state.seats.find(session_id)
    if seat is None or seat.phase is Phase.STOPPING:
        return []
    return [TellSession(session_id, SetActive(active))]


# -- idle sessions --


def start_cleanup(state: RegistryState, message: StartAutoCleanup, request: int) -> list[Effect]:
    refusal = state.forbids(message.principal, message)
    is_interval = SHORTEST_CLEANUP_SECONDS <= message.interval_seconds < math.inf
    if refusal is None and not (is_interval and message.max_idle_seconds >= 0):
        refusal = ErrorInfo(
            ErrorCode.INVALID_ARGUMENT,
            f"sessions that are idle for {message.max_idle_seconds} s cannot be cleaned up every "
            f"{message.interval_seconds} s: the interval must be finite and at least "
            f"{SHORTEST_CLEANUP_SECONDS}, the idle time at least 0",
        )
    if refusal is not None:
        return [Refused(request, refusal)]
    state.ledger.cleanup = CleanupPlan(message.interval_seconds, message.max_idle_seconds)
    return [SetCleanup(message.interval_seconds), Answered(request)]


def stop_cleanup(state: RegistryState, request: int) -> list[Effect]:
    state.ledger.cleanup = None
    return [SetCleanup(None), Answered(request)]


def clean_up(state: RegistryState, max_idle_seconds: float, now: float) -> tuple[int, list[Effect]]:
    """Unload and forget what nobody used for so long; how many these were."""
    moment = now - max_idle_seconds
    count = 0
    effects: list[Effect] = []
    for session_id in state.seats.idle_since(moment):
        if session_id == state.ledger.active_id:
            continue
        seat = state.seats.find(session_id)
        assert seat is not None
        seat.unregister = seat.evicting = True
        effects += loading.release(state, session_id, abort=False)
        count += 1
    while state.unloaded:
        session_id, left_at = next(iter(state.unloaded.items()))
        if left_at > moment:
            break
        del state.unloaded[session_id]
        state.ledger.change(session_id, registered=False)
        effects += forget_unless_kept(state, session_id)
        count += 1
    return count, effects


# -- questions --


def list_runtimes(state: RegistryState, message: ListRuntimes) -> tuple[SessionRuntime, ...]:
    return tuple(
        state.runtime(session_id)
        for session_id in state.ledger.known
        if state.forbids(message.principal, message, session_id) is None
    )


def _unknown(session_id: str) -> ErrorInfo:
    return ErrorInfo(
        ErrorCode.SESSION_NOT_FOUND,
        f"session {session_id} is not known: it is neither loaded nor registered; register it first",
    )
