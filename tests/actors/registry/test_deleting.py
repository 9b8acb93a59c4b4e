"""What the registry has of a session goes with it."""

from __future__ import annotations

import pytest

from actors.access import allow_local
from actors.errors import ErrorCode, ErrorInfo
from actors.persistence.protocol import SessionDeleted
from actors.registry.decide import begin, decide
from actors.registry.ledger import Ledger
from actors.registry.state import RegistryState
from actors.session.protocol import Handover
from tests.actors.simulated_session import START

STILL_THERE = ErrorInfo(ErrorCode.PERSISTENCE_FAILED, "the disk failed")


@pytest.mark.parametrize("error", [None, STILL_THERE])
def test_the_events_of_a_session_are_kept_for_readers_unless_it_was_deleted(
    error: ErrorInfo | None,
) -> None:
    ledger = Ledger(max_concurrent=1)
    state = RegistryState(ledger, max_queue_size=0, max_loaded=1, authorize=allow_local, now=lambda: START)
    begin(state, (), (), 0.0)
    events = Handover(epoch=1, seq=7)
    ledger.keep_events("s", events)

    decide(state, SessionDeleted("s", error), 0.0)

    assert ledger.take_handover("s") == (None if error is None else events)
