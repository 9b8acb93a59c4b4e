"""A session is deleted: stopped, unloaded, removed from the store, forgotten."""

from __future__ import annotations

from actors.errors import ErrorCode, ErrorInfo
from actors.persistence.protocol import RemoveSession, SessionDeleted
from actors.registry import loading
from actors.registry.effects import Answered, Effect, Refused, TellPersistence
from actors.registry.knowing import forget, forget_unless_kept
from actors.registry.protocol import REGISTRY_NAME, DeleteSession
from actors.registry.state import RegistryState

__all__ = ["begin", "delete", "deleted", "remove", "unloadable"]


def delete(state: RegistryState, message: DeleteSession, now: float, request: int) -> list[Effect]:
    """Whose session it is must be known before it is gone: one that nobody knows is loaded first."""
    session_id = message.session_id
    refusal = state.cannot_load(session_id, now)
    if state.ledger.refusal is not None or session_id in state.deleting:
        assert refusal is not None
        return [Refused(request, refusal)]
    if session_id in state.ledger.known:
        return begin(state, message, request)
    if refusal is not None:
        return unloadable(state, message, refusal, request)
    effects: list[Effect] = []
    if session_id not in state.seats:
        effects = loading.load(state, session_id, used=False)
    state.seats.park(session_id, [(message, request)])
    return effects


def begin(state: RegistryState, message: DeleteSession, request: int) -> list[Effect]:
    session_id = message.session_id
    refusal = state.forbids(message.principal, message, session_id)
    if refusal is not None:
        return [Refused(request, refusal)]
    state.deleting[session_id] = [request]
    seat = state.seats.find(session_id)
    if seat is None:
        return remove(session_id)
    gone = ErrorInfo(ErrorCode.SESSION_NOT_FOUND, f"session {session_id} is being deleted")
    effects: list[Effect] = [Refused(waiting, gone) for _, waiting in (*seat.held, *seat.parked)]
    seat.held, seat.parked = [], []
    return effects + loading.release(state, session_id, abort=True)


def unloadable(
    state: RegistryState, message: DeleteSession, failure: ErrorInfo, request: int
) -> list[Effect]:
    """What cannot be loaded is nobody's: it can be deleted by who may delete that."""
    if failure.code is ErrorCode.SESSION_NOT_FOUND:
        return [Refused(request, failure)]
    if message.session_id in state.deleting:
        state.deleting[message.session_id].append(request)
        return []
    return begin(state, message, request)


def remove(session_id: str) -> list[Effect]:
    return [TellPersistence(RemoveSession(REGISTRY_NAME, session_id))]


def deleted(state: RegistryState, message: SessionDeleted) -> list[Effect]:
    """The store has answered. Also to a registry that has failed meanwhile."""
    session_id, error = message.session_id, message.error
    requests = state.deleting.pop(session_id, [])
    effects: list[Effect] = []
    if error is not None:
        effects += forget_unless_kept(state, session_id)
        return effects + [Refused(request, error) for request in requests]
    state.ledger.drop_events(session_id)
    if session_id not in state.seats:
        effects += forget(state, session_id)
    return effects + [Answered(request) for request in requests]
