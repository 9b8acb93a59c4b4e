"""What must hold at the moment when a session wants something done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from actors.conversation import (
    Approval,
    Message,
    MessageState,
    Role,
    Text,
    ToolCall,
    ToolCallRequest,
    ToolResult,
)
from actors.events import TaskOutcome
from actors.models.base import ModelRequest
from actors.records import (
    ApprovalMode,
    CallRecord,
    CallState,
    ChatMode,
    ImageMode,
    SessionRecord,
    SessionStatus,
    StoredSession,
    WorkMode,
)
from actors.session.questions import images_in, with_images
from actors.session.state import SessionState
from actors.session.status import TRANSITIONS
from actors.session.tool_scheduler import FINAL_CALLS

__all__ = [
    "check_added",
    "check_end",
    "check_request",
    "check_room",
    "check_sendable",
    "check_step",
    "check_tool",
]

_HEARD = frozenset({SessionStatus.COMPLETED, SessionStatus.FAILED, SessionStatus.MAX_TURNS_REACHED})


def check_sendable(messages: tuple[Message, ...]) -> None:
    """Every tool call has an id of its own and one result right behind it, in order; no result is alone."""
    unread = list(messages)
    while unread:
        message = unread.pop(0)
        assert not isinstance(message.content, ToolResult), "a result without its call"
        if isinstance(message.content, ToolCallRequest):
            ids = {call.call_id for call in message.content.calls}
            assert "" not in ids
            assert len(ids) == len(message.content.calls), "two calls that nobody can tell apart"
            results = [unread.pop(0).content for _ in message.content.calls]
            assert [getattr(result, "call_id", None) for result in results] == [
                call.call_id for call in message.content.calls
            ]


def check_request(request: ModelRequest, stored: StoredSession, image_mode: ImageMode) -> None:
    """A model is asked with a sendable branch that is durable; the text in images may be read once more."""
    check_sendable(request.messages)
    assert request.messages[-1].role in (Role.USER, Role.TOOL)
    durable = {message.message_id: message for message in stored.messages}
    for message in request.messages:
        made_up = isinstance(message.content, ToolResult) and message.message_id not in durable
        if made_up:
            continue
        known = durable[message.message_id]
        assert _without_read(known) == _without_read(message), "asked before it was durable"
        for image in images_in(message):
            assert bool(image.text) == (image_mode is ImageMode.OCR)
    record = stored.record
    assert record.mode is ChatMode.AGENT or not request.tools
    if record.work_mode is WorkMode.PLAN:
        assert {tool.name for tool in request.tools} <= {"reads"}
        assert record.mode is ChatMode.CHAT or "plan mode" in request.system_prompt
    forbidden = {name for name, mode in record.tool_modes.items() if mode is ApprovalMode.DENY}
    assert not forbidden & {tool.name for tool in request.tools}


def _without_read(message: Message) -> Message:
    images = [msgspec.structs.replace(image, text="") for image in images_in(message)]
    return with_images(message, images) if images else message


def check_tool(
    task_id: str, call: ToolCall, stored: StoredSession, state: SessionState, approved: set[str]
) -> tuple[str, str | None, str]:
    """A tool runs after the write that says so, and never before the approval it needs; its identity."""
    turn = state.turn
    assert turn is not None
    assert turn.granted, "a tool runs with a slot only"
    task = stored.record.task
    assert task is not None
    assert task.task_id == task_id
    (record,) = [record for record in task.calls if record.call == call]
    assert record.state is CallState.EXECUTING, "run before the store knew"
    policy = state.tool_policy(turn)
    assert len([one for one in task.calls if one.state is CallState.EXECUTING]) <= policy.max_parallel
    tool = state.environment.tools.get_tool(call.name)
    assert tool is not None
    assert policy.names is None or tool.name in policy.names
    assert tool.read_only or stored.record.work_mode is WorkMode.ACT
    mode = policy.mode_of(tool)
    assert mode is not ApprovalMode.DENY
    if mode is ApprovalMode.ALWAYS_ASK or (mode is ApprovalMode.DEFAULT and tool.needs_confirmation):
        assert record.approval is Approval.APPROVED
        assert call.call_id in approved
    return task_id, stored.record.active_leaf_id, call.call_id


def check_room(call: ToolCall, running: Iterable[str], stopped: Iterable[str], state: SessionState) -> None:
    """There is room, no other call of its group is at work, and none before it may still be."""
    turn, tools = state.turn, state.environment.tools
    assert turn is not None
    beside = [*running, *stopped]
    assert len(beside) < state.tool_policy(turn).max_parallel
    beside += _unfinished_before(call, state.scheduler.calls)
    groups = [tool.group for name in beside if (tool := tools.get_tool(name)) is not None]
    tool = tools.get_tool(call.name)
    assert tool is not None
    assert not tool.group or tool.group not in groups, "two of a group at a time"


def _unfinished_before(call: ToolCall, calls: tuple[CallRecord, ...]) -> Iterator[str]:
    for record in calls:
        if record.call.call_id == call.call_id:
            return
        if record.state not in FINAL_CALLS:
            yield record.call.name


def check_added(message: Message, durable: list[Message]) -> None:
    """A message is announced when it is durable, one that begins to grow at once."""
    if message.state is MessageState.STREAMING:
        assert message.content == Text()
    else:
        assert message in durable, "announced before it was durable"


def check_end(outcome: TaskOutcome, stored: StoredSession) -> None:
    task = stored.record.task
    if outcome.status is SessionStatus.WAITING_CONFIRMATION:
        assert outcome.pending_calls
        assert task is not None
        assert task.task_id == outcome.task_id
        return
    messages = [message for message in stored.messages if message.task_id == outcome.task_id]
    assert all(message.state is not MessageState.STREAMING for message in messages)
    assert task is None or task.task_id != outcome.task_id, "finished before it was durable"


def check_step(known: SessionRecord, following: SessionRecord, state: SessionState) -> None:
    """One write after another: the status by its table, the unread answers by what somebody looked at."""
    if following.status is not known.status:
        assert following.status in TRANSITIONS[known.status]
    has_ended = known.task is not None and following.task is None
    if following.unread_count not in (known.unread_count, 0):
        assert following.unread_count == known.unread_count + 1
        assert following.status in _HEARD
        assert not state.active
    elif state.ready and has_ended and following.status in _HEARD:
        assert state.active
        assert following.unread_count == known.unread_count
