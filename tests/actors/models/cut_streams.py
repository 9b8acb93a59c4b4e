"""Recordings, written as some server might write them and cut anywhere, and what comes of them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
import trio
from hypothesis import strategies as st

from actors.conversation import Part
from actors.models.event_stream import EventParser, pump
from actors.models.traffic import Traffic

STREAMS = Path(__file__).resolve().parents[4] / "shared" / "streams"


class Recordings:
    """Those of one wire. Tests that need them are skipped where they are not."""

    def __init__(self, wire: str) -> None:
        folder = STREAMS / wire
        self.paths = sorted(folder.glob("*.jsonl"))
        self.needed = pytest.mark.skipif(not self.paths, reason=f"no recordings in {folder}")
        self.every = pytest.mark.parametrize("recording", self.paths, ids=lambda path: path.stem)


def events_of(recording: Path) -> list[str]:
    return [line for line in recording.read_text().split("\n") if line]


class CutStream(httpx.AsyncByteStream):
    """A body that arrives in the pieces between `cuts`."""

    def __init__(self, content: bytes, cuts: list[int]) -> None:
        ends = [*sorted(cuts), len(content)]
        self._pieces = [content[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await trio.lowlevel.checkpoint()
            yield piece


def received(body: httpx.AsyncByteStream, parser: Callable[[], EventParser]) -> list[Part]:
    """What `pump` emits for a response with this body."""
    parts: list[Part] = []
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=body)
    trio.run(pump, response, parser(), parts.extend, Traffic())
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
