"""The status table: which steps a session may take."""

from __future__ import annotations

import itertools

import pytest

from actors.errors import EngineError, ErrorCode
from actors.records import SessionStatus
from actors.session.status import BUSY, TRANSITIONS, check_transition

Q, R, W = SessionStatus.QUEUED, SessionStatus.RUNNING, SessionStatus.WAITING_CONFIRMATION
IDLE, DONE, FAILED, ABORTED, LIMIT = (
    SessionStatus.IDLE,
    SessionStatus.COMPLETED,
    SessionStatus.FAILED,
    SessionStatus.ABORTED,
    SessionStatus.MAX_TURNS_REACHED,
)
READY = (IDLE, DONE, FAILED, ABORTED, LIMIT)
LEGAL = {
    *itertools.product(READY, (Q, R)),
    *itertools.product(READY, (ABORTED, FAILED)),  # a question that waited, and could not be asked
    (Q, R),
    (Q, ABORTED),
    (Q, FAILED),
    (R, W),
    (R, DONE),
    (R, FAILED),
    (R, ABORTED),
    (R, LIMIT),
    (W, Q),
    (W, R),
    (W, ABORTED),
    (W, FAILED),
}
ALL = set(itertools.product(SessionStatus, SessionStatus))


@pytest.mark.parametrize(("current", "following"), sorted(LEGAL))
def test_a_legal_step_is_taken(current: SessionStatus, following: SessionStatus) -> None:
    check_transition(current, following)


@pytest.mark.parametrize(("current", "following"), sorted(ALL - LEGAL))
def test_an_illegal_step_is_refused_and_both_ends_of_it_are_named(
    current: SessionStatus, following: SessionStatus
) -> None:
    with pytest.raises(EngineError) as caught:
        check_transition(current, following)

    assert caught.value.code is ErrorCode.SESSION_INVALID
    assert f"from {current.value} to {following.value}" in caught.value.message


def test_the_table_knows_every_status_and_none_is_the_end() -> None:
    assert set(TRANSITIONS) == set(SessionStatus)
    assert all(TRANSITIONS.values())
    assert set(READY) == set(SessionStatus) - BUSY
