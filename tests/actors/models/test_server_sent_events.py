"""An event stream gives its events, however it is cut, as the standard says."""

from __future__ import annotations

import itertools

import httpx
from httpx_sse import EventSource
from hypothesis import given
from hypothesis import strategies as st

from actors.models.server_sent_events import EventDecoder, ServerSentEvent

LINES = st.lists(
    st.sampled_from(
        [
            "data: a",
            "data:b",
            "data",
            "data:  c",
            "event: ping",
            ": note",
            "id: 1",
            "",
            "",
            "x: y",
            "d",
            "data: é",
        ]
    ),
    max_size=20,
)
ENDS = st.lists(st.sampled_from(["\n", "\r", "\r\n"]), min_size=1, max_size=4)
CUTS = st.lists(st.integers(0, 1000), max_size=12)


def events_of(stream: bytes, cuts: list[int]) -> list[ServerSentEvent]:
    decoder = EventDecoder()
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    events: list[ServerSentEvent] = []
    for begin, end in itertools.pairwise(places):
        events += decoder.feed(stream[begin:end])
    return events + decoder.end()


def events_by_httpx_sse(stream: bytes) -> list[ServerSentEvent]:
    """Those that have data or a name; ours ends an open one at the end of the stream."""
    headers = {"content-type": "text/event-stream; charset=utf-8-sig"}
    response = httpx.Response(200, headers=headers, content=stream + b"\n\n")
    found = [
        (event.data, "" if event.event == "message" else event.event)
        for event in EventSource(response).iter_sse()
    ]
    return [event for event in found if event != ("", "")]


@given(LINES, ENDS, CUTS)
def test_every_cut_gives_the_events_that_httpx_sse_finds(
    lines: list[str], ends: list[str], cuts: list[int]
) -> None:
    stream = "".join(line + ends[place % len(ends)] for place, line in enumerate(lines)).encode()

    found = [event for event in events_of(stream, cuts) if event != ("", "")]

    assert found == events_by_httpx_sse(stream)


@given(st.lists(st.sampled_from(["{}", "[DONE]", 'é "x"', "data: "]), min_size=1, max_size=5), CUTS)
def test_events_of_one_line_are_the_same_in_one_piece_and_in_many(data: list[str], cuts: list[int]) -> None:
    stream = "".join(f"data: {line}\n\n" for line in data).encode()

    assert events_of(stream, []) == events_of(stream, cuts) == [(line, "") for line in data]


def test_an_error_line_is_an_event_of_that_name() -> None:
    assert events_of(b"data: a\n\nerror: b\n\n", [12]) == [("a", ""), ("b", "error")]


def test_what_is_not_utf_8_is_replaced() -> None:
    assert events_of(b"data: \xff\n\n", []) == [("\N{REPLACEMENT CHARACTER}", "")]


def test_a_byte_order_mark_is_left_out() -> None:
    assert events_of(b"\xef\xbb\xbfdata: a\n\n", [1]) == [("a", "")]
