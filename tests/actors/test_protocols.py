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
from actors.agents import AgentDefinition
from actors.catalog import protocol as catalog
from actors.connections import Connection, McpServer
from actors.conversation import (
    Attachment,
    FileReference,
    FinishPart,
    FinishReason,
    Image,
    Message,
    Processing,
    Role,
    SystemControl,
    Text,
    TextPart,
    ToolCall,
    ToolCallPart,
    ToolCallRequest,
    ToolResult,
    ToolStatus,
    Usage,
)
from actors.errors import ErrorCode, ErrorInfo
from actors.events import Event, EventBody, GlobalBody, Lagged, TaskOutcome
from actors.governor import protocol as governor
from actors.mcp import protocol as mcp
from actors.persistence import protocol as persistence
from actors.records import (
    AppendText,
    CallRecord,
    CallState,
    ConfirmationOutcome,
    DeleteMessages,
    PoolStatus,
    PutMessage,
    PutSession,
    Question,
    QueuedQuestion,
    RequestRecord,
    RunRecord,
    SessionRecord,
    SessionRuntime,
    SessionStatus,
    SessionWrite,
    StoredSession,
    TaskRecord,
)
from actors.registry import protocol as registry
from actors.session import protocol as session

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ERROR = ErrorInfo(ErrorCode.TIMEOUT, "too slow", {"seconds": 3})
MESSAGE = Message(message_id="m", parent_id=None, role=Role.USER, content=Text("hello"), created_at=NOW)
CALL = ToolCall("c", "free", "{}")
CALL_RECORD = CallRecord(call=CALL, state=CallState.EXECUTING, started_at=NOW)
QUESTION = Question("hello", (Attachment("a.txt", "content"),))
MESSAGES = (
    MESSAGE,
    *(
        Message(
            message_id=f"m{number}", parent_id="m", role=Role.ASSISTANT, content=content, created_at=NOW
        )
        for number, content in enumerate(
            (
                Image("image/png", b"png"),
                FileReference("a.py", NOW, "content", 1, 2),
                ToolCallRequest((CALL,)),
                ToolResult("c", "free", ToolStatus.UNKNOWN, "nobody knows", ended_at=NOW),
                SystemControl("model", "a:b", "c:d"),
                Processing("search", 0.5),
            )
        )
    ),
)
RECORD = SessionRecord(
    session_id="s",
    created_at=NOW,
    updated_at=NOW,
    error=ERROR,
    task=TaskRecord("t", "m", calls=(CALL_RECORD,), replay=(QUESTION,), steering=(QUESTION,)),
    queued=(QueuedQuestion("t2", QUESTION),),
    requests=(RequestRecord("r", "t"),),
)
RUNTIME = SessionRuntime(session_id="s", status=SessionStatus.FAILED, last_active_at=NOW, error=ERROR)
WRITE = SessionWrite(
    "s", 1, 2, (PutSession(RECORD), PutMessage(MESSAGE), AppendText("m", "text"), DeleteMessages(("m",)))
)
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
    session.Subscribe("subscriber/1", session.Cursor(1, 2)),
    session.RetryAnswer(message_id="m", executor_id="expert"),
    session.EditMessage(message_id="m", text="other", rerun=True, expected_version=3),
    session.Rerun(input_data={"name": "value"}, request_id="r"),
    session.ConfirmToolCall(call_id="c", outcome=ConfirmationOutcome.APPROVED),
    session.DeleteMessage(message_id="m"),
    session.SwitchBranch(message_id="m"),
    session.UpdateSession(changes=session.SessionChanges(title="t")),
    session.MarkRead(),
    session.GetPage(skip=1, take=2),
    session.SetActive(active=True),
    session.ReportAdmission(),
    session.OutputArrived("t", "c", "working"),
    session.ToolEnded("t", "c", ToolStatus.SUCCEEDED, "done"),
    session.SlotGranted("t"),
    session.SlotQueued("t", 3),
    session.SlotRefused("t", ERROR),
    session.PrepareRelease(),
    session.PartsArrived("t", PARTS),
    session.TurnEnded("t", ERROR),
    session.CallDelayed("t", 1, ERROR, 0.5),
    session.CancelToolCalls(call_ids=("c",)),
    session.ImagesRead("t", (("m", ("what it says",)),), ERROR),
    session.CallsStopped(2),
    session.ToolStopped("t", "c"),
    session.SubscriberEnded("subscriber/1"),
    persistence.SessionLoaded(StoredSession(RECORD, MESSAGES, 1, 2)),
    persistence.ChatOpened("/a.chat.json", "s"),
    persistence.ChatRefused("/a.chat.json", ERROR),
    persistence.SessionDeleted("s", ERROR),
    persistence.OpenChatFile("registry", "/a.chat.json"),
    persistence.RemoveSession("registry", "s"),
    persistence.ForkChatFile("/a.chat.json"),
    persistence.CreateChatFile(directory="/", record=RECORD, new_task=True),
    persistence.LoadFailed("s", ERROR),
    persistence.Saved("s", 1, 2),
    persistence.SaveFailed("s", 1, 2, ERROR),
    persistence.StoreLost(ERROR),
    persistence.Save("session/s", WRITE, immediate=True),
    persistence.LoadSession("session/s", "s"),
    persistence.ReadSession("s"),
    persistence.ListSessions(),
    persistence.PutRun(RunRecord("r", "d", "m", NOW, ("s",))),
    persistence.GetFileStatus("s"),
    persistence.GetLatestRun(),
    persistence.Flush(),
    governor.AcquirePermit(call_id=1, priority=2, max_concurrent=3),
    governor.CallAnswered(1),
    governor.ComeAgain(1.5, ERROR),
    governor.Ruling(1.5),
    governor.CallFailed(call_id=1, error=ERROR, attempt=2, spent_seconds=0.5),
    governor.ReturnPermit(1),
    governor.GetConnectionStatus(),
    governor.Wake(),
    registry.Deliver("s", SUBMIT),
    registry.ReleaseSession("s"),
    registry.CloseAll(),
    registry.SetMaxConcurrent(3),
    registry.GetPoolStatus(),
    registry.RequestSlot("s", "t", 1),
    registry.ReturnSlot("s", "t"),
    registry.Passivate("s", session.Handover(1, 2, (EVENT,)), ERROR),
    registry.OpenChat("/a.chat.json", "s"),
    registry.RegisterSession("s"),
    registry.UnregisterSession(session_id="s", force=True),
    registry.DeleteSession("s"),
    registry.SetActiveSession(None),
    registry.GetActive(),
    registry.GetRuntime("s"),
    registry.ListRuntimes(),
    registry.StartAutoCleanup(1.0, 2.0),
    registry.StopAutoCleanup(),
    registry.CleanUpIdle(2.0),
    registry.SubscribeAll("subscriber/1"),
    registry.GetStatistics(),
    registry.StaysLoaded("s", ERROR),
    registry.SessionNotice(RUNTIME),
    registry.SubscriberRefused("s", "subscriber"),
    session.AdmissionReport(
        runtime=RUNTIME, task_id="t", priority=1, number=2, has_slot=True, subscribers=("subscriber/1",)
    ),
    events.MessageChanged(MESSAGE),
    events.MessageEdited(MESSAGE),
    events.MessagesDeleted(("m",)),
    events.ToolCallsUpdated("m", (CALL_RECORD,)),
    events.ToolCallsCompleted("m", (CALL_RECORD,)),
    events.ToolOutput("c", "working"),
    events.ModelCallDelayed(1, ERROR, 0.5),
    events.ContextUpdated(RECORD),
    events.SessionRegistered(),
    events.SessionUnregistered(),
    events.SessionUnreadUpdated(2),
    events.SessionFailed(ERROR),
    events.PoolStatusChanged(PoolStatus(1, 2, 0, 3, 1, 0, 8)),
    events.PersistenceFailed(ERROR),
    events.ActorRestarted("registry"),
    events.SessionStatusChanged(SessionStatus.RUNNING),
    events.MessageAdded(MESSAGE),
    events.AnswerStreamed(PARTS),
    events.TaskFinished(OUTCOME),
    session.EventPublished(EVENT),
    session.EventsLost(Lagged()),
    session.SubscriptionEnded(),
    catalog.GetCatalog(),
    catalog.SaveAgent(AgentDefinition(agent_id="a", tools=("read",))),
    catalog.DeleteAgent("a"),
    catalog.SaveConnection(Connection(connection_id="c", api_key="key", models=("m",))),
    catalog.DeleteConnection("c"),
    catalog.SaveMcpServer(McpServer(server_id="s", command="s", arguments=("--fast",))),
    catalog.DeleteMcpServer("s"),
    catalog.SubscribeCatalog("mcp"),
    catalog.CatalogChanged(agents=("a",), mcp_servers=("s",)),
    mcp.ServersChanged((McpServer(server_id="s", command="s"),)),
    mcp.RegisterServer(McpServer(server_id="s", url="https://s")),
    mcp.UnregisterServer("s"),
    mcp.GetHealth(settled=True),
    mcp.CheckTools(),
)
UNIONS = (
    session.SessionMessage,
    persistence.PersistenceCommand,
    persistence.PersistenceNotice,
    registry.RegistryCommand,
    governor.GovernorMessage | governor.GetConnectionStatus,
    EventBody,
    GlobalBody,
    session.EventPublished | session.EventsLost | session.SubscriptionEnded,
    catalog.CatalogCommand | catalog.CatalogChanged,
    mcp.McpCommand,
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
    path
    for package in ("session", "registry", "persistence", "catalog")
    for path in (ACTORS / package).glob("*.py")
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_actors_never_wait_for_each_other_nor_look_into_each_other(path: Path) -> None:
    called = {
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }

    assert not called & {"ask", "proxy"}
