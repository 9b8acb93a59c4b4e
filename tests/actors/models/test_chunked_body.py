"""A chunked body gives its payload, however it is cut, and nothing else passes for one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.models.chunked_body import ChunkedBody, MalformedBodyError
from tests.actors.models.tiny_server import END, http_chunk


def fed(body: ChunkedBody, wire: bytes, cuts: list[int]) -> bytes:
    """The payload of `wire`, handed over in pieces."""
    places = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    return b"".join(body.feed(wire[begin:end]) for begin, end in itertools.pairwise(places))


@given(st.lists(st.binary(min_size=1, max_size=40)), st.lists(st.integers(0, 10_000), max_size=20))
def test_every_cut_gives_the_same_payload(payload: list[bytes], cuts: list[int]) -> None:
    body = ChunkedBody()
    wire = b"".join(map(http_chunk, payload)) + END

    assert fed(body, wire, cuts) == b"".join(payload)
    assert body.complete
    assert not body.surplus


@given(st.lists(st.integers(0, 100), max_size=8))
def test_extensions_and_a_trailer_are_left_out(cuts: list[int]) -> None:
    body = ChunkedBody()

    assert fed(body, b'3;name="a;b"\r\nabc\r\n002 \r\nde\r\n0\r\nx: y\r\nz: \r\n\r\n', cuts) == b"abcde"
    assert body.complete


def test_what_comes_after_the_end_is_surplus() -> None:
    body = ChunkedBody()

    assert body.feed(http_chunk(b"a") + END + b"HTTP/1.1 200 OK") == b"a"
    assert body.surplus


def test_a_body_without_its_last_chunk_is_not_complete() -> None:
    body = ChunkedBody()

    assert body.feed(http_chunk(b"a") + b"0\r\n") == b"a"
    assert not body.complete


@pytest.mark.parametrize(
    "wire",
    [
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"0x1\r\n",
        b"+1\r\n",
        b"1_0\r\n",
        b"1" * 17 + b"\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n",
    ],
)
def test_what_is_no_chunk_is_malformed(wire: bytes) -> None:
    with pytest.raises(MalformedBodyError):
        ChunkedBody().feed(wire)


def test_a_line_that_never_ends_is_malformed() -> None:
    body = ChunkedBody()
    body.feed(b"1" * 64 * 1024)

    with pytest.raises(MalformedBodyError):
        body.feed(b"1")
