"""When the registry knows a session, what of it, and when it forgets."""

from __future__ import annotations

import msgspec

from actors.errors import ErrorInfo
from actors.events import SessionRegistered, SessionStatusChanged, SessionUnreadUpdated, SessionUnregistered
from actors.records import SessionRuntime, SessionStatus
from actors.registry.effects import Effect, TellSubscribers
from actors.registry.ledger import KnownSession
from actors.registry.loading import is_settled
from actors.registry.state import RegistryState
from actors.session.protocol import SubscriptionEnded

__all__ = ["end_subscriptions", "forget", "forget_unless_kept", "learn"]


def learn(state: RegistryState, runtime: SessionRuntime) -> list[Effect]:
    """Take what a session says of itself; tell everybody what of it is new, and nothing twice."""
    ledger = state.ledger
    path = ledger.path_of.get(runtime.session_id)
    if path is not None:
        runtime = msgspec.structs.replace(runtime, path=path)
    known = ledger.known.get(runtime.session_id)
    if runtime.status is SessionStatus.WAITING_CONFIRMATION and runtime.task_id is not None:
        state.pool.wait_for_person(runtime.session_id, runtime.task_id)
    if known is None:
        ledger.known[runtime.session_id] = KnownSession(runtime)
        return state.feed.publish(runtime.session_id, SessionRegistered())
    before = known.runtime
    ledger.change(runtime.session_id, runtime=runtime)
    effects: list[Effect] = []
    if runtime.status is not before.status:
        effects += state.feed.publish(
            runtime.session_id, SessionStatusChanged(runtime.status, runtime.error)
        )
    if runtime.unread_count != before.unread_count:
        effects += state.feed.publish(runtime.session_id, SessionUnreadUpdated(runtime.unread_count))
    return effects


def forget_unless_kept(state: RegistryState, session_id: str) -> list[Effect]:
    """Forget a session that is not loaded, if there is no other reason to know it.

    Reasons are: it is registered or active, it has unread answers or subscribers, its turn waits for a
    person, or has failed with it and is told so when it is loaded.
    """
    known = state.ledger.known.get(session_id)
    if session_id in state.seats or session_id in state.deleting:
        return []
    if known is not None and (
        known.registered
        or known.runtime.unread_count
        or known.runtime.status is SessionStatus.WAITING_CONFIRMATION
        or not is_settled(known.runtime)
        or known.failure is not None
        or state.ledger.active_id == session_id
        or state.ledger.listeners.has(session_id)
    ):
        return []
    return forget(state, session_id)


def forget(state: RegistryState, session_id: str, error: ErrorInfo | None = None) -> list[Effect]:
    """Forget a session that is not loaded, whatever is known of it."""
    assert session_id not in state.seats
    ledger = state.ledger
    effects = end_subscriptions(state, session_id, error)
    state.unloaded.pop(session_id, None)
    state.pool.give_back(session_id)  # no slot: it is not loaded; but it may wait for a person
    ledger.drop_path(session_id)
    if ledger.active_id == session_id:
        ledger.active_id = None
    if ledger.known.pop(session_id, None) is not None:
        effects += state.feed.publish(session_id, SessionUnregistered())
    return effects


def end_subscriptions(state: RegistryState, session_id: str, error: ErrorInfo | None) -> list[Effect]:
    names = state.ledger.listeners.drop(session_id)
    return [TellSubscribers(names, SubscriptionEnded(error))] if names else []
