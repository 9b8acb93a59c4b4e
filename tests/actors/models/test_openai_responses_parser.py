from __future__ import annotations

import json
from typing import Any

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
)
from actors.errors import EngineError, ErrorCode
from actors.models import OpenAIResponsesParser
from tests.actors.models.stream_samples import answer_of


def event(kind: str, index: int | None = 0, **fields: Any) -> str:
    place = {} if index is None else {"output_index": index}
    return json.dumps({"type": f"response.{kind}", **place, **fields})


def begun(item: dict[str, Any], index: int | None = 0) -> str:
    return event("output_item.added", index, item=item)


def ended(item: dict[str, Any], index: int | None = 0) -> str:
    return event("output_item.done", index, item=item)


def ending(status: str = "completed", **fields: Any) -> str:
    return event(status, None, response={"status": status, **fields})


def call(**fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "id": "fc", "call_id": "a", "name": "f", "arguments": "", **fields}


def piece(arguments: str, index: int | None = 0, **fields: Any) -> str:
    return event("function_call_arguments.delta", index, delta=arguments, **fields)


DONE = ending()


def parse(*events: str) -> list[Part]:
    parser = OpenAIResponsesParser()
    return [part for each in events for part in parser.feed(each)] + parser.end()


def answer(*events: str) -> Answer:
    return answer_of(parse(*events, DONE))


def failure_of(*events: str) -> EngineError:
    with pytest.raises(EngineError) as caught:
        parse(*events)
    return caught.value


def test_each_text_delta_becomes_a_part_and_wholes_repeat_nothing() -> None:
    content = {"type": "output_text", "text": "Hello"}
    message = {"type": "message", "content": [content]}

    assert parse(
        begun({"type": "message", "content": []}),
        event("output_text.delta", content_index=0, delta="Hel"),
        event("output_text.delta", content_index=0, delta="lo"),
        event("output_text.done", content_index=0, text="Hello"),
        event("content_part.done", content_index=0, part=content),
        ended(message),
        ending(output=[message]),
    ) == [TextPart("Hel"), TextPart("lo"), FinishPart(FinishReason.STOP)]


@pytest.mark.parametrize(
    "events",
    [
        (event("output_text.done", content_index=0, text="Hi"),),
        (ended({"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}),),
        (ended({"type": "message", "content": "Hi"}),),
        (ending(output=[{"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}]),),
        (event("output_text.delta", None, delta="Hi"),),
    ],
)
def test_text_counts_wherever_it_comes_first(events: tuple[str, ...]) -> None:
    assert answer_of(parse(*events, DONE)).text == "Hi"


def test_a_whole_answer_is_one_event() -> None:
    parser = OpenAIResponsesParser()
    whole: dict[str, Any] = {
        "object": "response",
        "status": "completed",
        "error": None,
        "output": [
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "hm"}],
                "encrypted_content": "E",
            },
            {"type": "message", "content": [{"type": "output_text", "text": "Both:"}]},
            call(arguments='{"x":1}'),
            call(id="fd", call_id="b", name="g"),
        ],
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }

    told = answer_of(parser.feed(json.dumps(whole).encode()))

    assert (told.text, told.thought, told.usage) == ("Both:", "hm", Usage(1, 2))
    assert told.tool_calls == (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}"))
    assert told.finish_reason is FinishReason.TOOL_CALLS
    assert [json.loads(item.data) for item in told.provider_items] == [whole["output"][0]]


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (ending(), FinishReason.STOP),
        (ending("incomplete", incomplete_details={"reason": "max_output_tokens"}), FinishReason.LENGTH),
        (
            ending("incomplete", incomplete_details={"reason": "content_filter"}),
            FinishReason.CONTENT_FILTER,
        ),
        (ending("incomplete", incomplete_details={"reason": "news"}), FinishReason.OTHER),
        (ending("incomplete"), FinishReason.LENGTH),
        (event("done", None, response={"status": "completed"}), FinishReason.STOP),
    ],
)
def test_the_end_has_one_vocabulary(last: str, reason: FinishReason) -> None:
    assert answer_of(parse(event("output_text.delta", delta="x"), last)).finish_reason is reason


def test_a_refusal_is_what_the_model_said_and_how_it_ended() -> None:
    told = answer(event("refusal.delta", delta="I cannot."), event("refusal.done", refusal="I cannot."))

    assert (told.text, told.finish_reason) == ("I cannot.", FinishReason.REFUSAL)


@pytest.mark.parametrize("kind", ["reasoning_summary_text", "reasoning_text"])
def test_reasoning_is_a_thought(kind: str) -> None:
    parts = parse(event(f"{kind}.delta", delta="hm"), event(f"{kind}.done", text="hm"), DONE)

    assert parts == [ThoughtPart("hm"), FinishPart(FinishReason.STOP)]


@pytest.mark.parametrize(
    "data",
    [
        "",
        "[DONE]",
        "{}",
        '{"type": "keepalive"}',
        '{"type": "response.in_progress", "response": {}}',
        '{"type": "response.news", "delta": {"of": "any"}, "output_index": "shape"}',
        '{"type": "response.shell_call_output_content.delta", "delta": {"stdout": "x"}}',
        '{"type": "response.function_call_arguments.delta", "delta": "{"}',
    ],
)
def test_an_event_without_news_is_no_part(data: str) -> None:
    assert OpenAIResponsesParser().feed(data) == []


def test_usage_has_its_details() -> None:
    usage = {
        "input_tokens": 20,
        "output_tokens": 9,
        "input_tokens_details": {"cached_tokens": 16, "cache_write_tokens": 3},
        "output_tokens_details": {"reasoning_tokens": 5},
    }

    assert answer_of(parse(ending(usage=usage))).usage == Usage(20, 9, 16, 5, 3)


# --- tool calls --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "arguments"),
    [
        ((begun(call()), piece('{"x"'), piece(": 1}"), ended(call(arguments='{"x": 1}'))), '{"x": 1}'),
        ((begun(call()), piece('{"x"'), piece(": 1}")), '{"x": 1}'),
        ((begun(call()), event("function_call_arguments.done", arguments='{"x": 1}')), '{"x": 1}'),
        ((begun(call(arguments='{"x": 1}')), ended(call(arguments='{"x": 1}'))), '{"x": 1}'),
        ((begun(call(arguments='{"x": 1}')), piece('{"x": 1}')), '{"x": 1}'),
        ((begun(call()), piece('{"x"'), ended(call(arguments='{"x": 1}'))), '{"x": 1}'),
        ((ended(call(arguments='{"x": 1}')),), '{"x": 1}'),
        ((begun(call()), ended(call())), "{}"),
        ((begun(call()),), "{}"),
    ],
)
def test_arguments_come_in_pieces_or_whole_or_not_at_all(events: tuple[str, ...], arguments: str) -> None:
    told = answer(*events)

    assert told.tool_calls == (ToolCall("a", "f", arguments),)
    assert told.finish_reason is FinishReason.TOOL_CALLS


def test_calls_are_told_apart_by_their_index_where_ids_change_with_each_event() -> None:
    assert answer(
        begun(call(id="1"), 0),
        begun(call(id="2", call_id="b", name="g"), 1),
        piece('{"x":', 0, item_id="3"),
        piece('{"y":', 1, item_id="4"),
        piece("1}", 0, item_id="5"),
        piece("2}", 1, item_id="6"),
        ended(call(id="7", arguments='{"x":1}'), 0),
        ended(call(id="8", call_id="b", name="g", arguments='{"y":2}'), 1),
    ).tool_calls == (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", '{"y":2}'))


def test_calls_are_told_apart_by_their_ids_where_all_are_at_one_index() -> None:
    assert answer(
        begun(call(id="1")),
        begun(call(id="2", call_id="b", name="g")),
        piece('{"x":1}', item_id="1"),
        piece('{"y":2}', item_id="2"),
        ended(call(id="1", arguments='{"x":1}')),
        ended(call(id="2", call_id="b", name="g", arguments='{"y":2}')),
    ).tool_calls == (ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", '{"y":2}'))


def test_an_id_and_a_name_that_come_with_the_end_are_adopted() -> None:
    assert answer(
        begun(call(call_id="", name="")), piece("{}"), ended(call(arguments="{}"))
    ).tool_calls == (ToolCall("a", "f", "{}"),)


def test_a_custom_tool_is_called_with_its_input_and_kept() -> None:
    item = {"type": "custom_tool_call", "id": "c", "call_id": "a", "name": "grep", "input": 'say "x"'}

    told = answer(
        begun({**item, "input": ""}), event("custom_tool_call_input.delta", delta="s"), ended(item)
    )

    assert told.tool_calls == (
        ToolCall("a", "grep", json.dumps({"input": 'say "x"'}, separators=(",", ":"))),
    )
    assert [json.loads(each.data) for each in told.provider_items] == [item]


# --- what only OpenAI understands --------------------------------------------------------------------


def test_items_stand_behind_the_text_that_came_before_them() -> None:
    reasoning = {"type": "reasoning", "id": "r", "encrypted_content": "E", "summary": None}
    search = {"type": "web_search_call", "id": "ws", "status": "completed"}

    told = answer(
        event("output_text.delta", 0, delta="Look: "),
        ended(reasoning, 1),
        ended(search, 2),
        event("output_text.delta", 3, delta="found"),
    )

    assert [(item.offset, json.loads(item.data)) for item in told.provider_items] == [
        (6, reasoning),
        (6, search),
    ]


def test_a_call_is_kept_in_its_place_where_an_item_stands_behind_it() -> None:
    reasoning = {"type": "reasoning", "encrypted_content": "E"}

    told = answer(ended(call(arguments="{}")), ended(reasoning, 1))

    assert [json.loads(item.data)["type"] for item in told.provider_items] == ["function_call", "reasoning"]


def test_the_phase_of_a_message_is_kept_before_its_words() -> None:
    told = answer(
        begun({"type": "message", "phase": "commentary"}, 0),
        event("output_text.delta", 0, delta="Hm."),
        begun({"type": "message", "phase": "final_answer"}, 1),
        event("output_text.delta", 1, delta="So."),
    )

    assert [(item.offset, json.loads(item.data)["phase"]) for item in told.provider_items] == [
        (0, "commentary"),
        (3, "final_answer"),
    ]


# --- errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "code", "said_by_provider"),
    [
        ('{"type": "error", "code": "rate_limit_exceeded", "message": "slow"}', "QUOTA_EXCEEDED", "slow"),
        ('{"type": "error", "error": {"code": "server_error", "message": "oh"}}', "EXECUTION_FAILED", "oh"),
        ('{"error": {"code": 429, "message": "slow"}}', "QUOTA_EXCEEDED", "slow"),
        (
            ending("failed", error={"code": "rate_limit_exceeded", "message": "slow"}),
            "QUOTA_EXCEEDED",
            "slow",
        ),
        (
            ending("failed", error={"code": "context_length_exceeded", "message": "long"}),
            "CONTEXT_LIMIT",
            "long",
        ),
        (ending("failed", error={"code": "insufficient_quota", "message": "pay"}), "FORBIDDEN", "pay"),
        (ending("failed", error=None), "EXECUTION_FAILED", "without a message"),
        (ending("cancelled"), "EXECUTION_FAILED", "cancelled"),
    ],
)
@pytest.mark.parametrize("before", [(), (event("output_text.delta", delta="half"),)])
def test_an_error_inside_the_stream_keeps_its_meaning(
    last: str, code: str, said_by_provider: str, before: tuple[str, ...]
) -> None:
    error = failure_of(*before, last)

    assert error.code is ErrorCode(code)
    assert said_by_provider in str(error)


@pytest.mark.parametrize("events", [(), (event("output_text.delta", delta="half"),)])
def test_a_stream_that_ends_too_early_is_a_network_error(events: tuple[str, ...]) -> None:
    assert failure_of(*events).code is ErrorCode.NETWORK_ERROR


@pytest.mark.parametrize(
    "data",
    [
        "{",
        "5",
        "secret",
        '{"type": "response.output_item.done", "item": "secret"}',
        '{"type": "response.completed", "response": {"usage": "secret"}}',
        '{"type": "response.completed"}',
    ],
)
def test_a_malformed_event_is_named_and_not_quoted(data: str) -> None:
    error = failure_of(data)

    assert error.code is ErrorCode.EXECUTION_FAILED
    assert "malformed chunk" in str(error)
    assert "secret" not in str(error)


def test_several_responses_in_one_stream_are_one_answer() -> None:
    last = ending(usage={"input_tokens": 3, "output_tokens": 1})
    created = event("created", None, response={})

    told = answer_of(
        parse(
            created,
            begun(call()),
            last,
            created,
            event("output_text.delta", delta="b"),
            last,
        )
    )

    assert (told.text, told.finish_reason, told.usage) == ("b", FinishReason.STOP, Usage(6, 2))
    assert told.tool_calls == (ToolCall("a", "f", "{}"),)
