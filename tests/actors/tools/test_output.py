"""What a tool says, within bounds."""

from __future__ import annotations

import threading

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from actors.tools.output import LiveOutput, bounded

HALF_A_PAIR = "\ud83d"

any_text = st.text(st.characters(codec=None))


@given(any_text, st.integers(min_value=1, max_value=200))
def test_a_result_is_within_its_limit_and_can_be_stored(text: str, limit: int) -> None:
    result, cut = bounded(text, limit)

    encoded = result.encode()  # no half of a pair is left
    whole = text.encode(errors="replace")
    assert cut is (len(whole) > limit)
    if not cut:
        assert encoded == whole
    elif limit >= 60:
        assert len(encoded) <= limit


@given(st.text(min_size=200), st.integers(min_value=60, max_value=190))
def test_a_cut_keeps_begin_and_end_and_says_how_much_is_gone(text: str, limit: int) -> None:
    result, _ = bounded(text, limit)

    begin, _, rest = result.rpartition("\n[... ")
    number, _, end = rest.partition(" bytes left out ...]\n")
    assert text.startswith(begin)
    assert text.endswith(end)
    assert int(number) == len(text.encode()) - len(begin.encode()) - len(end.encode())


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError, match="not bytes"):
        bounded(b"bytes", 10)  # pyright: ignore[reportArgumentType] - as untyped code may


class Reader:
    """Takes pieces when it is told to."""

    def __init__(self, limit_bytes: int = 1000) -> None:
        self.pieces: list[str] = []
        self.output = LiveOutput(limit_bytes, self.pieces.append)


async def test_what_is_shown_while_a_piece_is_not_taken_grows_into_the_next() -> None:
    reader = Reader()

    for word in ("one", "two", "three"):
        reader.output.show(word)
    assert reader.pieces == ["one"]
    reader.output.taken()
    assert reader.pieces == ["one", "twothree"]
    reader.output.taken()
    reader.output.show("four")
    assert reader.pieces == ["one", "twothree", "four"]


async def test_at_the_end_the_rest_is_told_and_what_comes_late_is_not() -> None:
    reader = Reader()
    reader.output.show("one")
    reader.output.show("two")

    reader.output.end()
    reader.output.show("late")
    reader.output.taken()

    assert reader.pieces == ["one", "two"]


async def test_what_exceeds_the_limit_is_left_out_and_that_is_said_once() -> None:
    reader = Reader(limit_bytes=5)

    for _ in range(4):
        reader.output.show("ää")
        reader.output.taken()

    assert "".join(reader.pieces) == "ää\n[what it shows from here on is left out]\n"


async def test_half_a_pair_is_replaced_and_nothing_is_not_told() -> None:
    reader = Reader()

    reader.output.show("")
    reader.output.show(HALF_A_PAIR)

    assert reader.pieces == ["?"]


async def test_a_thread_shows_in_order_and_wakes_the_reader_once() -> None:
    reader = Reader(limit_bytes=100_000)
    lines = [f"line {number}\n" for number in range(1000)]
    shown = threading.Event()

    def show() -> None:
        for line in lines:
            reader.output.show(line)
        shown.set()

    thread = threading.Thread(target=show)
    thread.start()
    shown.wait(60)  # trio's thread is held up: nothing can be told meanwhile
    assert reader.pieces == []
    await wait_all_tasks_blocked()
    thread.join()

    assert reader.pieces == ["".join(lines)]


async def test_a_thread_that_goes_on_after_the_end_is_not_heard() -> None:
    reader = Reader()
    reader.output.end()

    await trio.to_thread.run_sync(reader.output.show, "late")

    assert reader.pieces == []
