from __future__ import annotations

import math

import pytest

from actors.errors import EngineError, ErrorCode
from actors.upstream.beat import DONE, LAST_CHUNK, Beat, event_chunk
from actors.upstream.faults import Fault, FaultPlan, break_body, break_stream, fault_named

DIGESTS = [number.to_bytes(16, "big") for number in range(2_000)]
BEATS: list[Beat] = [(0.5, 1, event_chunk(b'{"n":%d}' % number)) for number in range(8)] + [(0.0, 0, DONE)]


def test_unknown_fault_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(EngineError, match="unknown fault 'flood'; known are 429, 500, 401") as caught:
        fault_named("flood")

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


def test_without_rates_nothing_fails() -> None:
    assert {FaultPlan({}).draw(digest) for digest in DIGESTS} == {None}


def test_rates_are_kept_in_the_long_run() -> None:
    plan = FaultPlan({Fault.RATE_LIMIT: 0.3, Fault.STALL: 0.2})

    drawn = [plan.draw(digest) for digest in DIGESTS]

    assert drawn.count(Fault.RATE_LIMIT) / len(drawn) == pytest.approx(0.3, abs=0.05)
    assert drawn.count(Fault.STALL) / len(drawn) == pytest.approx(0.2, abs=0.05)


def test_draw_depends_on_the_request_and_its_attempts_not_on_the_order_of_arrival() -> None:
    rates = {Fault.SERVER_ERROR: 0.5}
    forward, backward = FaultPlan(rates), FaultPlan(rates)

    first = {digest: [forward.draw(digest), forward.draw(digest)] for digest in DIGESTS}
    second = {digest: [backward.draw(digest), backward.draw(digest)] for digest in reversed(DIGESTS)}

    assert first == second
    assert [Fault.SERVER_ERROR, None] in first.values(), "some retries succeed"


@pytest.mark.parametrize("fault", [Fault.DISCONNECT, Fault.RESET])
def test_broken_off_stream_has_no_end(fault: Fault) -> None:
    assert list(break_stream(BEATS, fault)) == BEATS[:4]


def test_stalled_stream_falls_silent() -> None:
    assert list(break_stream(BEATS, Fault.STALL)) == [*BEATS[:4], (math.inf, 0, b"")]


def test_malformed_event_comes_on_top_of_the_others() -> None:
    *before, bad, resumed = list(break_stream(BEATS, Fault.MALFORMED))[:6]

    assert before == BEATS[:4]
    assert bad[2].endswith(b'"object":"chat.completion.ch\n\n\r\n')
    assert resumed[2] == BEATS[4][2]


@pytest.mark.parametrize("fault", [Fault.DISCONNECT, Fault.RESET, Fault.STALL])
def test_short_stream_breaks_before_its_end(fault: Fault) -> None:
    wires = [wire for _, _, wire in break_stream([BEATS[0], BEATS[-1]], fault)]

    assert DONE not in wires


def test_broken_body_is_half_a_body() -> None:
    [(_, _, stalled), silence] = break_body(1.0, b"12345678", Fault.STALL)
    [(_, _, malformed), end] = break_body(1.0, b"12345678", Fault.MALFORMED)

    assert stalled == malformed == b"4\r\n1234\r\n"
    assert silence[0] == math.inf
    assert end[2] == LAST_CHUNK
