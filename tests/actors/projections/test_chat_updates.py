"""A session's events in the words of a chat file's listeners."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.conversation import TextPart, ThoughtPart, ToolCall, ToolCallPart, ToolStatus
from actors.events import ToolOutput
from actors.projections.chat_updates import chat_events
from actors.records import SessionStatus
from tests.actors.simulated_session import SimulatedSession


def told(session: SimulatedSession) -> list[dict[str, Any]]:
    return [
        msgspec.json.decode(msgspec.json.encode(update))
        for event in session.events
        for update in chat_events(event)
    ]


def a_turn() -> SimulatedSession:
    session = SimulatedSession()
    session.ask("Look")
    session.stream(ThoughtPart("Hm."), TextPart("I "), TextPart("look."), ToolCallPart(0, "c", "look"))
    session.call_tools(ToolCall("c", "look", "{}"))
    session.run_tools()
    session.end_tools(ToolStatus.SUCCEEDED, "seen")
    session.end(SessionStatus.COMPLETED)
    return session


def test_each_added_message_is_said_once_with_its_id() -> None:
    session = a_turn()

    added = [event for event in told(session) if event.get("updateType") == "MESSAGE_ADDED"]

    assert [event["messageId"] for event in added] == [message.message_id for message in session.tree]
    assert {(event["kind"], event["chatId"]) for event in added} == {("ChatUpdatedEvent", "s")}


def test_each_state_of_the_tool_calls_is_said() -> None:
    updates = [event for event in told(a_turn()) if event["kind"] == "TOOL_CALLS_UPDATE"]

    assert [event["calls"][0]["state"] for event in updates] == ["scheduled", "executing", "success"]
    assert {event["chatId"] for event in updates} == {"s"}
    assert len({event["messageId"] for event in updates}) == 1


def test_streamed_text_is_to_be_appended() -> None:
    session = a_turn()

    (streamed,) = (event for event in told(session) if event.get("updateType") == "MESSAGE_STREAMED")

    assert (streamed["thought"], streamed["text"]) == ("Hm.", "I look.")
    assert streamed["messageId"] == list(session.tree)[1].message_id


def test_statuses_are_the_four_of_a_chat() -> None:
    statuses = [event["status"] for event in told(a_turn()) if event.get("updateType") == "STATUS_CHANGED"]

    assert statuses == ["processing", "processing", "idle"]


def test_every_event_names_its_chat_and_only_pieces_of_tool_calls_are_left_out() -> None:
    session = a_turn()
    session.edit(session.questions[0], "Look again")
    session.delete(session.questions[0])
    event = session.events[0]
    bodies = [event.body for event in session.events] + [ToolOutput("c", "half")]

    said = [chat_events(msgspec.structs.replace(event, body=body)) for body in bodies]

    assert all(len(updates) == 1 and updates[0].session_id == "s" for updates in said)
    unseen = SimulatedSession()
    unseen.ask("Look")
    unseen.stream(ToolCallPart(0, "c", "look"))
    assert chat_events(unseen.events[-1]) == ()
