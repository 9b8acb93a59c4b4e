"""Which events a reader may still have who comes with a cursor."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from actors.events import SessionStatusChanged
from actors.records import SessionStatus
from actors.session.effects import Now
from actors.session.event_log import EVENTS_KEPT, EventLog
from actors.session.protocol import Cursor, Handover

NOW = Now(datetime(2026, 1, 1, tzinfo=UTC), 0.0)
BODY = SessionStatusChanged(SessionStatus.IDLE)


def publish(log: EventLog, count: int) -> None:
    for _ in range(count):
        log.publish(BODY, None, NOW)


def begun(
    epoch: int, seq: int, *, at_rest: bool = False, handover: Handover | None = None, new: int = 0
) -> EventLog:
    """A log that somebody listens to, with so many new events."""
    log = EventLog("s")
    log.begin(epoch, seq, ("reader",), handover, at_rest=at_rest)
    publish(log, new)
    return log


def missed(log: EventLog, epoch: int, seq: int) -> list[int] | None:
    events = log.subscribe("late", Cursor(epoch, seq))
    return None if events is None else [event.seq for event in events]


def handed_over(epoch: int, seq: int, *, new: int) -> Handover:
    return begun(epoch, seq, at_rest=True, new=new).hand_over()


@pytest.mark.parametrize(
    ("seq", "expected"), [(7, [8, 9]), (9, []), (6, [7, 8, 9]), (5, None), (10, None), (-1, None)]
)
def test_a_cursor_of_this_loading_gets_what_came_since(seq: int, expected: list[int] | None) -> None:
    assert missed(begun(2, 6, new=3), 2, seq) == expected


def test_a_cursor_of_a_loading_that_never_was_gets_nothing() -> None:
    assert missed(begun(2, 6, new=3), 3, 7) is None


@pytest.mark.parametrize(("seq", "expected"), [(5, [6, 7, 8, 9]), (8, [9]), (9, []), (3, None)])
def test_a_cursor_of_the_loading_before_is_as_good_when_that_handed_over(
    seq: int, expected: list[int] | None
) -> None:
    log = begun(3, 8, handover=handed_over(2, 4, new=4), new=1)

    assert missed(log, 2, seq) == expected


@pytest.mark.parametrize(
    ("at_rest", "seq", "expected"), [(True, 6, [7, 8]), (True, 5, None), (True, 7, None), (False, 6, None)]
)
def test_without_a_handover_only_the_end_of_a_session_at_rest_is_a_good_cursor(
    at_rest: bool, seq: int, expected: list[int] | None
) -> None:
    assert missed(begun(3, 6, at_rest=at_rest, new=2), 2, seq) == expected


def test_a_handover_that_is_behind_the_store_is_none() -> None:
    log = begun(3, 9, handover=handed_over(2, 4, new=3), new=1)

    assert log.seq == 10
    assert missed(log, 2, 7) is None


def test_the_latest_events_are_kept_and_no_more() -> None:
    log = begun(1, 0, new=EVENTS_KEPT + 10)

    assert missed(log, 1, 9) is None
    assert missed(log, 1, 10) == list(range(11, EVENTS_KEPT + 11))


def test_events_are_numbered_also_while_nobody_listens_and_no_event_is_made() -> None:
    log = EventLog("s")
    log.begin(1, 0, (), None)

    assert log.publish(BODY, None, NOW) is None
    assert log.subscribe("reader", None) is None
    event = log.publish(BODY, None, NOW)
    assert event is not None
    assert event.seq == 2
