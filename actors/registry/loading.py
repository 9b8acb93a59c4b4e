"""Sessions are loaded on demand, and unloaded when there are too many."""

from __future__ import annotations

from collections.abc import Iterable

from actors.records import SessionRuntime, SessionStatus
from actors.registry.effects import Effect, Forward, Refused, Spawn, TellSession, WatchSubscriber
from actors.registry.protocol import Deliver
from actors.registry.seats import Phase
from actors.registry.state import RegistryState
from actors.session.protocol import Inheritance, PrepareRelease, SessionCommand, SlotGranted, Subscribe

__all__ = [
    "deliver",
    "give",
    "grant",
    "hand_over",
    "is_settled",
    "load",
    "release",
    "settle",
    "shrink",
    "sort",
]


def deliver(state: RegistryState, message: Deliver, now: float, request: int) -> list[Effect]:
    refusal = state.cannot_load(message.session_id, now)
    if refusal is not None:
        return [Refused(request, refusal)]
    return hand_over(state, message.session_id, message.command, now, request, touch=message.touch)


def hand_over(
    state: RegistryState, session_id: str, command: SessionCommand, now: float, request: int, *, touch: bool
) -> list[Effect]:
    """Give a command to a session, which is loaded first if need be."""
    effects: list[Effect] = []
    if session_id not in state.seats:
        effects = load(state, session_id, used=touch)
    elif touch:
        state.seats.touch(session_id, now)
    return effects + give(state, session_id, command, request)


def give(state: RegistryState, session_id: str, command: SessionCommand, request: int) -> list[Effect]:
    """To a session that has a seat; one that is leaving gets it if it stays, else its next incarnation."""
    seat = state.seats.find(session_id)
    assert seat is not None
    if not seat.takes_commands:
        seat.held.append((command, request))
        return []
    effects: list[Effect] = [Forward(session_id, command, request)]
    if isinstance(command, Subscribe) and state.ledger.listeners.add(session_id, command.subscriber):
        effects.append(WatchSubscriber(command.subscriber))
    return effects


def load(state: RegistryState, session_id: str, *, used: bool) -> list[Effect]:
    """Start a session with what its last incarnation left; if that is one too many, another one goes."""
    ledger = state.ledger
    known = ledger.known.get(session_id)
    inheritance = Inheritance(
        subscribers=ledger.listeners.of(session_id),
        path=ledger.path_of.get(session_id),
        handover=ledger.take_handover(session_id),
        active=ledger.active_id == session_id,
        failure=None if known is None else known.failure,
    )
    if known is not None:
        ledger.change(session_id, handover=None, failure=None)
    state.unloaded.pop(session_id, None)
    state.seats.add(session_id, used=used)
    state.loads += 1
    return [Spawn(session_id, inheritance), *shrink(state)]


def is_settled(runtime: SessionRuntime) -> bool:
    """Whether it needs no actor: it has no turn, or one that waits for a person."""
    return runtime.task_id is None or runtime.status is SessionStatus.WAITING_CONFIRMATION


def settle(state: RegistryState, session_id: str, now: float, *, but: str | None = None) -> list[Effect]:
    """Put a session among those that may be unloaded, or take it from there, by what is known of it.

    Then `shrink`.
    """
    if not sort(state, session_id, now):
        return []
    if state.ledger.known[session_id].in_background and state.ledger.active_id != session_id:
        return release(state, session_id, abort=False)
    return shrink(state, but=but)


def sort(state: RegistryState, session_id: str, now: float) -> bool:
    """As `settle`, without a consequence; whether it may be unloaded."""
    seat = state.seats.find(session_id)
    runtime = state.ledger.runtime(session_id)
    if seat is None or seat.phase is not Phase.LOADED or runtime is None:
        return False
    if state.pool.holds(session_id) or not is_settled(runtime):
        state.seats.unsettle(session_id)
        return False
    if not state.seats.is_settled(session_id):
        state.seats.settle(session_id, now)
    return True


def release(state: RegistryState, session_id: str, *, abort: bool) -> list[Effect]:
    """Tell a session to leave, unless it has been told already.

    One request is on its way at a time: if this one wants more, it goes out when that one is answered.
    """
    seat = state.seats.find(session_id)
    assert seat is not None
    seat.abort_wanted = seat.abort_wanted or abort
    if not seat.takes_commands:
        return []
    seat.abort_asked = seat.abort_wanted
    state.seats.enter(session_id, Phase.LEAVING)
    return [TellSession(session_id, PrepareRelease(abort=seat.abort_asked))]


def grant(grants: Iterable[tuple[str, SlotGranted]]) -> list[Effect]:
    return [TellSession(session_id, notice) for session_id, notice in grants]


def shrink(state: RegistryState, *, but: str | None = None) -> list[Effect]:
    """While too many stay, release the settled one that was used longest ago.

    Never the active one, nor `but`.
    """
    effects: list[Effect] = []
    while state.seats.staying > state.max_loaded:
        oldest = state.seats.oldest(but=(state.ledger.active_id, but))
        if oldest is None:
            break
        seat = state.seats.find(oldest)
        assert seat is not None
        seat.evicting = True
        effects += release(state, oldest, abort=False)
    return effects
