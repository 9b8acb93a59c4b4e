from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.answer import Answer
from actors.conversation import FinishReason, ToolCall, Usage
from actors.models import AnthropicMessagesParser
from tests.actors.models.cut_streams import CutStream, Recordings, events_of, received, written_and_cut
from tests.actors.models.stream_samples import answer_of, sse

RECORDINGS = Recordings("anthropic-messages")
REASONS = {
    "end_turn": FinishReason.STOP,
    "tool_use": FinishReason.TOOL_CALLS,
    "max_tokens": FinishReason.LENGTH,
}

EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "ping"},
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "hm ü"},
    },
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "S"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "text_delta", "text": "Grüße 👋\u2028\u0085"},
    },
    {"type": "content_block_stop", "index": 1},
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
    },
    {
        "type": "content_block_delta",
        "index": 2,
        "delta": {"type": "input_json_delta", "partial_json": '{"x": "'},
    },
    {
        "type": "content_block_delta",
        "index": 2,
        "delta": {"type": "input_json_delta", "partial_json": 'ß"}'},
    },
    {"type": "content_block_stop", "index": 2},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
]
SAMPLE = [json.dumps(event, ensure_ascii=False) for event in EVENTS]


def folded(events: list[str]) -> tuple[Answer, list[dict[str, Any]]]:
    """The answer by the plainest reading of the format, and the blocks that only Anthropic understands."""
    text = thought = finish = ""
    calls: list[ToolCall] = []
    blocks: list[dict[str, Any]] = []
    kept: list[dict[str, Any]] = []
    usage: list[dict[str, Any]] = []
    for event in map(json.loads, events):
        match event["type"]:
            case "message_start":
                usage.append(dict(event["message"]["usage"]))
                finish = event["message"].get("stop_reason") or finish
                calls += [
                    ToolCall(block["id"], block["name"], json.dumps(block["input"]))
                    for block in event["message"]["content"]
                ]
                blocks.clear()
            case "content_block_start":
                blocks.append({**event["content_block"], "json": ""})
            case "content_block_delta":
                delta, block = event["delta"], blocks[int(event["index"])]
                block["json"] += delta.get("partial_json", "")
                block["text"] = block.get("text", "") + delta.get("text", "")
                text += delta.get("text", "")
                thought += delta.get("thinking", "")
            case "content_block_stop":
                block = blocks[int(event["index"])]
                given = block["json"] or json.dumps(block.get("input"))
                if block["type"] == "tool_use":
                    calls.append(ToolCall(block["id"], block["name"], given))
                elif block["type"] != "text":
                    own = {name: block[name] for name in block if name not in {"json", "text"}}
                    kept.append({**own, "input": json.loads(given)} if "input" in own else own)
            case "message_delta":
                finish = event["delta"]["stop_reason"]
                usage[-1].update(event["usage"])
            case _:
                pass
    read = [each.get("cache_read_input_tokens", 0) for each in usage]
    written = [each.get("cache_creation_input_tokens", 0) for each in usage]
    answer = Answer(
        text=text,
        thought=thought,
        tool_calls=tuple(calls),
        finish_reason=REASONS[finish],
        usage=Usage(
            input_tokens=sum(each["input_tokens"] for each in usage) + sum(read) + sum(written),
            output_tokens=sum(each["output_tokens"] for each in usage),
            cached_input_tokens=sum(read),
            cache_write_tokens=sum(written),
        ),
    )
    return answer, kept


def compact(answer: Answer) -> Answer:
    """Without items, and with arguments that are written one way."""
    calls = tuple(
        ToolCall(call.call_id, call.name, json.dumps(json.loads(call.arguments)))
        for call in answer.tool_calls
    )
    return Answer(answer.text, answer.thought, calls, answer.finish_reason, answer.usage)


@RECORDINGS.needed
@RECORDINGS.every
def test_every_recording_is_parsed_without_loss(recording: Path) -> None:
    events = events_of(recording)
    parser = AnthropicMessagesParser()

    answer = answer_of([part for event in events for part in parser.feed(event)] + parser.end())

    expected, blocks = folded(events)
    assert compact(answer) == compact(expected)
    items = [json.loads(item.data) for item in answer.provider_items]
    assert [item for item in items if item["type"] != "tool_use"] == blocks


@RECORDINGS.needed
@RECORDINGS.every
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_recording_reads_the_same_however_it_is_written_and_cut(
    recording: Path, data: st.DataObject
) -> None:
    events = events_of(recording)

    answer = answer_of(received(data.draw(written_and_cut(events)), AnthropicMessagesParser))

    assert compact(answer) == compact(folded(events)[0])


@given(data=st.data())
def test_our_sample_reads_the_same_however_it_is_written_and_cut(data: st.DataObject) -> None:
    whole = received(CutStream(sse(SAMPLE), []), AnthropicMessagesParser)

    assert received(data.draw(written_and_cut(SAMPLE)), AnthropicMessagesParser) == whole


def test_our_sample_reads_the_same_cut_at_every_single_byte() -> None:
    content = sse(SAMPLE)

    cut = received(CutStream(content, list(range(len(content)))), AnthropicMessagesParser)

    assert cut == received(CutStream(content, []), AnthropicMessagesParser)
    assert answer_of(cut).text == "Grüße 👋\u2028\u0085"
