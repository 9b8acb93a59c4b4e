from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.answer import Answer
from actors.conversation import FinishReason, ToolCall, Usage
from actors.models import OpenAIResponsesParser
from tests.actors.models.cut_streams import CutStream, Recordings, events_of, received, written_and_cut
from tests.actors.models.stream_samples import answer_of, sse

RECORDINGS = Recordings("openai-responses")

SAMPLE = [
    json.dumps(event, ensure_ascii=False)
    for event in (
        {"type": "response.created", "response": {"status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "r"}},
        {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "hm ü"},
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": {"type": "reasoning", "id": "r", "encrypted_content": "E"},
        },
        {"type": "response.output_text.delta", "output_index": 1, "delta": "Grüße 👋\u2028\u0085"},
        {
            "type": "response.output_item.added",
            "output_index": 2,
            "item": {"type": "function_call", "id": "i", "call_id": "c", "name": "f", "arguments": ""},
        },
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"x": "'},
        {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": 'ß"}'},
        {
            "type": "response.completed",
            "response": {"status": "completed", "usage": {"input_tokens": 7, "output_tokens": 9}},
        },
    )
]


def folded(events: list[str]) -> tuple[Answer, list[Any]]:
    """The answer by the plainest reading of the format, and the items that only OpenAI understands."""
    text = thought = ""
    calls: list[ToolCall] = []
    kept: list[dict[str, Any]] = []
    usage = Usage()
    has_called = False
    for event in map(json.loads, events):
        match event["type"]:
            case "response.output_text.delta" | "response.refusal.delta":
                text += event["delta"]
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                thought += event["delta"]
            case "response.output_item.done":
                item = event["item"]
                if item["type"] == "function_call":
                    calls.append(ToolCall(item["call_id"], item["name"], item["arguments"]))
                    has_called = True
                elif item["type"] != "message":
                    kept.append(item)
            case "response.created":
                has_called = False
            case "response.completed":
                counted = event["response"]["usage"]
                usage += Usage(
                    input_tokens=counted["input_tokens"],
                    output_tokens=counted["output_tokens"],
                    cached_input_tokens=counted["input_tokens_details"]["cached_tokens"],
                    reasoning_tokens=counted["output_tokens_details"]["reasoning_tokens"],
                )
            case _:
                pass
    finish = FinishReason.TOOL_CALLS if has_called else FinishReason.STOP
    return Answer(text, thought, tuple(calls), finish, usage), kept


def without_items(answer: Answer) -> Answer:
    return Answer(answer.text, answer.thought, answer.tool_calls, answer.finish_reason, answer.usage)


@RECORDINGS.needed
@RECORDINGS.every
def test_every_recording_is_parsed_without_loss(recording: Path) -> None:
    events = events_of(recording)
    parser = OpenAIResponsesParser()

    answer = answer_of([part for event in events for part in parser.feed(event)] + parser.end())

    expected, kept = folded(events)
    assert without_items(answer) == expected
    items = [json.loads(item.data) for item in answer.provider_items]
    assert [item for item in items if item["type"] not in {"function_call", "message"}] == kept


@RECORDINGS.needed
@RECORDINGS.every
def test_a_whole_answer_is_read_without_loss(recording: Path) -> None:
    response = json.loads(events_of(recording)[-1])["response"]
    contents = [content for item in response["output"] for content in item.get("content") or ()]

    answer = answer_of(OpenAIResponsesParser().feed(json.dumps(response)))

    assert answer.text == "".join(content["text"] for content in contents)
    assert [call.call_id for call in answer.tool_calls] == [
        item["call_id"] for item in response["output"] if item["type"] == "function_call"
    ]
    assert answer.usage is not None
    assert answer.usage.input_tokens == response["usage"]["input_tokens"]


@RECORDINGS.needed
@RECORDINGS.every
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_recording_reads_the_same_however_it_is_written_and_cut(
    recording: Path, data: st.DataObject
) -> None:
    events = events_of(recording)

    answer = answer_of(received(data.draw(written_and_cut(events)), OpenAIResponsesParser))

    assert without_items(answer) == folded(events)[0]


@given(data=st.data())
def test_our_sample_reads_the_same_however_it_is_written_and_cut(data: st.DataObject) -> None:
    whole = received(CutStream(sse(SAMPLE), []), OpenAIResponsesParser)

    assert received(data.draw(written_and_cut(SAMPLE)), OpenAIResponsesParser) == whole


def test_our_sample_reads_the_same_cut_at_every_single_byte() -> None:
    content = sse(SAMPLE)

    cut = received(CutStream(content, list(range(len(content)))), OpenAIResponsesParser)

    assert cut == received(CutStream(content, []), OpenAIResponsesParser)
    assert answer_of(cut).tool_calls == (ToolCall("c", "f", '{"x": "ß"}'),)
