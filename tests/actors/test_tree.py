"""What a model is asked with: a branch on which every tool call has exactly one result."""

from __future__ import annotations

from datetime import UTC, datetime

import hypothesis.strategies as st
from hypothesis import given

from actors.conversation import (
    Content,
    Message,
    MessageState,
    Role,
    Text,
    ToolCall,
    ToolCallRequest,
    ToolResult,
    ToolStatus,
)
from actors.tree import ConversationTree, sendable

call_ids = st.sampled_from(["", "call_0", "call_1", "call_2"])
calls = st.builds(ToolCall, call_ids, st.just("tool"), st.just("{}"))
contents: st.SearchStrategy[tuple[Role, Content]] = st.one_of(
    st.tuples(st.just(Role.USER), st.builds(Text, st.text(max_size=2))),
    st.tuples(st.just(Role.ASSISTANT), st.builds(Text, st.text(max_size=2), st.text(max_size=2))),
    st.tuples(
        st.just(Role.ASSISTANT),
        st.builds(ToolCallRequest, st.lists(calls, min_size=1, max_size=3).map(tuple)),
    ),
    st.tuples(
        st.just(Role.TOOL),
        st.builds(
            ToolResult, call_ids, st.just("tool"), st.just(ToolStatus.SUCCEEDED), st.text(max_size=2)
        ),
    ),
)
states = st.sampled_from([MessageState.COMPLETE, MessageState.COMPLETE, MessageState.ABORTED])


@st.composite
def branches(draw: st.DrawFn) -> tuple[Message, ...]:
    drawn = draw(st.lists(st.tuples(contents, states), max_size=12))
    return chain([(role, content, state) for (role, content), state in drawn])


def chain(contents: list[tuple[Role, Content, MessageState]]) -> tuple[Message, ...]:
    return tuple(
        Message(
            message_id=f"m{number}",
            parent_id=f"m{number - 1}" if number else None,
            role=role,
            content=content,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            state=state,
        )
        for number, (role, content, state) in enumerate(contents)
    )


@given(branches())
def test_every_tool_call_that_is_sent_has_exactly_one_result_right_behind_it(
    branch: tuple[Message, ...],
) -> None:
    sent = list(sendable(branch))

    while sent:
        message = sent.pop(0)
        assert not isinstance(message.content, ToolResult), "a result without its call"
        if isinstance(message.content, ToolCallRequest):
            results = [sent.pop(0).content for _ in message.content.calls]
            assert [getattr(result, "call_id", None) for result in results] == [
                call.call_id for call in message.content.calls
            ]


@given(branches())
def test_what_users_said_is_sent_whole_and_in_order(branch: tuple[Message, ...]) -> None:
    sent = sendable(branch)

    assert [m for m in sent if m.role is Role.USER] == [m for m in branch if m.role is Role.USER]
    assert len({message.message_id for message in sent}) == len(sent)


def test_a_thought_without_text_is_sent_where_it_led_to_calls() -> None:
    request = ToolCallRequest((ToolCall("call_0", "tool", "{}"),))
    thought = (Role.ASSISTANT, Text("", "hm"))
    branch = chain(
        [
            (*thought, MessageState.ABORTED),
            (*thought, MessageState.COMPLETE),
            (Role.ASSISTANT, request, MessageState.COMPLETE),
            (*thought, MessageState.ABORTED),
            (Role.ASSISTANT, request, MessageState.ABORTED),
            (*thought, MessageState.COMPLETE),
        ]
    )

    assert [message.message_id for message in sendable(branch)][:2] == [
        branch[1].message_id,
        branch[2].message_id,
    ]
    assert len(sendable(branch)) == 3


def test_a_call_id_that_is_used_again_keeps_the_results_apart() -> None:
    request = ToolCallRequest((ToolCall("call_0", "tool", "{}"),))
    result = (Role.TOOL, ToolStatus.SUCCEEDED)
    branch = chain(
        [
            (Role.ASSISTANT, request, MessageState.COMPLETE),
            (result[0], ToolResult("call_0", "tool", result[1], "first"), MessageState.COMPLETE),
            (Role.ASSISTANT, request, MessageState.COMPLETE),
            (result[0], ToolResult("call_0", "tool", result[1], "second"), MessageState.COMPLETE),
        ]
    )

    outputs = [
        message.content.output for message in sendable(branch) if isinstance(message.content, ToolResult)
    ]

    assert outputs == ["first", "second"]


def test_a_question_counts_as_unanswered_until_an_answer_is_complete() -> None:
    question, partial = chain(
        [
            (Role.USER, Text("why?"), MessageState.COMPLETE),
            (Role.ASSISTANT, Text("beca"), MessageState.ABORTED),
        ]
    )
    tree = ConversationTree([question, partial])

    assert tree.unanswered_question(None) is None
    assert tree.unanswered_question("m0") == question
    assert tree.unanswered_question("m1") == question

    (complete,) = chain([(Role.ASSISTANT, Text("because"), MessageState.COMPLETE)])
    tree = ConversationTree([complete])
    assert tree.unanswered_question("m0") is None
