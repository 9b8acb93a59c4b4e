from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.answer import Answer
from actors.conversation import FinishReason, ToolCall, Usage
from actors.models import OpenAIChatParser
from tests.actors.models.cut_streams import CutStream, Recordings, events_of, received, written_and_cut
from tests.actors.models.stream_samples import answer_of, said, sse, tool_delta, tools

RECORDINGS = Recordings("openai-chat")

SAMPLE = (
    said("Grüße, "),
    said("Welt 👋\u2028\u0085"),
    tools(tool_delta(index=0, call_id="a", name="f", arguments='{"x": "ß')),
    tools(tool_delta(index=0, arguments='"}')),
    said("", "tool_calls"),
    '{"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}',
    "[DONE]",
)


def folded(events: list[str]) -> Answer:
    """The answer by the plainest reading of the format, for recordings whose calls are by the book."""
    text = thought = finish = ""
    calls: dict[int, dict[str, str]] = {}
    usage: dict[str, Any] = {}
    for event in map(json.loads, events):
        usage = event.get("usage") or usage
        for choice in event["choices"]:
            finish = choice.get("finish_reason") or finish
            delta = choice["delta"]
            thought += delta.get("reasoning_content") or ""
            content: Any = delta.get("content") or ""
            if isinstance(content, str):
                text += content
            else:
                text += "".join(piece.get("text", "") for piece in content)
                thought += "".join(
                    inner["text"] for piece in content for inner in piece.get("thinking", [])
                )
            pieces: list[dict[str, Any]] = delta.get("tool_calls") or []
            for piece in pieces:
                call = calls.setdefault(piece.get("index", 0), {"id": "", "name": "", "arguments": ""})
                call["id"] = call["id"] or piece.get("id", "")
                call["name"] = call["name"] or piece["function"].get("name", "")
                call["arguments"] += piece["function"]["arguments"]
    return Answer(
        text=text,
        thought=thought,
        tool_calls=tuple(ToolCall(call["id"], call["name"], call["arguments"]) for call in calls.values()),
        finish_reason=FinishReason(finish),
        usage=Usage(
            usage["prompt_tokens"],
            usage["completion_tokens"],
            usage.get("prompt_tokens_details", {}).get("cached_tokens", 0),
            usage.get("completion_tokens_details", {}).get("reasoning_tokens", 0),
        ),
    )


@RECORDINGS.needed
@RECORDINGS.every
def test_every_recording_is_parsed_without_loss(recording: Path) -> None:
    events = events_of(recording)
    parser = OpenAIChatParser()

    parts = [part for event in events for part in parser.feed(event)] + parser.end()

    assert answer_of(parts) == folded(events)


def test_there_is_something_in_an_answer_to_lose() -> None:
    parser = OpenAIChatParser()

    parts = [part for event in SAMPLE for part in parser.feed(event)] + parser.end()

    assert answer_of(parts) == Answer(
        text="Grüße, Welt 👋\u2028\u0085",
        tool_calls=(ToolCall("a", "f", '{"x": "ß"}'),),
        finish_reason=FinishReason.TOOL_CALLS,
        usage=Usage(7, 3),
    )


@given(data=st.data())
def test_our_sample_reads_the_same_however_it_is_written_and_cut(data: st.DataObject) -> None:
    events = list(SAMPLE)

    assert received(data.draw(written_and_cut(events)), OpenAIChatParser) == received(
        CutStream(sse(events), []), OpenAIChatParser
    )


@RECORDINGS.needed
@RECORDINGS.every
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_every_recording_reads_the_same_however_it_is_written_and_cut(
    recording: Path, data: st.DataObject
) -> None:
    events = events_of(recording)

    assert answer_of(received(data.draw(written_and_cut(events)), OpenAIChatParser)) == folded(events)


def test_our_sample_reads_the_same_cut_at_every_single_byte() -> None:
    content = sse(SAMPLE)

    cut = received(CutStream(content, list(range(len(content)))), OpenAIChatParser)

    assert cut == received(CutStream(content, []), OpenAIChatParser)
