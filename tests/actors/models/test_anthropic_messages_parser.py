from __future__ import annotations

import json
from typing import Any

import pytest

from actors.answer import Answer
from actors.conversation import (
    FinishPart,
    FinishReason,
    Part,
    ProviderItem,
    TextPart,
    ThoughtPart,
    ToolCall,
    Usage,
    UsagePart,
)
from actors.errors import EngineError, ErrorCode
from actors.models import AnthropicMessagesParser
from tests.actors.models.stream_samples import answer_of

WIRE = "anthropic-messages"
DONE = '{"type": "message_stop"}'


def start(block: dict[str, Any], index: int = 0) -> str:
    return json.dumps({"type": "content_block_start", "index": index, "content_block": block})


def delta(kind: str, index: int = 0, **fields: Any) -> str:
    return json.dumps(
        {"type": "content_block_delta", "index": index, "delta": {"type": f"{kind}_delta", **fields}}
    )


def stop(index: int = 0) -> str:
    return json.dumps({"type": "content_block_stop", "index": index})


def ending(reason: str | None = "end_turn", **usage: Any) -> str:
    event = {"type": "message_delta", "delta": {"stop_reason": reason}}
    return json.dumps({**event, "usage": usage} if usage else event)


def parse(*events: str) -> list[Part]:
    parser = AnthropicMessagesParser()
    return [part for event in events for part in parser.feed(event)] + parser.end()


def answer(*events: str) -> Answer:
    return answer_of(parse(*events, ending(), DONE))


def items_of(*events: str) -> list[dict[str, Any]]:
    return [json.loads(item.data) for item in answer(*events).provider_items]


def failure_of(*events: str) -> EngineError:
    with pytest.raises(EngineError) as caught:
        parse(*events)
    return caught.value


def test_each_text_delta_becomes_a_part_and_empty_ones_none() -> None:
    text = start({"type": "text", "text": ""})

    deltas = [delta("text", text=piece) for piece in ("Hel", "", "lo")]

    assert parse(text, *deltas, stop(), ending(), DONE) == [
        TextPart("Hel"),
        TextPart("lo"),
        FinishPart(FinishReason.STOP),
    ]


def test_text_that_its_block_begins_with_counts() -> None:
    assert answer(start({"type": "text", "text": "Hel"}), delta("text", text="lo")).text == "Hello"


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("tool_use", FinishReason.TOOL_CALLS),
        ("refusal", FinishReason.REFUSAL),
        ("pause_turn", FinishReason.OTHER),
        ("something new", FinishReason.OTHER),
    ],
)
def test_stop_reasons_have_one_vocabulary(written: str, reason: FinishReason) -> None:
    assert parse(ending(written), DONE) == [FinishPart(reason)]


@pytest.mark.parametrize(
    "event",
    [
        '{"type": "ping"}',
        "",
        "[DONE]",
        "{}",
        '{"type": "news", "delta": "of any shape", "index": "x"}',
        '{"type": "content_block_delta", "index": 0, "delta": {"type": "news_delta", "news": 5}}',
        '{"type": "content_block_stop", "index": 7}',
        '{"type": "message_delta", "delta": {}}',
    ],
)
def test_an_event_without_news_is_no_part(event: str) -> None:
    assert AnthropicMessagesParser().feed(event) == []


def test_an_end_without_a_stop_reason_is_known_by_the_last_event() -> None:
    call = start({"type": "tool_use", "id": "a", "name": "f", "input": {}})

    assert answer_of(parse(DONE)).finish_reason is FinishReason.STOP
    assert answer_of(parse(call, DONE)).finish_reason is FinishReason.TOOL_CALLS


@pytest.mark.parametrize("events", [(), (delta("text", text="half"),), (ending(None),)])
def test_a_stream_that_ends_too_early_is_a_network_error(events: tuple[str, ...]) -> None:
    assert failure_of(*events).code is ErrorCode.NETWORK_ERROR


def test_an_event_is_known_by_its_name_where_its_data_has_no_type() -> None:
    parser = AnthropicMessagesParser()
    data = '{"index": 0, "delta": {"type": "text_delta", "text": "x"}}'

    assert parser.feed(data, "content_block_delta") == [TextPart("x")]
    assert parser.feed("{}", "message") == []
    with pytest.raises(EngineError, match="broken"):
        parser.feed('{"error": {"message": "broken"}}', "message")


# --- usage -------------------------------------------------------------------------------------------


def test_input_is_all_that_was_read_and_later_counts_win() -> None:
    begun = {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "output_tokens": 1,
    }
    events = (
        json.dumps({"type": "message_start", "message": {"content": [], "usage": begun}}),
        ending(output_tokens=9, input_tokens=0, output_tokens_details={"thinking_tokens": 4}),
        DONE,
    )

    assert [part for part in parse(*events) if isinstance(part, UsagePart)] == [
        UsagePart(Usage(130, 1, 100, 0, 20)),
        UsagePart(Usage(130, 9, 100, 4, 20)),
    ]


# --- thoughts and what only Anthropic understands ----------------------------------------------------


def test_a_thought_is_told_as_it_comes_and_kept_with_its_signature() -> None:
    events = (
        start({"type": "thinking", "thinking": "", "signature": ""}),
        delta("thinking", thinking="let me "),
        delta("thinking", thinking="see"),
        delta("signature", signature="Sig"),
        delta("signature", signature="nature"),
        stop(),
    )

    assert [part for part in parse(*events, ending(), DONE) if isinstance(part, ThoughtPart)] == [
        ThoughtPart("let me "),
        ThoughtPart("see"),
    ]
    assert items_of(*events) == [{"type": "thinking", "thinking": "let me see", "signature": "Signature"}]


def test_a_redacted_thought_is_kept_and_not_told() -> None:
    block = {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3"}

    told = answer(start(block), stop())

    assert (told.thought, told.text) == ("", "")
    assert [json.loads(item.data) for item in told.provider_items] == [block]


def test_items_stand_behind_the_text_that_came_before_them() -> None:
    use: dict[str, Any] = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    result = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"url": "x"}]}

    told = answer(
        start({"type": "text", "text": ""}),
        delta("text", text="Look: "),
        stop(),
        start(use, 1),
        delta("input_json", 1, partial_json='{"query":'),
        delta("input_json", 1, partial_json=' "x"}'),
        stop(1),
        start(result, 2),
        stop(2),
        start({"type": "text", "text": "found"}, 3),
        stop(3),
    )

    assert told.text == "Look: found"
    assert told.tool_calls == ()
    assert [(item.wire, item.offset, json.loads(item.data)) for item in told.provider_items] == [
        (WIRE, 6, {**use, "input": {"query": "x"}}),
        (WIRE, 6, result),
    ]


def test_a_block_of_an_unknown_type_is_kept_with_all_that_its_deltas_add() -> None:
    events = (
        start({"type": "novelty", "content": None, "text": "a", "rest": [1.50]}),
        delta("novelty", content="so"),
        delta("novelty", content=" new"),
        delta("text", text="b"),
        stop(),
    )

    assert items_of(*events) == [{"type": "novelty", "content": "so new", "text": "ab", "rest": [1.50]}]


def test_an_item_is_kept_as_it_was_written() -> None:
    block = '{"type": "redacted_thinking",  "data": "\\u00fc", "weight": 1.10}'
    event = f'{{"type": "content_block_start", "index": 0, "content_block": {block}}}'

    assert answer(event, stop()).provider_items == (ProviderItem(WIRE, block),)


# --- tool calls --------------------------------------------------------------------------------------


def tool(call_id: str = "a", name: str = "f", index: int = 0, **fields: Any) -> str:
    return start({"type": "tool_use", "id": call_id, "name": name, "input": {}, **fields}, index)


@pytest.mark.parametrize(
    ("events", "arguments"),
    [
        ((tool(), stop()), "{}"),
        ((tool(), delta("input_json", partial_json=""), stop()), "{}"),
        ((tool(input=None), stop()), "{}"),
        (
            (
                tool(),
                delta("input_json", partial_json='{"x"'),
                delta("input_json", partial_json=": 1}"),
                stop(),
            ),
            '{"x": 1}',
        ),
        ((tool(input={"x": 1}), stop()), '{"x": 1}'),
        ((tool(input={"x": 1}), delta("input_json", partial_json=""), stop()), '{"x": 1}'),
        ((tool(),), "{}"),
        ((tool(input={"x": 1}),), '{"x": 1}'),
    ],
)
def test_arguments_come_in_pieces_or_whole_or_not_at_all(events: tuple[str, ...], arguments: str) -> None:
    assert answer(*events).tool_calls == (ToolCall("a", "f", arguments),)


def test_calls_whose_blocks_overlap_are_told_apart() -> None:
    assert answer(
        tool("a", "f", 0),
        tool("b", "g", 1),
        delta("input_json", 1, partial_json='{"y":2}'),
        delta("input_json", 0, partial_json='{"x":1}'),
        stop(0),
        stop(1),
    ).tool_calls == (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", '{"y":2}'))


def test_missing_and_repeated_ids_are_replaced() -> None:
    ids = [
        call.call_id
        for call in answer(
            tool("", "f", 0), stop(0), tool("a", "g", 1), stop(1), tool("a", "h", 2), stop(2)
        ).tool_calls
    ]

    assert ids == ["call_0", "a", "call_2"]


def test_a_call_that_nothing_stands_behind_is_in_the_conversation_alone() -> None:
    assert items_of(tool(), stop(), tool("b", index=1), stop(1)) == []


def test_a_call_is_kept_in_its_place_where_an_item_stands_behind_it() -> None:
    events = (tool(), delta("input_json", partial_json='{"x":1}'), stop())
    thought = {"type": "redacted_thinking", "data": "D"}

    assert items_of(*events, start(thought, 1), stop(1)) == [
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        thought,
    ]


@pytest.mark.parametrize(
    ("caller", "is_kept"), [({"type": "direct"}, False), ({"type": "program", "tool_id": "s"}, True)]
)
def test_a_call_by_a_program_is_kept_with_what_says_so(caller: dict[str, str], is_kept: bool) -> None:
    items = items_of(tool(caller=caller), stop())

    assert [item["caller"] for item in items] == [caller] * is_kept


# --- whole answers and errors ------------------------------------------------------------------------


def test_an_answer_that_was_not_streamed_is_one_event() -> None:
    parser = AnthropicMessagesParser()
    whole: dict[str, Any] = {
        "type": "message",
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "S"},
            {"type": "text", "text": "Both:"},
            {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "b", "name": "g", "input": {}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }

    told = answer_of(parser.feed(json.dumps(whole).encode()))

    assert (told.text, told.thought) == ("Both:", "hm")
    assert told.tool_calls == (ToolCall("a", "f", '{"x": 1}'), ToolCall("b", "g", "{}"))
    assert (told.finish_reason, told.usage) == (FinishReason.TOOL_CALLS, Usage(1, 2))
    assert [item.offset for item in told.provider_items] == [0]


@pytest.mark.parametrize(
    ("event", "code", "kind"),
    [
        (
            '{"type": "error", "error": {"type": "overloaded_error", "message": "no"}}',
            ErrorCode.EXECUTION_FAILED,
            "overloaded",
        ),
        (
            '{"type": "error", "error": {"type": "rate_limit_error", "message": "no"}}',
            ErrorCode.QUOTA_EXCEEDED,
            None,
        ),
        (
            '{"type": "error", "error": {"type": "authentication_error", "message": "no"}}',
            ErrorCode.FORBIDDEN,
            None,
        ),
        (
            '{"type": "error", "error": {"type": "billing_error", "message": "no"}}',
            ErrorCode.FORBIDDEN,
            "insufficient_quota",
        ),
        (
            '{"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}',
            ErrorCode.INVALID_ARGUMENT,
            None,
        ),
        (
            '{"type": "error", "error": {"type": "api_error", "message": "no"}}',
            ErrorCode.EXECUTION_FAILED,
            None,
        ),
        (
            '{"error": {"type": "overloaded_error", "message": "no"}}',
            ErrorCode.EXECUTION_FAILED,
            "overloaded",
        ),
        ('{"type": "overloaded_error", "message": "no"}', ErrorCode.EXECUTION_FAILED, "overloaded"),
    ],
)
@pytest.mark.parametrize("before", [(), (delta("text", text="half"),)])
def test_an_error_inside_the_stream_keeps_its_meaning(
    event: str, code: ErrorCode, kind: str | None, before: tuple[str, ...]
) -> None:
    error = failure_of(*before, event)

    assert (error.code, error.details.get("kind")) == (code, kind)
    assert str(error) == "the provider reported: no"


def test_an_overload_inside_the_stream_is_counted_like_its_status() -> None:
    event = '{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}'

    assert failure_of(event).details["http_status"] == 529


@pytest.mark.parametrize("data", ['{"message": "broken"}', "broken"])
def test_an_event_named_error_is_an_error_whatever_it_holds(data: str) -> None:
    with pytest.raises(EngineError, match="broken"):
        AnthropicMessagesParser().feed(data, "error")


@pytest.mark.parametrize(
    "event",
    [
        "{",
        "5",
        "[]",
        "hello secret",
        '{"type": "content_block_delta", "delta": {"type": "text_delta", "text": ["secret"]}}',
        '{"type": "message_start", "message": {"usage": "secret"}}',
        '{"type": "content_block_start", "content_block": {"type": 5}}',
    ],
)
def test_a_malformed_event_is_named_and_not_quoted(event: str) -> None:
    error = failure_of(event)

    assert error.code is ErrorCode.EXECUTION_FAILED
    assert "malformed chunk" in str(error)
    assert "secret" not in str(error)


def test_several_messages_in_one_stream_are_one_answer() -> None:
    def message(tokens: int) -> str:
        usage = {"input_tokens": tokens, "output_tokens": 1}
        return json.dumps({"type": "message_start", "message": {"content": [], "usage": usage}})

    told = answer_of(
        parse(
            *(message(3), delta("text", text="a"), ending("pause_turn"), DONE),
            *(message(4), delta("text", text="b"), ending(), DONE),
        )
    )

    assert told == Answer(text="ab", finish_reason=FinishReason.STOP, usage=Usage(7, 2))
