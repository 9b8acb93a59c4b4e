"""An answer as a tree of steps: itself, and below it the tool calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from actors.conversation import (
    Approval,
    Image,
    Message,
    MessageState,
    Role,
    Text,
    ToolCallRequest,
    ToolResult,
    ToolStatus,
)
from actors.groups import (
    ExecutionNode,
    ExecutorType,
    GroupFile,
    GroupSlot,
    MessageGroup,
    NodeData,
    NodeStatus,
    ToolCallData,
    group_slots,
    question_group,
)
from actors.projections.statuses import NODE_STATUS_OF_CALL, NODE_STATUS_OF_MESSAGE, NODE_STATUS_OF_RESULT
from actors.records import CallRecord, TaskRecord
from actors.tree import visible_branch

__all__ = [
    "BETWEEN_TEXTS",
    "answer_status",
    "group_of",
    "groups_of_slots",
    "message_groups",
    "tool_node_id",
]

BETWEEN_TEXTS = "\n\n"
"""What stands between the texts of one answer, which are those of several model calls."""

_AGENT = "default"


def message_groups(
    messages: Sequence[Message], leaf_id: str | None, task: TaskRecord | None
) -> tuple[MessageGroup, ...]:
    """The groups of the branch that is visible while `leaf_id` is active, the oldest first.

    `messages` are those of all branches, `task` is the session's unfinished turn: its answer is not over,
    and its calls say where the tools are.
    """
    return groups_of_slots(group_slots(messages, visible_branch(messages, leaf_id)), task)


def groups_of_slots(slots: Sequence[GroupSlot], task: TaskRecord | None) -> tuple[MessageGroup, ...]:
    """As `message_groups`, of a branch that is divided already."""
    last = len(slots) - 1
    return tuple(group_of(slot, task if place == last else None) for place, slot in enumerate(slots))


def group_of(slot: GroupSlot, task: TaskRecord | None) -> MessageGroup:
    """One group; give `task` for the last group of a branch only, since no other can be unfinished."""
    head = slot.messages[0]
    if head.role is Role.USER:
        return question_group(slot)
    return MessageGroup(
        id=head.message_id,
        timestamp=head.created_at,
        role=Role.ASSISTANT,
        files=tuple(
            GroupFile(message.content.file_name or "image", message.content.media_type)
            for message in slot.messages
            if isinstance(message.content, Image)
        ),
        execution_root=_root(slot.messages, task if task and task.task_id == head.task_id else None),
        persisted_node_id=head.message_id,
        sibling_index=slot.sibling_index,
        sibling_count=slot.sibling_count,
    )


def answer_status(last: Message, *, is_open: bool) -> NodeStatus:
    """Where the answer stands whose last message so far is this one."""
    if is_open:
        return NodeStatus.RUNNING
    result = last.content
    if (
        isinstance(result, ToolResult)
        and result.status is ToolStatus.CANCELLED
        and result.approval is not Approval.DENIED
    ):
        return NodeStatus.CANCELLED  # the turn was stopped between two model calls
    return NODE_STATUS_OF_MESSAGE[last.state]


def tool_node_id(message_id: str, place: int) -> str:
    """The node of a tool call: its `call_id` would not do, since some models use one again."""
    return f"{message_id}/{place}"


def _root(messages: Sequence[Message], task: TaskRecord | None) -> ExecutionNode:
    head, last = messages[0], messages[-1]
    status = answer_status(last, is_open=task is not None)
    latest = max(map(_ended_at, messages))
    texts = [message.content for message in messages if isinstance(message.content, Text)]
    model = head.model or _AGENT
    return ExecutionNode(
        id=head.message_id,
        executor_id=head.executor_id or model,
        executor_type=ExecutorType.AGENT,
        name=model,
        status=status,
        start_time=head.created_at,
        end_time=max(head.created_at, latest) if status.is_final else None,
        data=NodeData(
            thought=BETWEEN_TEXTS.join(text.thought for text in texts if text.thought) or None,
            output=BETWEEN_TEXTS.join(text.text for text in texts if text.text) or None,
            meta_info=_meta_info(last) or None,
        ),
        children=_tool_nodes(messages, task, latest),
    )


def _meta_info(last: Message) -> dict[str, str | int | float]:
    info: dict[str, str | int | float] = {}
    if last.model is not None:
        info["model"] = last.model
    if last.finish_reason is not None:
        info["finishReason"] = last.finish_reason.value
    if last.usage is not None:
        info["inputTokens"] = last.usage.input_tokens
        info["outputTokens"] = last.usage.output_tokens
    if last.error is not None:
        info["errorCode"] = last.error.code.value
        info["error"] = last.error.message
    return info


class _Call:
    """A tool call and its node, as far as it is known."""

    __slots__ = ("call_id", "has_result", "node")

    def __init__(self, call_id: str, node: ExecutionNode) -> None:
        self.call_id = call_id
        self.node = node
        self.has_result = False


def _tool_nodes(
    messages: Sequence[Message], task: TaskRecord | None, latest: datetime
) -> tuple[ExecutionNode, ...]:
    """Those of all calls, in the model's order; a result belongs to the nearest request before it."""
    calls: list[_Call] = []
    asked: list[_Call] = []
    for message in messages:
        match message.content:
            case ToolCallRequest():
                ended_at = latest if task is None or message.state is not MessageState.COMPLETE else None
                asked = _asked(message, messages[0].message_id, ended_at)
                calls += asked
            case ToolResult() as result:
                for call in asked:
                    if call.call_id == result.call_id and not call.has_result:
                        call.node = _with_result(call.node, result, _ended_at(message))
                        call.has_result = True
                        break
            case _:
                pass
    if task is not None:
        for call, record in zip(asked, task.calls, strict=False):
            if call.call_id == record.call.call_id and not call.has_result:
                call.node = _with_record(call.node, record)
    return tuple(call.node for call in calls)


def _asked(message: Message, root_id: str, ended_at: datetime | None) -> list[_Call]:
    """The calls that a message asks for: they wait, or with `ended_at` they were never run."""
    assert isinstance(message.content, ToolCallRequest)
    return [
        _Call(
            call.call_id,
            ExecutionNode(
                id=tool_node_id(message.message_id, place),
                parent_id=root_id,
                executor_id=call.name,
                executor_type=ExecutorType.TOOL,
                name=call.name,
                status=NodeStatus.PENDING if ended_at is None else NodeStatus.CANCELLED,
                start_time=message.created_at,
                end_time=None if ended_at is None else max(message.created_at, ended_at),
                data=NodeData(tool_call=ToolCallData(call.name, call.arguments)),
            ),
        )
        for place, call in enumerate(message.content.calls)
    ]


def _with_result(node: ExecutionNode, result: ToolResult, added_at: datetime) -> ExecutionNode:
    started_at = result.started_at or node.start_time
    return msgspec.structs.replace(
        node,
        status=NODE_STATUS_OF_RESULT[result.status],
        start_time=started_at,
        end_time=max(started_at, result.ended_at or added_at),
        data=_with_output(node.data, result.output),
    )


def _with_record(node: ExecutionNode, record: CallRecord) -> ExecutionNode:
    status = NODE_STATUS_OF_CALL[record.state]
    started_at = record.started_at or node.start_time
    node = msgspec.structs.replace(node, status=status, start_time=started_at)
    if not status.is_final:
        return node
    return msgspec.structs.replace(
        node,
        end_time=max(started_at, record.ended_at or started_at),
        data=_with_output(node.data, record.output),
    )


def _with_output(data: NodeData, output: str) -> NodeData:
    assert data.tool_call is not None
    return msgspec.structs.replace(
        data, output=output, tool_call=msgspec.structs.replace(data.tool_call, result=output)
    )


def _ended_at(message: Message) -> datetime:
    return message.ended_at or message.created_at
