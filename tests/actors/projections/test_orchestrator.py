"""A session's events in the orchestrator's words, in the shape of its JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.conversation import TextPart, ThoughtPart, ToolCall, ToolCallPart, ToolStatus
from actors.events import ToolOutput
from actors.projections.orchestrator import OrchestratorProjection
from actors.projections.orchestrator_events import (
    Finished,
    NodeField,
    NodeUpdate,
    NodeUpdatePayload,
    OrchestratorEvent,
)
from actors.records import SessionStatus
from tests.actors.simulated_session import SimulatedSession

LOOK = ToolCall("c1", "look", "{}")


def told(session: SimulatedSession, since: int = 0) -> list[dict[str, Any]]:
    """What views are told of all events, as JSON; times are left out."""
    projection = OrchestratorProjection(SimulatedSession().snapshot)
    said: list[OrchestratorEvent] = []
    for event in session.events:
        news = projection.apply(event)
        if event.seq > since:
            said += news
    return [msgspec.json.decode(msgspec.json.encode(event)) for event in said]


def types(said: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in said]


def statuses(said: list[dict[str, Any]], node_id: str) -> list[str]:
    return [
        event["payload"]["status"]
        for event in said
        if event["type"] == "node_status" and event["payload"]["nodeId"] == node_id
    ]


def test_a_turn_is_two_groups_chunks_and_one_finished_at_the_end() -> None:
    session = SimulatedSession()
    session.ask("Why?")
    session.stream(ThoughtPart("H"), ThoughtPart("m."), TextPart("Be"))
    session.stream(ToolCallPart(0, "c", "look", "{}"))
    session.stream(TextPart("cause."))
    task_id = session.task_id
    session.end(SessionStatus.COMPLETED)

    said = told(session)

    question, answer = (event["payload"] for event in said if event["type"] == "session_start")
    assert (question["role"], question["content"]) == ("user", "Why?")
    assert (answer["role"], answer["executionRoot"]["status"]) == ("assistant", "pending")
    assert (answer["siblingIndex"], answer["siblingCount"]) == (0, 1)
    node_id = answer["executionRoot"]["id"]
    assert said[2:] == [
        {"type": "node_status", "payload": {"nodeId": node_id, "status": "running"}},
        {"type": "node_update", "payload": {"nodeId": node_id, "chunk": "Hm.", "field": "thought"}},
        {"type": "node_update", "payload": {"nodeId": node_id, "chunk": "Be", "field": "output"}},
        {"type": "node_update", "payload": {"nodeId": node_id, "chunk": "cause.", "field": "output"}},
        {"type": "node_status", "payload": {"nodeId": node_id, "status": "success"}},
        {"type": "finished", "payload": {"sessionId": "s", "taskId": task_id}},
    ]


def test_a_tool_call_is_a_node_below_the_answer_that_goes_from_pending_to_its_result() -> None:
    session = SimulatedSession()
    session.ask("Look")
    session.call_tools(LOOK)
    session.run_tools()
    session.end_tools(ToolStatus.SUCCEEDED, "seen")
    session.end(SessionStatus.COMPLETED)

    said = told(session)

    (start,) = (event["payload"]["node"] for event in said if event["type"] == "node_start")
    assert start["parentId"] == said[1]["payload"]["executionRoot"]["id"]
    assert (start["executorType"], start["status"]) == ("tool", "pending")
    assert start["data"] == {"toolCall": {"name": "look", "args": "{}"}}
    assert statuses(said, start["id"]) == ["running", "success"]
    assert [event["payload"] for event in said if event["type"] == "node_update"] == [
        {"nodeId": start["id"], "chunk": "seen", "field": "output"}
    ]


def test_a_failed_turn_ends_with_one_error_that_has_message_and_code() -> None:
    session = SimulatedSession()
    session.ask("Why?")
    task_id = session.task_id
    session.end(SessionStatus.FAILED)

    said = told(session)

    error = {"code": "NETWORK_ERROR", "message": "gone", "retryable": True}
    assert said[-1] == {"type": "error", "payload": {"message": "gone", "error": error, "taskId": task_id}}
    assert types(said).count("error") == 1
    assert "finished" not in types(said)
    assert said[-2]["payload"]["status"] == "failed"


def test_a_stopped_turn_ends_with_cancelled_nodes_and_says_neither_finished_nor_error() -> None:
    session = SimulatedSession()
    session.ask("Look")
    session.stream(TextPart("I look."))
    session.call_tools(LOOK)
    session.end(SessionStatus.ABORTED)

    said = told(session)

    assert {"finished", "error"}.isdisjoint(types(said))
    assert [event["payload"]["status"] for event in said[-2:]] == ["cancelled", "cancelled"]


def test_an_answer_that_never_ran_goes_from_pending_to_cancelled() -> None:
    session = SimulatedSession()
    session.ask("Why?")
    session.end(SessionStatus.ABORTED)

    said = told(session)

    assert statuses(said, said[1]["payload"]["id"]) == ["cancelled"]


def test_edits_and_deletions_name_what_they_change() -> None:
    session = SimulatedSession()
    question_id = session.ask("Why?")
    session.end(SessionStatus.COMPLETED)
    ids = [message.message_id for message in session.tree]
    before = len(session.events)
    session.edit(question_id, "How?")
    session.delete(question_id)

    assert told(session, since=before) == [
        {
            "type": "message_edited",
            "payload": {"sessionId": "s", "newContent": "How?", "messageId": question_id},
        },
        {"type": "messages_deleted", "payload": {"deletedIds": ids}},
    ]


def test_what_the_snapshot_has_already_is_not_begun_again_when_it_is_announced() -> None:
    session = SimulatedSession()
    session.ask("Look")
    session.stream(TextPart("I look."))
    session.call_tools(LOOK)
    session.end_tools(ToolStatus.SUCCEEDED, "seen")
    session.end(SessionStatus.COMPLETED)
    projection = OrchestratorProjection(session.snapshot)

    said = [told for event in session.events for told in projection.apply(event)]

    assert [type(event) for event in said] == [Finished]


def test_what_a_running_tool_says_is_not_told_since_it_is_not_stored() -> None:
    session = SimulatedSession()
    session.ask("Look")
    projection = OrchestratorProjection(session.snapshot)

    event = msgspec.structs.replace(session.events[-1], body=ToolOutput("c1", "half"))

    assert projection.apply(event) == ()


def test_a_chunk_without_text_or_field_is_an_empty_one_of_the_output() -> None:
    event = NodeUpdate(NodeUpdatePayload("n"))

    assert msgspec.json.decode(b'{"type":"node_update","payload":{"nodeId":"n"}}', type=NodeUpdate) == event
    assert event.payload == NodeUpdatePayload("n", "", NodeField.OUTPUT)
    assert msgspec.json.encode(event) == (
        b'{"type":"node_update","payload":{"nodeId":"n","chunk":"","field":"output"}}'
    )
