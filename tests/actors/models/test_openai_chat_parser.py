from __future__ import annotations

import json

import pytest

from actors.answer import Answer
from actors.conversation import (
    FinishPart,
    FinishReason,
    Part,
    TextPart,
    ThoughtPart,
    ToolCall,
    Usage,
    UsagePart,
)
from actors.errors import EngineError, ErrorCode
from actors.models import OpenAIChatParser
from tests.actors.models.stream_samples import answer_of, chunk, said, tool_delta, tools


def parse(*events: str) -> list[Part]:
    parser = OpenAIChatParser()
    parts = [part for event in events for part in parser.feed(event)]
    return parts + parser.end()


def calls_of(*events: str) -> tuple[ToolCall, ...]:
    return answer_of(parse(*events, chunk(finish="tool_calls"))).tool_calls


def failure_of(*events: str) -> EngineError:
    with pytest.raises(EngineError) as caught:
        parse(*events)
    return caught.value


def test_each_text_delta_becomes_a_part_and_empty_ones_none() -> None:
    assert parse(said(""), said("Hel"), said("lo"), said("", "stop"), "[DONE]") == [
        TextPart("Hel"),
        TextPart("lo"),
        FinishPart(FinishReason.STOP),
    ]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("stop", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("tool_calls", FinishReason.TOOL_CALLS),
        ("function_call", FinishReason.TOOL_CALLS),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("eos", FinishReason.OTHER),
    ],
)
def test_finish_reasons_have_one_vocabulary(written: str, reason: FinishReason) -> None:
    assert answer_of(parse(said("x"), chunk(finish=written))).finish_reason is reason


def test_an_empty_finish_reason_is_none() -> None:
    assert parse(said("a", ""), said("b", "stop")) == [
        TextPart("a"),
        TextPart("b"),
        FinishPart(FinishReason.STOP),
    ]


def test_a_repeated_finish_reason_is_told_once() -> None:
    assert parse(said("a", "tool_calls"), said("", "stop")) == [
        TextPart("a"),
        FinishPart(FinishReason.TOOL_CALLS),
    ]


def test_only_the_first_choice_counts() -> None:
    other = json.dumps({"choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "stop"}]})

    assert answer_of(parse(other, said("first", "length"))) == Answer(
        text="first", finish_reason=FinishReason.LENGTH
    )


@pytest.mark.parametrize(
    "event",
    [
        "{}",
        '{"choices": null}',
        '{"choices": []}',
        '{"choices": [{}]}',
        '{"choices": [{"delta": null}]}',
        '{"choices": [{"delta": {"content": null, "tool_calls": null}}], "usage": null}',
        '{"type": "ping"}',
        '{"choices": [{"delta": {"tool_calls": [{}, {"function": {"name": ""}}]}}]}',
        "",
    ],
)
def test_an_event_without_news_is_no_part(event: str) -> None:
    assert OpenAIChatParser().feed(event) == []


def test_usage_after_the_finish_reason_is_counted() -> None:
    counted = {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 16},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }

    parts = parse(said("x", "stop"), json.dumps({"choices": [], "usage": counted}), "[DONE]")

    assert parts[-1] == UsagePart(Usage(20, 9, 16, 5))


def test_usage_that_every_chunk_repeats_is_told_when_it_changes() -> None:
    def counted(tokens: int) -> str:
        return chunk({"content": "x"}, usage={"prompt_tokens": 3, "completion_tokens": tokens})

    parts = parse(counted(1), counted(1), counted(2), chunk(finish="stop"))

    assert [part for part in parts if isinstance(part, UsagePart)] == [
        UsagePart(Usage(3, 1)),
        UsagePart(Usage(3, 2)),
    ]


def test_usage_inside_the_choice_and_in_floats_is_understood() -> None:
    event = '{"choices": [{"delta": {}, "finish_reason": "stop", "usage": {"prompt_tokens": 4.0}}]}'

    assert answer_of(parse(event)).usage == Usage(input_tokens=4)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_thought_has_either_name(field: str) -> None:
    assert parse(chunk({field: "hm"}), chunk(finish="stop"))[0] == ThoughtPart("hm")


def test_a_thought_under_both_names_is_not_doubled() -> None:
    parts = parse(chunk({"reasoning": "hm", "reasoning_content": "hm"}), said("x", "stop"))

    assert answer_of(parts).thought == "hm"


def test_a_thought_of_an_unknown_shape_does_not_cost_the_answer() -> None:
    parts = parse(chunk({"reasoning": {"steps": []}, "content": "x"}), chunk(finish="stop"))

    assert answer_of(parts).text == "x"


def test_typed_pieces_are_told_apart() -> None:
    pieces = [
        {
            "type": "thinking",
            "thinking": [{"type": "text", "text": "let me "}, {"type": "text", "text": "see"}],
        },
        {"type": "thinking", "thinking": "!"},
        {"type": "text", "text": "2"},
        {"type": "reference", "reference_ids": [1]},
        {"type": "text", "text": "2"},
    ]

    answer = answer_of(parse(chunk({"content": pieces}), chunk(finish="stop")))

    assert (answer.thought, answer.text) == ("let me see!", "22")


def test_a_refusal_is_what_the_model_said() -> None:
    assert answer_of(parse(chunk({"refusal": "I cannot."}), chunk(finish="stop"))).text == "I cannot."


def test_an_answer_that_was_not_streamed_is_one_event() -> None:
    message = {
        "role": "assistant",
        "content": "Both:",
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": '{"x": 1}'}},
        ],
    }
    completion = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }

    assert answer_of(parse(json.dumps(completion))) == Answer(
        text="Both:",
        thought="hm",
        tool_calls=(ToolCall("a", "f", "{}"), ToolCall("b", "g", '{"x": 1}')),
        finish_reason=FinishReason.TOOL_CALLS,
        usage=Usage(1, 2),
    )


# --- tool calls --------------------------------------------------------------------------------------


def test_two_calls_by_the_book() -> None:
    assert calls_of(
        tools(tool_delta(index=0, call_id="a", name="f", arguments="")),
        tools(tool_delta(index=0, arguments='{"x"')),
        tools(tool_delta(index=0, arguments=": 1}")),
        tools(tool_delta(index=1, call_id="b", name="g", arguments="")),
        tools(tool_delta(index=1, arguments="{}")),
    ) == (ToolCall("a", "f", '{"x": 1}'), ToolCall("b", "g", "{}"))


def test_pieces_of_two_calls_may_alternate() -> None:
    assert calls_of(
        tools(
            tool_delta(index=0, call_id="a", name="f", arguments="["),
            tool_delta(index=1, call_id="b", name="g", arguments="{"),
        ),
        tools(tool_delta(index=1, arguments="}"), tool_delta(index=0, arguments="]")),
    ) == (ToolCall("a", "f", "[]"), ToolCall("b", "g", "{}"))


def test_a_piece_with_neither_id_nor_index_goes_on_with_the_current_call() -> None:
    assert calls_of(
        tools(tool_delta(call_id="a", name="f", arguments="{")),
        tools(tool_delta(arguments="}")),
        tools(tool_delta(call_id="b", name="g")),
        tools(tool_delta(arguments="{ }")),
    ) == (ToolCall("a", "f", "{}"), ToolCall("b", "g", "{ }"))


def test_a_new_id_on_an_occupied_index_is_a_new_call() -> None:
    assert calls_of(
        tools(tool_delta(index=0, call_id="a", name="f", arguments="{")),
        tools(tool_delta(index=0, arguments="}")),
        tools(tool_delta(index=0, call_id="b", name="f", arguments="{ ")),
        tools(tool_delta(index=0, arguments="}")),
    ) == (ToolCall("a", "f", "{}"), ToolCall("b", "f", "{ }"))


def test_a_known_id_wins_over_the_index() -> None:
    assert calls_of(
        tools(tool_delta(index=0, call_id="a", name="f", arguments="{")),
        tools(tool_delta(index=0, call_id="b", name="g", arguments="[")),
        tools(tool_delta(index=0, call_id="a", arguments="}")),
        tools(tool_delta(index=0, call_id="b", arguments="]")),
    ) == (ToolCall("a", "f", "{}"), ToolCall("b", "g", "[]"))


def test_empty_ids_and_names_that_come_later_say_nothing() -> None:
    assert calls_of(
        tools(tool_delta(index=0, call_id="a", name="f", arguments="")),
        tools(tool_delta(index=0, call_id="", name="", arguments="{")),
        tools(tool_delta(index=0, call_id="", name="", arguments="}")),
    ) == (ToolCall("a", "f", "{}"),)


def test_an_id_that_comes_late_is_adopted() -> None:
    assert calls_of(
        tools(tool_delta(index=0, name="f", arguments="")),
        tools(tool_delta(index=0, call_id="a", arguments="{}")),
    ) == (ToolCall("a", "f", "{}"),)


def test_a_repeated_id_and_name_do_not_begin_a_call() -> None:
    assert calls_of(
        tools(tool_delta(index=0, call_id="a", name="f", arguments='{"x": {}')),
        tools(tool_delta(index=0, call_id="a", name="f", arguments="}")),
        tools(tool_delta(index=0, call_id="a", name="f", arguments="")),
    ) == (ToolCall("a", "f", '{"x": {}}'),)


def test_whole_calls_at_index_0_under_an_empty_id_are_told_apart_and_get_ids() -> None:
    assert calls_of(
        tools(
            tool_delta(index=0, call_id="", name="f", arguments='{"x": 1}'),
            tool_delta(index=0, call_id="", name="f", arguments='{"x": 2}'),
            tool_delta(index=0, call_id="", name="g", arguments="{}"),
        )
    ) == (
        ToolCall("call_0", "f", '{"x": 1}'),
        ToolCall("call_1", "f", '{"x": 2}'),
        ToolCall("call_2", "g", "{}"),
    )


def test_two_calls_under_one_id_stay_two_calls_with_two_ids() -> None:
    assert calls_of(
        tools(tool_delta(index=0, call_id="call_1", name="f", arguments="{}")),
        tools(tool_delta(index=1, call_id="call_1", name="g", arguments='{"y"')),
        tools(tool_delta(index=1, call_id="call_1", arguments=": 2}")),
    ) == (ToolCall("call_1", "f", "{}"), ToolCall("call_1_", "g", '{"y": 2}'))


def test_arguments_as_an_object_are_kept_as_they_were_written() -> None:
    event = (
        '{"choices": [{"delta": {"tool_calls": [{"id": "a", "function": '
        '{"name": "f", "arguments": {"x":1.10, "y": "\\u00fc"}}}]}}]}'
    )

    assert calls_of(event) == (ToolCall("a", "f", '{"x":1.10, "y": "\\u00fc"}'),)


def test_a_call_without_arguments_has_none() -> None:
    assert calls_of(tools(tool_delta(index=0, call_id="a", name="f"))) == (ToolCall("a", "f", ""),)


# --- what goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize("events", [(), (said("half"),), (said("half"), "[DONE]")])
def test_an_end_without_a_finish_reason_is_a_network_error(events: tuple[str, ...]) -> None:
    error = failure_of(*events)

    assert error.code is ErrorCode.NETWORK_ERROR
    assert str(error) == "the stream ended before the answer was complete"


@pytest.mark.parametrize(
    "event",
    [
        "{",
        '{"choices": [{"delta": {"content": "sec',
        "5",
        '"text"',
        "[]",
        "hello",
        '{"choices": {"delta": {}}}',
        '{"choices": [{"delta": {"content": 5}}]}',
        '{"choices": [{"delta": {"tool_calls": [{"index": "secret"}]}}]}',
        '{"usage": "secret"}',
    ],
)
def test_a_malformed_chunk_is_named_and_not_quoted(event: str) -> None:
    error = failure_of(event)

    assert error.code is ErrorCode.EXECUTION_FAILED
    assert "malformed chunk" in str(error)
    assert "sec" not in str(error)


def test_a_character_that_a_server_cut_in_two_is_whole() -> None:
    first = '{"choices": [{"delta": {"content": "a \\\\ud83d b \\ud83d"}}]}'
    second = '{"choices": [{"delta": {"content": "\\uDC4B c"}, "finish_reason": "stop"}]}'

    assert answer_of(parse(first, second)).text == "a \\ud83d b 👋 c"


@pytest.mark.parametrize("half", ["\\ud83d", "\\udc4b"])
def test_half_a_character_that_stays_alone_costs_nothing_else(half: str) -> None:
    event = '{"choices": [{"delta": {"content": "a?b"}, "finish_reason": "stop"}]}'.replace("?", half)

    assert answer_of(parse(event)).text == "ab"


def test_bytes_that_are_not_utf_8_are_a_malformed_chunk() -> None:
    with pytest.raises(EngineError, match="malformed chunk"):
        OpenAIChatParser().feed(b'{"choices": [{"delta": {"content": "\xff"}}]}')


@pytest.mark.parametrize(
    ("event", "code", "said_by_provider"),
    [
        ('{"error": {"message": "overloaded", "code": 503}}', ErrorCode.EXECUTION_FAILED, "overloaded"),
        ('{"error": {"message": "slow down", "code": 429}}', ErrorCode.QUOTA_EXCEEDED, "slow down"),
        (
            '{"error": {"message": "too fast", "type": "rate_limit_error", "code": null}}',
            ErrorCode.QUOTA_EXCEEDED,
            "too fast",
        ),
        (
            '{"error": {"message": "no", "code": "context_length_exceeded"}}',
            ErrorCode.CONTEXT_LIMIT,
            "no",
        ),
        ('{"error": {"message": "who?", "code": "invalid_api_key"}}', ErrorCode.FORBIDDEN, "who?"),
        ('{"error": "broken"}', ErrorCode.EXECUTION_FAILED, "broken"),
        (
            '{"object": "error", "message": "bad", "type": "BadRequestError", "code": 400}',
            ErrorCode.INVALID_ARGUMENT,
            "bad",
        ),
        (
            '{"error": {"message": "gone", "code": 502}, "choices": [{"finish_reason": "error"}]}',
            ErrorCode.EXECUTION_FAILED,
            "gone",
        ),
    ],
)
def test_an_error_inside_the_stream_keeps_its_meaning(
    event: str, code: ErrorCode, said_by_provider: str
) -> None:
    error = failure_of(said("half"), event)

    assert error.code is code
    assert str(error) == f"the provider reported: {said_by_provider}"


@pytest.mark.parametrize("data", ['{"message": "broken"}', "broken", '{"error": {"message": "broken"}}'])
def test_an_event_named_error_is_an_error_whatever_it_holds(data: str) -> None:
    with pytest.raises(EngineError, match="broken"):
        OpenAIChatParser().feed(data, "error")


def test_done_is_known_once_the_provider_says_so() -> None:
    parser = OpenAIChatParser()
    parser.feed(said("x", "stop"))
    before = parser.done

    parser.feed("[DONE]")

    assert (before, parser.done) == (False, True)
