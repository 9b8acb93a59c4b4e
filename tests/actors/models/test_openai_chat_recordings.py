from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.answer import Answer
from actors.conversation import FinishReason, Part, ToolCall, Usage
from actors.models import OpenAIChatParser
from actors.models.event_stream import pump
from actors.models.traffic import Traffic
from tests.actors.models.stream_samples import answer_of, said, sse, tool_delta, tools

CHECKOUT = Path(__file__).resolve().parents[3]
FOLDER = CHECKOUT.parent / "shared" / "streams" / "openai-chat"
RECORDINGS = sorted(FOLDER.glob("*.jsonl"))

needs_recordings = pytest.mark.skipif(not RECORDINGS, reason=f"no recordings in {FOLDER}")
every_recording = pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)

SAMPLE = (
    said("Grüße, "),
    said("Welt 👋\u2028\u0085"),
    tools(tool_delta(index=0, call_id="a", name="f", arguments='{"x": "ß')),
    tools(tool_delta(index=0, arguments='"}')),
    said("", "tool_calls"),
    '{"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}',
    "[DONE]",
)


def events_of(recording: Path) -> list[str]:
    return [line for line in recording.read_text().split("\n") if line]


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


@needs_recordings
@every_recording
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


class CutStream(httpx.AsyncByteStream):
    """A body that arrives in the pieces between `cuts`."""

    def __init__(self, content: bytes, cuts: list[int]) -> None:
        ends = [*sorted(cuts), len(content)]
        self._pieces = [content[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await trio.lowlevel.checkpoint()
            yield piece


def received(body: httpx.AsyncByteStream) -> list[Part]:
    """What `pump` emits for a response with this body."""
    parts: list[Part] = []
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=body)
    trio.run(pump, response, OpenAIChatParser(), parts.extend, Traffic())
    return parts


@st.composite
def written_and_cut(draw: st.DrawFn, events: list[str]) -> CutStream:
    """The events as some server might write them, cut anywhere."""
    line_end = draw(st.sampled_from(["\n", "\r", "\r\n"]))
    field = draw(st.sampled_from(["data: ", "data:", "event: message\ndata: ", "id: 7\ndata:"]))
    comments = draw(st.lists(st.sampled_from(["", ": keep-alive\n", ":\n\n"]), min_size=1, max_size=5))
    last_end = draw(st.sampled_from(["", "\n", "\n\n"]))
    text = draw(st.sampled_from(["", "\ufeff"]))
    for number, event in enumerate(events):
        text += comments[number % len(comments)] + field + event
        text += "\n\n" if number < len(events) - 1 else last_end
    content = text.replace("\n", line_end).encode()
    seed = draw(st.integers(0, 2**32))
    number_of_cuts = draw(st.sampled_from([0, 1, 10, 200]))
    return CutStream(content, random.Random(seed).choices(range(len(content)), k=number_of_cuts))


@given(data=st.data())
def test_our_sample_reads_the_same_however_it_is_written_and_cut(data: st.DataObject) -> None:
    events = list(SAMPLE)

    assert received(data.draw(written_and_cut(events))) == received(CutStream(sse(events), []))


@needs_recordings
@every_recording
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_every_recording_reads_the_same_however_it_is_written_and_cut(
    recording: Path, data: st.DataObject
) -> None:
    events = events_of(recording)

    assert answer_of(received(data.draw(written_and_cut(events)))) == folded(events)


def test_our_sample_reads_the_same_cut_at_every_single_byte() -> None:
    content = sse(SAMPLE)

    assert received(CutStream(content, list(range(len(content))))) == received(CutStream(content, []))
