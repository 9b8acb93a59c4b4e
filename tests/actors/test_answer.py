"""Parts folded into an answer."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from actors.answer import Answer, AnswerBuilder
from actors.conversation import (
    FinishPart,
    FinishReason,
    Part,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolCallPart,
    Usage,
    UsagePart,
)

parts = st.lists(
    st.one_of(
        st.builds(TextPart, st.text(max_size=3)),
        st.builds(ThoughtPart, st.text(max_size=3)),
        st.builds(UsagePart, st.builds(Usage, st.integers(0, 9))),
        st.builds(FinishPart, st.sampled_from(FinishReason)),
    )
)


def folded(parts: list[Part]) -> Answer:
    builder = AnswerBuilder()
    builder.add(parts)
    return builder.build()


@given(parts, st.data())
def test_it_does_not_matter_how_parts_are_batched(parts: list[Part], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(parts)))
    builder = AnswerBuilder()
    builder.add(parts[:cut])
    builder.build()  # looking at a partial answer changes nothing
    builder.add(parts[cut:])

    assert builder.build() == folded(parts)


def test_texts_are_joined_and_of_the_rest_the_last_counts() -> None:
    answer = folded(
        [
            ThoughtPart("hm"),
            TextPart("a"),
            UsagePart(Usage(output_tokens=1)),
            TextPart("b"),
            UsagePart(Usage(output_tokens=2)),
            FinishPart(FinishReason.LENGTH),
        ]
    )

    assert answer == Answer("ab", "hm", (), FinishReason.LENGTH, Usage(output_tokens=2))


def test_pieces_of_interleaved_tool_calls_find_their_call() -> None:
    answer = folded(
        [
            ToolCallPart(0, "c0", "first"),
            ToolCallPart(1, "c1", "second", '{"b'),
            ToolCallPart(0, arguments='{"a": 1}'),
            ToolCallPart(1, arguments='": 2}'),
        ]
    )

    assert answer.tool_calls == (
        ToolCall("c0", "first", '{"a": 1}'),
        ToolCall("c1", "second", '{"b": 2}'),
    )
