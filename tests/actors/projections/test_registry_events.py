"""The registry's events in the words of its listeners."""

from __future__ import annotations

from typing import Any

import msgspec

from actors import events
from actors.errors import ErrorCode, ErrorInfo
from actors.events import GlobalBody, GlobalEvent
from actors.projections.registry_events import RegistryProjection, RuntimeDocument
from actors.records import PoolStatus, SessionRuntime, SessionStatus
from tests.actors.simulated_session import START

ERROR = ErrorInfo(ErrorCode.TIMEOUT, "too slow")
POOL = PoolStatus(
    running=2, queued=1, waiting=0, loaded=4, max_concurrent=3, available=1, queue_available=9
)


def told(*bodies: GlobalBody, session_id: str | None = "s") -> list[Any]:
    projection = RegistryProjection()
    said = [
        projection.apply(GlobalEvent(seq=place, at=START, session_id=session_id, body=body))
        for place, body in enumerate(bodies, 1)
    ]
    return [msgspec.json.decode(msgspec.json.encode(event)) for told in said for event in told]


def test_each_event_has_the_shape_of_the_document() -> None:
    said = told(
        events.SessionRegistered(),
        events.SessionStatusChanged(SessionStatus.QUEUED),
        events.SessionUnreadUpdated(2),
        events.PoolStatusChanged(POOL),
        events.SessionUnregistered(),
    )

    assert said == [
        {"type": "session_registered", "payload": {"sessionId": "s"}},
        {"type": "session_status_changed", "payload": {"sessionId": "s", "status": "queued"}},
        {"type": "session_unread_updated", "payload": {"sessionId": "s", "count": 2}},
        {
            "type": "pool_status_changed",
            "payload": {"running": 2, "queued": 1, "maxConcurrent": 3, "available": 1},
        },
        {"type": "session_unregistered", "payload": {"sessionId": "s"}},
    ]


def test_a_status_is_told_once_also_when_two_of_ours_are_one_of_theirs() -> None:
    said = told(
        events.SessionStatusChanged(SessionStatus.RUNNING),
        events.SessionStatusChanged(SessionStatus.WAITING_CONFIRMATION),
        events.SessionStatusChanged(SessionStatus.RUNNING),
        events.SessionFailed(ERROR),
        events.SessionStatusChanged(SessionStatus.FAILED, ERROR),
    )

    assert [event["payload"]["status"] for event in said] == ["running", "failed"]


def test_a_session_that_is_registered_again_begins_anew() -> None:
    completed = events.SessionStatusChanged(SessionStatus.COMPLETED)

    said = told(completed, events.SessionUnregistered(), events.SessionRegistered(), completed)

    assert [event["type"] for event in said].count("session_status_changed") == 2


def test_what_is_about_the_engine_has_no_word_there() -> None:
    assert told(events.PersistenceFailed(ERROR), events.ActorRestarted("registry"), session_id=None) == []
    assert told(events.PersistenceFailed(ERROR)) == []


def test_the_pool_has_no_fewer_than_no_free_slots_when_its_limit_was_lowered() -> None:
    lowered = msgspec.structs.replace(POOL, running=3, max_concurrent=1)

    (event,) = told(events.PoolStatusChanged(lowered), session_id=None)

    assert event["payload"]["available"] == 0


def test_a_runtime_is_listed_with_the_words_of_the_document() -> None:
    runtime = SessionRuntime(
        session_id="s", status=SessionStatus.WAITING_CONFIRMATION, last_active_at=START, task_id="t"
    )
    failed = msgspec.structs.replace(
        runtime,
        status=SessionStatus.FAILED,
        error=ERROR,
        path="/a/b.chat.json",
        task_id=None,
        unread_count=1,
    )

    assert msgspec.to_builtins(RuntimeDocument.of(runtime), builtin_types=(type(START),)) == {
        "sessionId": "s",
        "nodeId": "s",
        "status": "running",
        "lastActiveTime": START,
        "unreadCount": 0,
        "currentTaskId": "t",
    }
    document = RuntimeDocument.of(failed)
    assert (document.node_id, document.unread_count, document.current_task_id) == (
        "/a/b.chat.json",
        1,
        None,
    )
    assert document.error is not None
    assert (document.error.code, document.error.retryable) == (ErrorCode.TIMEOUT, True)
    assert msgspec.json.decode(msgspec.json.encode(document), type=RuntimeDocument) == document
