"""Every message of every actor is frozen and survives a trip through msgspec: nothing in it is alive."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import msgspec
import pytest

from actors import events
from actors.conversation import FinishPart, FinishReason, Message, Role, Text, TextPart, ToolCallPart, Usage
from actors.errors import ErrorCode, ErrorInfo
from actors.events import Event, EventBody, TaskOutcome
from actors.persistence import protocol as persistence
from actors.records import (
    AppendText,
    PutMessage,
    PutSession,
    RunRecord,
    SessionRecord,
    SessionStatus,
    SessionWrite,
    StoredSession,
)
from actors.registry import protocol as registry
from actors.session import protocol as session

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ERROR = ErrorInfo(ErrorCode.TIMEOUT, "too slow", {"seconds": 3})
MESSAGE = Message(message_id="m", parent_id=None, role=Role.USER, content=Text("hello"), created_at=NOW)
RECORD = SessionRecord(session_id="s", created_at=NOW, updated_at=NOW, error=ERROR)
WRITE = SessionWrite("s", 1, 2, (PutSession(RECORD), PutMessage(MESSAGE), AppendText("m", "text")))
OUTCOME = TaskOutcome(
    session_id="s", task_id="t", status=SessionStatus.FAILED, prompt="p", error=ERROR, usage=Usage(1)
)
PARTS = (TextPart("a"), ToolCallPart(0, "c", "n", "{}"), FinishPart(FinishReason.STOP))
SUBMIT = session.SubmitTurn(text="hello", priority=2)
EVENT = Event(session_id="s", epoch=1, seq=1, task_id=None, at=NOW, body=events.TaskFinished(OUTCOME))

SAMPLES: tuple[msgspec.Struct, ...] = (
    SUBMIT,
    session.ResumeTurn(priority=1),
    session.WaitTurn("t"),
    session.AbortTurn("t"),
    session.CreateSession(session.NewSession(title="t")),
    session.GetSnapshot(),
    session.Subscribe("subscriber/1"),
    session.SlotGranted("t"),
    session.SlotQueued("t", 3),
    session.SlotRefused("t", ERROR),
    session.PrepareRelease(),
    session.PartsArrived("t", PARTS),
    session.TurnEnded("t", ERROR),
    session.SubscriberEnded("subscriber/1"),
    persistence.SessionLoaded(StoredSession(RECORD, (MESSAGE,), 1, 2)),
    persistence.LoadFailed("s", ERROR),
    persistence.Saved("s", 1, 2),
    persistence.SaveFailed("s", 1, 2, ERROR),
    persistence.StoreLost(ERROR),
    persistence.Save("session/s", WRITE, immediate=True),
    persistence.LoadSession("session/s", "s"),
    persistence.ReadSession("s"),
    persistence.ListSessions(),
    persistence.PutRun(RunRecord("r", "d", "m", NOW, ("s",))),
    persistence.GetLatestRun(),
    persistence.Flush(),
    registry.Deliver("s", SUBMIT),
    registry.ReleaseSession("s"),
    registry.CloseAll(),
    registry.SetMaxConcurrent(3),
    registry.GetPoolStatus(),
    registry.RequestSlot("s", "t", 1),
    registry.ReturnSlot("s", "t"),
    registry.Passivate("s", ERROR),
    events.SessionStatusChanged(SessionStatus.RUNNING),
    events.MessageAdded(MESSAGE),
    events.AnswerStreamed(PARTS),
    events.TaskFinished(OUTCOME),
    session.EventPublished(EVENT),
    session.SubscriptionEnded(),
)
UNIONS = (
    session.SessionMessage,
    persistence.PersistenceCommand,
    persistence.PersistenceNotice,
    registry.RegistryCommand,
    EventBody,
    session.EventPublished | session.SubscriptionEnded,
)


def members(union: UnionType) -> set[type]:
    return set(get_args(union))


@pytest.mark.parametrize("union", UNIONS, ids=str)
def test_every_message_of_a_protocol_comes_back_as_it_went(union: Any) -> None:
    decoder = msgspec.json.Decoder(union)
    samples = [sample for sample in SAMPLES if type(sample) in members(union)]

    assert {type(sample) for sample in samples} == members(union), "a message without a sample"
    for sample in samples:
        assert decoder.decode(msgspec.json.encode(sample)) == sample
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(sample), type=union) == sample


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_a_message_cannot_be_changed(sample: msgspec.Struct) -> None:
    assert sample.__struct_config__.frozen
    assert sample.__struct_config__.tag is not None


ACTORS = Path(__file__).parents[2] / "actors"
SOURCES = [
    path for package in ("session", "registry", "persistence") for path in (ACTORS / package).glob("*.py")
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_actors_never_wait_for_each_other_nor_look_into_each_other(path: Path) -> None:
    called = {
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }

    assert not called & {"ask", "proxy"}
