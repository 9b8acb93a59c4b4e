"""How a session goes: in order, by a crash, or with the whole engine."""

from __future__ import annotations

import msgspec

from actors.errors import ErrorCode, ErrorInfo
from actors.events import PersistenceFailed, SessionFailed
from actors.records import SessionStatus
from actors.registry import deleting, loading
from actors.registry.effects import Answered, Effect, Refused, StopSession, TellSession
from actors.registry.knowing import end_subscriptions, forget, forget_unless_kept, learn
from actors.registry.protocol import (
    DeleteSession,
    Passivate,
    ReleaseSession,
    StaysLoaded,
    SubscriberRefused,
)
from actors.registry.seats import Phase, Seat
from actors.registry.state import CLOSING, RegistryState
from actors.session.protocol import Handover, PrepareRelease, StoreLost, SubscriberEnded

__all__ = [
    "close_all",
    "passivate",
    "persistence_ended",
    "release",
    "session_ended",
    "stays_loaded",
    "subscriber_ended",
    "subscriber_refused",
]


def release(state: RegistryState, message: ReleaseSession, request: int) -> list[Effect]:
    session_id = message.session_id
    seat = state.seats.find(session_id)
    refusal = state.forbids(message.principal, message, session_id)
    if refusal is not None:
        return [Refused(request, refusal)]
    if seat is None:
        return [Answered(request)]
    seat.askers.append(request)
    return loading.release(state, session_id, abort=True)


def passivate(state: RegistryState, message: Passivate) -> list[Effect]:
    seat = state.seats.find(message.session_id)
    if seat is None or seat.phase is Phase.STOPPING:
        return []
    return _stop(state, message.session_id, message.error, message.handover)


def stays_loaded(state: RegistryState, message: StaysLoaded, now: float) -> list[Effect]:
    session_id, error = message.session_id, message.error
    seat = state.seats.find(session_id)
    if seat is None or seat.phase is not Phase.LEAVING:
        return []
    effects: list[Effect] = []
    if error is not None:
        effects += state.feed.publish(session_id, PersistenceFailed(error))
    if seat.abort_wanted and not seat.abort_asked:
        seat.abort_asked = True
        return [*effects, TellSession(session_id, PrepareRelease(abort=True))]
    if state.ledger.refusal is not None or session_id in state.deleting:
        return effects + _stop(state, session_id, error, None)
    refusal = error or ErrorInfo(
        ErrorCode.SESSION_BUSY,
        f"session {session_id} has begun another turn meanwhile: wait for it, or stop it",
    )
    effects += [Refused(request, refusal) for request in seat.stay()]
    state.seats.enter(session_id, Phase.LOADED)
    held, seat.held = seat.held, []
    for command, request in held:
        effects += loading.give(state, session_id, command, request)
    # Others may go in its place. It is asked again when something of it changes, not at once: it would only
    # say the same again. But a turn that was refused meanwhile changes nothing more.
    if seat.refused_meanwhile:
        seat.refused_meanwhile = False
        return effects + loading.settle(state, session_id, now)
    loading.sort(state, session_id, now)
    return effects + loading.shrink(state, but=session_id)


def _stop(
    state: RegistryState, session_id: str, error: ErrorInfo | None, handover: Handover | None
) -> list[Effect]:
    seat = state.seats.enter(session_id, Phase.STOPPING)
    seat.failure = error
    seat.handover = handover
    return [StopSession(session_id)]


def session_ended(state: RegistryState, session_id: str, now: float, *, crashed: bool) -> list[Effect]:
    """Its actor is gone: free what it had, and see what is to become of it."""
    runtime = state.ledger.runtime(session_id)
    had_turn = state.pool.holds(session_id) or (runtime is not None and not loading.is_settled(runtime))
    seat = state.seats.remove(session_id)
    effects = loading.grant(state.pool.give_back(session_id))
    if crashed:
        _note_crash(state, session_id, seat, now)
    elif seat.evicting:
        state.evictions += 1
    # A turn that is cut, by a crash or unseen by a registry that failed, is ended by the next one.
    is_cut = had_turn or (crashed and state.ledger.listeners.has(session_id))
    effects += _note_end(state, session_id, seat, now, crashed=crashed, is_cut=is_cut)
    if session_id in state.deleting:
        effects += deleting.remove(session_id)
    elif state.ledger.refusal is not None:
        error = None if state.ledger.refusal is CLOSING else state.ledger.refusal
        effects += end_subscriptions(state, session_id, error)
        effects += _refuse_mail(seat, state.ledger.refusal)
    else:
        effects += _refuse_parked(state, seat)
        if seat.failure is not None and not crashed:
            effects += end_subscriptions(state, session_id, seat.failure)
        if seat.held or seat.parked or (is_cut and not seat.forget):
            effects += _load_anew(state, session_id, seat, now)
        elif seat.forget:
            effects += forget(state, session_id)
        effects += forget_unless_kept(state, session_id)
    for request in seat.askers:
        effects.append(Answered(request) if seat.failure is None else Refused(request, seat.failure))
    return effects + _closed(state)


def _note_crash(state: RegistryState, session_id: str, seat: Seat, now: float) -> None:
    state.crashes += 1
    state.crash_log.add(session_id, now)
    seat.handover = None
    seat.failure = ErrorInfo(
        ErrorCode.EXECUTION_FAILED, f"session {session_id} failed; the next command loads it again"
    )


def _note_end(
    state: RegistryState, session_id: str, seat: Seat, now: float, *, crashed: bool, is_cut: bool
) -> list[Effect]:
    """What is known of it from now on."""
    ledger = state.ledger
    known = ledger.known.get(session_id)
    if known is None:
        return []
    handover = seat.handover
    if handover is not None and handover.events and not ledger.listeners.has(session_id):
        ledger.keep_events(session_id, handover)
        handover = None  # thousands of sessions may be known
    registered = known.registered and not seat.unregister
    ledger.change(
        session_id,
        handover=handover,
        failure=seat.failure if crashed and is_cut else None,
        registered=registered,
        in_background=False,
    )
    if registered:
        state.unloaded[session_id] = now
    effects: list[Effect] = []
    if crashed:
        effects += learn(
            state,
            msgspec.structs.replace(
                known.runtime, status=SessionStatus.FAILED, task_id=None, error=seat.failure
            ),
        )
    elif known.runtime.status is SessionStatus.WAITING_CONFIRMATION and known.runtime.task_id is not None:
        state.pool.wait_for_person(session_id, known.runtime.task_id)
    if seat.failure is not None:
        effects += state.feed.publish(session_id, SessionFailed(seat.failure))
    return effects


def _refuse_parked(state: RegistryState, seat: Seat) -> list[Effect]:
    """It has failed before it said what it is. What was asked of one that left in order is for the next."""
    if seat.failure is None:
        return []
    parked, seat.parked = seat.parked, []
    effects: list[Effect] = []
    for command, request in parked:
        if isinstance(command, DeleteSession):
            effects += deleting.unloadable(state, command, seat.failure, request)
        else:
            effects.append(Refused(request, seat.failure))
    return effects


def _refuse_mail(seat: Seat, error: ErrorInfo) -> list[Effect]:
    return [Refused(request, error) for _, request in (*seat.held, *seat.parked)]


def _load_anew(state: RegistryState, session_id: str, ended: Seat, now: float) -> list[Effect]:
    """For the commands that came meanwhile, and so that a cut turn's end is recorded and told."""
    refusal = state.cannot_load(session_id, now)
    if refusal is not None:
        effects = end_subscriptions(state, session_id, refusal)
        return effects + _refuse_mail(ended, refusal)
    effects = loading.load(state, session_id, used=True)
    state.seats.park(session_id, ended.parked)
    for command, request in ended.held:
        effects += loading.give(state, session_id, command, request)
    return effects


# -- the end of everything --


def close_all(state: RegistryState, request: int) -> list[Effect]:
    if state.ledger.refusal is None:
        state.ledger.refusal = CLOSING
    effects: list[Effect] = []
    for session_id in state.seats:
        effects += loading.release(state, session_id, abort=True)
    state.closers.append(request)
    return effects + _closed(state)


def _closed(state: RegistryState) -> list[Effect]:
    """When the engine closes and the last session is gone: say so to everybody who waits or listens."""
    if not state.closers or len(state.seats):
        return []
    effects: list[Effect] = []
    for session_id in state.ledger.listeners.session_ids:
        effects += end_subscriptions(state, session_id, None)
    effects += state.feed.end()
    effects += [Answered(request) for request in state.closers]
    state.closers.clear()
    return effects


def persistence_ended(state: RegistryState) -> list[Effect]:
    """Nothing can be stored any more: all sessions end, and no command is taken."""
    lost = ErrorInfo(
        ErrorCode.PERSISTENCE_FAILED, "the engine has lost its store: close it, and open another one"
    )
    state.ledger.refusal = lost
    effects: list[Effect] = [TellSession(session_id, StoreLost(lost)) for session_id in state.seats]
    for session_id in state.ledger.listeners.session_ids:
        if session_id not in state.seats:
            effects += end_subscriptions(state, session_id, lost)
    for requests in state.deleting.values():
        effects += [Refused(request, lost) for request in requests]
    state.deleting.clear()
    for waiting in state.opening.values():
        effects += [Refused(request, lost) for _, request in waiting]
    state.opening.clear()
    return effects + state.feed.publish(None, PersistenceFailed(lost))


def subscriber_ended(state: RegistryState, name: str) -> list[Effect]:
    """A subscriber is gone: tell the sessions that it listened to."""
    state.feed.remove(name)
    effects: list[Effect] = []
    for session_id in state.ledger.listeners.ended(name):
        if session_id in state.seats:
            effects.append(TellSession(session_id, SubscriberEnded(name)))
        else:
            effects += forget_unless_kept(state, session_id)
    return effects


def subscriber_refused(state: RegistryState, message: SubscriberRefused) -> list[Effect]:
    session_id = message.session_id
    state.ledger.listeners.remove(session_id, message.subscriber)
    return forget_unless_kept(state, session_id) if session_id in state.ledger.known else []
