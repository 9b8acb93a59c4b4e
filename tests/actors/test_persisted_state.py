"""What a store shows of a session that a crash has cut."""

from __future__ import annotations

import msgspec

from actors.conversation import TextPart
from actors.persisted_state import PersistedSessionState, persisted_state
from actors.records import SessionStatus, StoredSession
from tests.actors.simulated_session import START, SimulatedSession


def stored(session: SimulatedSession) -> StoredSession:
    """The session as a store gives it back, through the store's own encoding."""
    kept = StoredSession(session.record, tuple(session.tree), 1, 1)
    return msgspec.json.decode(msgspec.json.encode(kept), type=StoredSession)


def test_a_turn_that_was_cut_is_there_with_its_question() -> None:
    session = SimulatedSession()
    session.ask("Why?")
    session.stream(TextPart("Be"))
    assert session.task_id is not None

    state = persisted_state(stored(session), "/a/b.chat.json")

    assert state == PersistedSessionState(
        session_id="s",
        task_id=session.task_id,
        status=SessionStatus.RUNNING,
        updated_at=START,
        pending_input="Why?",
        path="/a/b.chat.json",
    )
    assert msgspec.json.decode(msgspec.json.encode(state), type=PersistedSessionState) == state


def test_a_session_whose_last_turn_ended_has_nothing_to_take_up() -> None:
    session = SimulatedSession()
    session.ask("Why?")
    session.end(SessionStatus.FAILED)

    assert persisted_state(stored(session)) is None
