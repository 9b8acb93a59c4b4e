"""The visible branch as groups: questions, answers, and the steps of an answer."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from actors.conversation import (
    Approval,
    Attachment,
    FileReference,
    Image,
    Message,
    Role,
    Text,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolResult,
    ToolStatus,
)
from actors.groups import (
    ExecutionNode,
    ExecutorType,
    GroupFile,
    MessageGroup,
    NodeData,
    NodeStatus,
    ToolCallData,
)
from actors.projections import message_groups
from actors.records import CallState, SessionStatus
from tests.actors.simulated_session import START, SimulatedSession

LOOK = ToolCall("c1", "look", '{"at": 1}')


def groups_of(session: SimulatedSession) -> tuple[MessageGroup, ...]:
    snapshot = session.snapshot
    return message_groups(snapshot.messages, snapshot.record.active_leaf_id, snapshot.record.task)


def root_of(session: SimulatedSession) -> ExecutionNode:
    root = groups_of(session)[-1].execution_root
    assert root is not None
    return root


def answered(*texts: str) -> SimulatedSession:
    session = SimulatedSession()
    for text in texts:
        session.ask(f"{text}?")
        session.stream(TextPart(f"{text}."))
        session.end(SessionStatus.COMPLETED)
    return session


# --- what is a group --------------------------------------------------------------------------------


def test_a_turn_is_a_question_and_an_answer_with_the_ids_of_their_messages() -> None:
    session = answered("Why")
    question, answer = session.snapshot.branch

    asked, replied = groups_of(session)

    assert (asked.role, asked.content, asked.execution_root) == (Role.USER, "Why?", None)
    assert asked.id == asked.persisted_node_id == question.message_id
    assert replied.role is Role.ASSISTANT
    assert replied.execution_root is not None
    assert replied.id == replied.persisted_node_id == replied.execution_root.id == answer.message_id
    assert (replied.execution_root.data.output, replied.content) == ("Why.", None)


def test_all_messages_of_a_task_are_one_answer_with_a_node_for_each_tool_call() -> None:
    session = SimulatedSession()
    session.ask("Look")
    session.stream(ThoughtPart("Hm."), TextPart("I look."))
    session.call_tools(LOOK, msgspec.structs.replace(LOOK, call_id="c2"))
    session.run_tools()
    session.end_tools(ToolStatus.SUCCEEDED, "seen")
    session.stream(TextPart("There it is."))
    session.end(SessionStatus.COMPLETED)

    _, answer = groups_of(session)

    root = answer.execution_root
    assert root is not None
    assert (root.status, root.executor_type) == (NodeStatus.SUCCESS, ExecutorType.AGENT)
    assert (root.data.thought, root.data.output) == ("Hm.", "I look.\n\nThere it is.")
    first, second = root.children
    assert first.id != second.id
    assert {first.parent_id, second.parent_id} == {root.id}
    assert (first.executor_type, first.name, first.status) == (
        ExecutorType.TOOL,
        "look",
        NodeStatus.SUCCESS,
    )
    assert first.data.tool_call == ToolCallData("look", '{"at": 1}', "seen")
    assert first.data.output == "seen"


def test_a_call_id_that_a_model_uses_again_belongs_to_the_nearest_request() -> None:
    session = SimulatedSession()
    session.ask("Look")
    for output in ("one", "two"):
        session.call_tools(LOOK, LOOK)
        session.end_tools(ToolStatus.SUCCEEDED, output)
    session.end(SessionStatus.COMPLETED)

    nodes = root_of(session).children

    assert [node.data.output for node in nodes] == ["one", "one", "two", "two"]
    assert len({node.id for node in nodes}) == 4


def test_what_the_engine_wrote_for_itself_is_no_group_and_divides_none() -> None:
    session = answered("Why")
    session.rename("a title")
    session.ask("And?")
    question_id = session.questions[-1]
    session.end(SessionStatus.COMPLETED)
    session.edit_and_rerun(question_id, "And then?")

    groups = groups_of(session)

    assert [group.content for group in groups] == ["Why?", None, "And then?"]
    assert (groups[-1].sibling_index, groups[-1].sibling_count) == (1, 2)


def test_files_of_a_question_are_named_and_pictures_are_files() -> None:
    note = Message(
        message_id="m1",
        parent_id=None,
        role=Role.USER,
        content=Text(
            "See",
            attachments=(Attachment("a.txt", "A"),),
            images=(Image("image/jpeg", b"\xff", "cat.jpg"), Image("image/png", b"\xff")),
            references=(FileReference("a.py", START, "x = 1"),),
        ),
        created_at=START,
    )
    picture = msgspec.structs.replace(
        note, message_id="m2", parent_id="m1", content=Image("image/png", b"", "p.png")
    )

    groups = message_groups((note, picture), "m2", None)

    assert [group.files for group in groups] == [
        (
            GroupFile("a.txt", "text/plain"),
            GroupFile("cat.jpg", "image/jpeg"),
            GroupFile("image", "image/png"),
            GroupFile("a.py", "text/plain"),
        ),
        (GroupFile("p.png", "image/png"),),
    ]


# --- alternatives -----------------------------------------------------------------------------------


def test_a_retried_answer_is_the_second_of_two_and_the_first_can_be_seen_again() -> None:
    session = answered("Why")
    first_answer = groups_of(session)[-1].id
    session.retry(session.questions[0])
    session.stream(TextPart("Because."))
    session.end(SessionStatus.COMPLETED)

    second = groups_of(session)[-1]
    session.switch(first_answer)
    first = groups_of(session)[-1]

    assert (second.sibling_index, second.sibling_count) == (1, 2)
    assert (first.id, first.sibling_index, first.sibling_count) == (first_answer, 0, 2)


def test_a_question_that_moved_up_beside_an_answer_is_no_alternative_to_it() -> None:
    session = answered("Why", "How")
    session.switch(groups_of(session)[1].id)
    session.delete(groups_of(session)[1].id)

    assert [(group.content, group.sibling_count) for group in groups_of(session)] == [
        ("Why?", 1),
        ("How?", 1),
        (None, 1),
    ]


# --- where nodes stand ------------------------------------------------------------------------------


def test_an_answer_runs_until_its_turn_ends_also_while_tools_do() -> None:
    session = SimulatedSession()
    session.ask("Look")
    session.stream(TextPart("I look."))
    statuses = [root_of(session).status]
    session.call_tools(LOOK)
    scheduled = root_of(session)
    session.run_tools()
    executing = root_of(session)
    session.end_tools(ToolStatus.FAILED, "no light")
    failed = root_of(session)
    session.end(SessionStatus.COMPLETED)

    assert [*statuses, scheduled.status, executing.status, failed.status] == [NodeStatus.RUNNING] * 4
    assert [root.children[0].status for root in (scheduled, executing, failed)] == [
        NodeStatus.PENDING,
        NodeStatus.RUNNING,
        NodeStatus.FAILED,
    ]
    assert executing.children[0].end_time is None
    assert failed.end_time is None
    assert root_of(session).status is NodeStatus.SUCCESS


def test_a_stopped_answer_is_cancelled_with_its_open_calls_and_keeps_its_text() -> None:
    session = SimulatedSession()
    session.ask("Look")
    session.stream(TextPart("I look."))
    session.call_tools(LOOK)
    session.run_tools()
    session.end_tools(ToolStatus.CANCELLED, "This tool was stopped.")
    session.end(SessionStatus.ABORTED)

    root = root_of(session)

    assert (root.status, root.data.output) == (NodeStatus.CANCELLED, "I look.")
    assert [node.status for node in root.children] == [NodeStatus.CANCELLED]


def test_a_call_that_a_person_denied_does_not_make_its_answer_a_stopped_one() -> None:
    session = SimulatedSession()
    session.ask("Look")
    session.call_tools(LOOK)
    session.end_tools(ToolStatus.CANCELLED, "denied")
    *earlier, last = session.snapshot.branch
    assert isinstance(last.content, ToolResult)
    denied = msgspec.structs.replace(
        last, content=msgspec.structs.replace(last.content, approval=Approval.DENIED)
    )
    messages = (*earlier, denied)

    root = message_groups(messages, messages[-1].message_id, None)[-1].execution_root

    assert root is not None
    assert root.status is NodeStatus.SUCCESS
    assert root.children[0].status is NodeStatus.CANCELLED


def test_a_failed_answer_says_what_went_wrong() -> None:
    session = SimulatedSession()
    session.ask("Why?")
    session.end(SessionStatus.FAILED)

    root = root_of(session)

    assert root.status is NodeStatus.FAILED
    assert root.data.meta_info == {
        "model": "scripted:echo",
        "errorCode": "NETWORK_ERROR",
        "error": "gone",
    }


def test_a_final_node_ends_when_it_became_final_and_never_before_it_began() -> None:
    session = SimulatedSession()
    session.ask("Why?")
    session.stream(TextPart("Be"))
    session.stream(TextPart("cause."))
    session.end(SessionStatus.COMPLETED)
    root = root_of(session)
    answer = session.snapshot.branch[-1]
    set_back = msgspec.structs.replace(answer, ended_at=START - timedelta(days=1))
    messages = (session.snapshot.branch[0], set_back)

    clamped = message_groups(messages, messages[-1].message_id, None)[-1].execution_root

    assert root.end_time == answer.ended_at
    assert root.end_time is not None
    assert root.end_time > root.start_time
    assert clamped is not None
    assert clamped.end_time == clamped.start_time


def test_a_call_in_a_stored_turn_that_was_cut_is_cancelled() -> None:
    session = SimulatedSession()
    session.ask("Look")
    session.call_tools(LOOK)
    assert session.open_calls[0].state is CallState.SCHEDULED
    snapshot = session.snapshot

    root = message_groups(snapshot.messages, snapshot.record.active_leaf_id, None)[-1].execution_root

    assert root is not None
    assert root.children[0].status is NodeStatus.CANCELLED


# --- as JSON ----------------------------------------------------------------------------------------

TIMED = ExecutionNode(
    id="n",
    executor_id="e",
    executor_type=ExecutorType.AGENT,
    name="e",
    status=NodeStatus.SUCCESS,
    start_time=START,
    end_time=START,
    data=NodeData(
        input="i",
        thought="t",
        output="o",
        tool_call=ToolCallData("look", "{}", "seen"),
        meta_info={"inputTokens": 1},
    ),
)


@pytest.mark.parametrize(
    "group",
    [
        MessageGroup(id="g", timestamp=START, role=Role.USER),
        MessageGroup(id="g", timestamp=START, role=Role.USER, content="", files=(GroupFile("a", "t"),)),
        MessageGroup(
            id="g",
            timestamp=START,
            role=Role.ASSISTANT,
            execution_root=msgspec.structs.replace(TIMED, children=(TIMED,)),
            persisted_node_id="g",
            sibling_index=0,
            sibling_count=2,
        ),
    ],
)
def test_a_group_comes_back_as_it_went(group: MessageGroup) -> None:
    assert msgspec.json.decode(msgspec.json.encode(group), type=MessageGroup) == group


def test_unknown_members_are_ignored_and_unknown_words_refused() -> None:
    node = msgspec.json.decode(msgspec.json.encode(TIMED))
    node["data"]["later"] = 1

    assert msgspec.convert(node, ExecutionNode) == TIMED
    for field, word in (("executorType", "robot"), ("status", "done")):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({**node, field: word}, ExecutionNode)
