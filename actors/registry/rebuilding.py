"""A registry begins: the first of its kind, or in place of one that failed."""

from __future__ import annotations

from actors.events import ActorRestarted
from actors.registry import keeping, loading
from actors.registry.effects import Effect, SetCleanup, TellSession, WatchSubscriber
from actors.registry.knowing import forget_unless_kept, learn
from actors.registry.protocol import REGISTRY_NAME
from actors.registry.rebuild import Rebuild
from actors.registry.state import RegistryState
from actors.session.protocol import ReportAdmission

__all__ = ["begin", "finish"]


def begin(state: RegistryState, live: tuple[str, ...], global_subscribers: tuple[str, ...]) -> list[Effect]:
    """Ask the sessions that are loaded already where they stand. The mail waits until all have said so."""
    ledger = state.ledger
    ledger.lives += 1
    if ledger.lives == 1:
        return []
    effects: list[Effect] = []
    for name in global_subscribers:
        state.feed.add(name)
    effects += [WatchSubscriber(name) for name in (*global_subscribers, *ledger.listeners.names)]
    if ledger.cleanup is not None:
        effects.append(SetCleanup(ledger.cleanup.interval_seconds))
    for session_id in live:
        state.seats.add(session_id, used=True)
        effects.append(TellSession(session_id, ReportAdmission()))
    state.rebuild = Rebuild(live)
    return effects


def finish(state: RegistryState, rebuild: Rebuild, now: float) -> list[Effect]:
    """All have reported: go on from there."""
    ledger = state.ledger
    effects = state.feed.publish(None, ActorRestarted(REGISTRY_NAME))
    reports = rebuild.reports()
    state.pool.restore(reports)
    for report in reports:
        session_id = report.runtime.session_id
        for name in report.subscribers:
            if ledger.listeners.add(session_id, name):
                effects.append(WatchSubscriber(name))
        effects += keeping.noticed(state, report.runtime, now)
    for session_id in [known for known in ledger.known if known not in state.seats]:
        known = ledger.known[session_id]
        if ledger.refusal is None and not loading.is_settled(known.runtime):
            effects += loading.load(state, session_id, used=True)  # it ended with its turn meanwhile
            continue
        if known.registered:
            state.unloaded[session_id] = now
        effects += learn(state, known.runtime)  # it may wait for a person
        effects += forget_unless_kept(state, session_id)
    return effects + loading.grant(state.pool.start())
