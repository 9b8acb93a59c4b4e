"""A snapshot shows what is decided; what it is made of may still be told, when the store has it."""

from __future__ import annotations

import msgspec
import pytest

from actors.conversation import ToolCall
from actors.events import ContextUpdated, EventBody, SessionStatusChanged, ToolCallsUpdated
from actors.records import CallState, SessionStatus
from actors.view_models import SessionViewModel
from tests.actors.simulated_session import SimulatedSession


@pytest.fixture
def session() -> SimulatedSession:
    return SimulatedSession()


def tell(view: SessionViewModel, session: SimulatedSession, body: EventBody) -> None:
    session.say(body)
    view.apply(session.events[-1])


def test_a_record_that_is_older_than_the_snapshot_takes_nothing_back(session: SimulatedSession) -> None:
    session.ask("Why?")
    before = session.record
    session.end(SessionStatus.COMPLETED)
    view = SessionViewModel(session.snapshot)
    branch = view.branch

    tell(view, session, ContextUpdated(before))
    tell(view, session, SessionStatusChanged(before.status))

    assert view.record == session.record
    assert (view.status, view.is_generating) == (SessionStatus.COMPLETED, False)
    assert view.branch == branch


def test_events_count_again_from_the_record_of_the_snapshot_on(session: SimulatedSession) -> None:
    session.ask("Why?")
    before = session.record
    session.end(SessionStatus.COMPLETED)
    view = SessionViewModel(session.snapshot)
    tell(view, session, ContextUpdated(before))

    tell(view, session, ContextUpdated(session.record))
    session.rename("a title")
    for event in session.events[view.cursor.seq :]:
        view.apply(event)

    assert view.record == session.record
    assert view.record.title == "a title"


def test_calls_that_are_older_than_the_snapshot_do_not_stand_open_again(session: SimulatedSession) -> None:
    session.ask("Look")
    session.call_tools(ToolCall("c", "look", "{}"))
    before, open_calls = session.record, session.open_calls
    session.run_tools()
    view = SessionViewModel(session.snapshot)
    assert view.record.task is not None
    assert [call.state for call in view.record.task.calls] == [CallState.EXECUTING]

    tell(view, session, ContextUpdated(before))
    tell(view, session, ToolCallsUpdated(before.active_leaf_id or "", open_calls))

    assert [call.state for call in view.record.task.calls] == [CallState.EXECUTING]


def test_calls_that_have_their_results_in_the_conversation_are_not_open(session: SimulatedSession) -> None:
    session.ask("Look")
    session.call_tools(ToolCall("c", "look", "{}"))
    view = SessionViewModel(session.snapshot)
    request_id, (call,) = session.record.active_leaf_id, session.open_calls
    task = session.record.task
    assert request_id is not None
    assert task is not None

    session.record = msgspec.structs.replace(
        session.record,
        task=msgspec.structs.replace(task, calls=()),
        version=session.record.version + 1,
    )
    tell(view, session, ContextUpdated(session.record))
    done = msgspec.structs.replace(call, state=CallState.SUCCESS)
    tell(view, session, ToolCallsUpdated(request_id, (done,)))

    assert view.record == session.record
