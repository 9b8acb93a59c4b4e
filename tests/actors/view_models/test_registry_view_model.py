"""A list of all sessions, the pool in one line, and the notice that a turn in the background is over."""

from __future__ import annotations

import pytest

from actors.errors import ErrorCode, ErrorInfo
from actors.events import (
    ActorRestarted,
    GlobalBody,
    GlobalEvent,
    PoolStatusChanged,
    SessionFailed,
    SessionRegistered,
    SessionStatusChanged,
    SessionUnreadUpdated,
    SessionUnregistered,
)
from actors.records import PoolStatus, SessionRuntime, SessionStatus
from actors.view_models import RegistryViewModel, finished_notice, status_line
from tests.actors.simulated_session import START

ERROR = ErrorInfo(ErrorCode.TIMEOUT, "too slow")


def pool(running: int, queued: int) -> PoolStatus:
    return PoolStatus(
        running=running,
        queued=queued,
        waiting=0,
        loaded=running,
        max_concurrent=3,
        available=3 - running,
        queue_available=10 - queued,
    )


def runtime(session_id: str, status: SessionStatus, unread: int = 0) -> SessionRuntime:
    return SessionRuntime(session_id=session_id, status=status, last_active_at=START, unread_count=unread)


class Listed:
    """A registry's view, and the events that it is told."""

    def __init__(self) -> None:
        self.view = RegistryViewModel()
        self._seq = 0

    def tell(self, session_id: str | None, *bodies: GlobalBody) -> None:
        for body in bodies:
            self._seq += 1
            self.view.apply(GlobalEvent(seq=self._seq, at=START, session_id=session_id, body=body))


@pytest.fixture
def listed() -> Listed:
    return Listed()


def test_before_anything_is_told_there_is_an_empty_pool_of_three() -> None:
    view = RegistryViewModel()

    status = view.pool_status
    assert (status.running, status.queued, status.max_concurrent, status.available) == (0, 0, 3, 3)
    assert (view.sessions, view.active_session_id) == ((), None)


def test_the_lists_follow_registration_status_and_unread_answers(listed: Listed) -> None:
    listed.tell("a", SessionRegistered(), SessionStatusChanged(SessionStatus.RUNNING))
    listed.tell("b", SessionRegistered(), SessionFailed(ERROR))
    listed.tell("c", SessionRegistered(), SessionUnreadUpdated(2))
    listed.tell(None, PoolStatusChanged(pool(1, 0)), ActorRestarted("persistence"))

    view = listed.view
    assert [entry.session_id for entry in view.sessions] == ["a", "b", "c"]
    assert [entry.session_id for entry in view.running_sessions] == ["a"]
    assert [(entry.session_id, entry.error) for entry in view.failed_sessions] == [("b", ERROR)]
    assert [entry.session_id for entry in view.unread_sessions] == ["c"]
    assert view.pool_status == pool(1, 0)


def test_a_session_that_is_gone_is_not_listed_nor_active(listed: Listed) -> None:
    listed.tell("a", SessionRegistered())
    listed.view.active_session_id = "a"
    listed.tell("a", SessionUnregistered(), SessionStatusChanged(SessionStatus.ABORTED))

    assert (listed.view.sessions, listed.view.active_session_id) == ((), None)


def test_the_error_goes_with_the_next_turn(listed: Listed) -> None:
    listed.tell("a", SessionRegistered(), SessionFailed(ERROR), SessionStatusChanged(SessionStatus.RUNNING))

    assert [entry.error for entry in listed.view.sessions] == [None]


def test_events_that_the_list_has_already_are_ignored_and_the_list_can_be_taken_again() -> None:
    view = RegistryViewModel([runtime("a", SessionStatus.COMPLETED)], seq=5)
    view.apply(
        GlobalEvent(seq=5, at=START, session_id="a", body=SessionStatusChanged(SessionStatus.RUNNING))
    )
    assert view.sessions == (runtime("a", SessionStatus.COMPLETED),)

    view.refresh([runtime("b", SessionStatus.IDLE)])
    assert [entry.session_id for entry in view.sessions] == ["b"]


@pytest.mark.parametrize(
    ("status", "sessions", "line"),
    [
        (pool(0, 0), [], "0/3 running | 0 queued"),
        (
            pool(2, 1),
            [
                runtime("0123456789", SessionStatus.RUNNING),
                runtime("abcdefghij", SessionStatus.RUNNING, 1),
                runtime("klmnopqrst", SessionStatus.QUEUED),
                runtime("uvwxyz0123", SessionStatus.COMPLETED, 2),
            ],
            "2/3 running | 1 queued | Running: 01234567... abcdefgh... | 3 unread",
        ),
    ],
)
def test_the_status_line(status: PoolStatus, sessions: list[SessionRuntime], line: str) -> None:
    assert status_line(status, sessions) == line


@pytest.mark.parametrize(
    ("body", "active", "notice"),
    [
        (SessionStatusChanged(SessionStatus.COMPLETED), None, "Session 01234567 finished"),
        (SessionStatusChanged(SessionStatus.COMPLETED), "another", "Session 01234567 finished"),
        (SessionStatusChanged(SessionStatus.COMPLETED), "0123456789", None),
        (SessionStatusChanged(SessionStatus.ABORTED), None, None),
        (SessionUnreadUpdated(1), None, None),
    ],
)
def test_a_turn_that_ends_where_nobody_looks_is_worth_a_notice(
    body: GlobalBody, active: str | None, notice: str | None
) -> None:
    event = GlobalEvent(seq=1, at=START, session_id="0123456789", body=body)

    assert finished_notice(event, active) == notice


def test_the_events_of_a_registry_that_failed_and_is_back_are_taken_though_it_counts_anew(
    listed: Listed,
) -> None:
    for _ in range(5):
        listed.tell("a", SessionRegistered(), SessionUnregistered())
    restarted = GlobalEvent(seq=1, at=START, session_id=None, body=ActorRestarted("registry"))
    listed.view.apply(restarted)
    listed.view.apply(GlobalEvent(seq=2, at=START, session_id="b", body=SessionRegistered()))
    assert [known.session_id for known in listed.view.sessions] == ["b"]
