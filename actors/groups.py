"""The visible branch as people read it: a group for each question, and one for each answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from actors.conversation import (
    FileReference,
    Image,
    Message,
    Processing,
    Role,
    SystemControl,
    Text,
    ToolCallRequest,
    ToolResult,
)

__all__ = [
    "ExecutionNode",
    "ExecutorType",
    "GroupFile",
    "GroupSlot",
    "MessageGroup",
    "NodeData",
    "NodeStatus",
    "ToolCallData",
    "group_slots",
    "head_of",
    "is_shown",
    "question_group",
    "siblings_of",
]


class NodeStatus(StrEnum):
    """Where a step of an answer stands. The last three are final."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self not in (NodeStatus.PENDING, NodeStatus.RUNNING)


class ExecutorType(StrEnum):
    """What kind of thing carries out a step. The engine itself makes agents and tools."""

    AGENT = "agent"
    TOOL = "tool"
    HTTP = "http"
    SCRIPT = "script"
    COMPOSITE = "composite"


class ToolCallData(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A tool call. `args` is the JSON text as the model wrote it, `result` what the tool gave back."""

    name: str
    args: str
    result: str | None = None


class NodeData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a step was given, and what came of it.

    Of an answer `output` and `thought` are all its texts, a blank line between two; of a tool call `output`
    is the result. `meta_info` says how the model ended: model, finishReason, tokens, errorCode, error.
    """

    input: str | None = None
    thought: str | None = None
    output: str | None = None
    tool_call: ToolCallData | None = None
    meta_info: dict[str, str | int | float] | None = None


class ExecutionNode(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A step of an answer: the answer itself, or below it a tool call.

    The id of an answer is that of its first message; of a tool call the id of the message that asks for
    it, a slash, and its place there. A final node has an `end_time`, not before its `start_time`.
    """

    id: str
    executor_id: str
    executor_type: ExecutorType
    name: str
    status: NodeStatus
    start_time: datetime
    parent_id: str | None = None
    end_time: datetime | None = None
    data: NodeData = NodeData()
    children: tuple[ExecutionNode, ...] = ()


class GroupFile(msgspec.Struct, frozen=True):
    name: str
    type: str


class MessageGroup(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A question with its `content`, or an answer with its `execution_root`.

    The id is that of its first message, and so is `persisted_node_id`. `sibling_index` is its place, from
    0, among the `sibling_count` alternatives: wordings of the question, or answers to it.
    """

    id: str
    timestamp: datetime
    role: Role
    content: str | None = None
    files: tuple[GroupFile, ...] = ()
    execution_root: ExecutionNode | None = None
    persisted_node_id: str | None = None
    sibling_index: int | None = None
    sibling_count: int | None = None


class GroupSlot(msgspec.Struct, frozen=True):
    """The messages that are one group, and its place among its alternatives."""

    messages: tuple[Message, ...]
    sibling_index: int
    sibling_count: int


def is_shown(message: Message) -> bool:
    """Whether a message belongs to a group.

    What the engine wrote for itself, `SystemControl`, `Processing` and all of the role system, does not: it
    stands in the list of messages only, and the groups around it are neighbours.
    """
    return message.role is not Role.SYSTEM and not isinstance(message.content, SystemControl | Processing)


def head_of(messages: Mapping[str, Message], message: Message) -> Message:
    """The first message of the group to which a shown message belongs."""
    while True:
        before = _anchor(messages, message)
        if before is None or not _is_one_answer(before, message):
            return message
        message = before


def siblings_of(messages: Mapping[str, Message], head: Message) -> tuple[str, ...]:
    """The first messages of a group's alternatives, itself included, in the order in which they were made.

    Looks at all messages.
    """
    place = _place(messages, head)
    return tuple(
        message.message_id
        for message in messages.values()
        if is_shown(message) and _place(messages, message) == place and _is_head(messages, message)
    )


def group_slots(messages: Iterable[Message], branch: Sequence[Message]) -> tuple[GroupSlot, ...]:
    """Divide a branch into groups, the oldest first; `messages` are those of all branches."""
    by_id = {message.message_id: message for message in messages}
    alternatives: dict[tuple[str | None, bool], list[str]] = {}
    for message in by_id.values():
        if is_shown(message) and _is_head(by_id, message):
            alternatives.setdefault(_place(by_id, message), []).append(message.message_id)
    groups: list[list[Message]] = []
    for message in branch:
        if not is_shown(message):
            continue
        if groups and _is_one_answer(groups[-1][-1], message):
            groups[-1].append(message)
        else:
            groups.append([message])
    slots: list[GroupSlot] = []
    for group in groups:
        siblings = alternatives[_place(by_id, group[0])]
        slots.append(GroupSlot(tuple(group), siblings.index(group[0].message_id), len(siblings)))
    return tuple(slots)


def question_group(slot: GroupSlot) -> MessageGroup:
    """The group of a user's message."""
    (message,) = slot.messages
    content, files = _content_and_files(message)
    return MessageGroup(
        id=message.message_id,
        timestamp=message.created_at,
        role=Role.USER,
        content=content,
        files=files,
        persisted_node_id=message.message_id,
        sibling_index=slot.sibling_index,
        sibling_count=slot.sibling_count,
    )


def _content_and_files(message: Message) -> tuple[str, tuple[GroupFile, ...]]:
    match message.content:
        case Text(text=text, attachments=attachments, images=images, references=references):
            files = [GroupFile(attachment.file_name, "text/plain") for attachment in attachments]
            files += map(_image_file, images)
            files += [GroupFile(reference.path, "text/plain") for reference in references]
            return text, tuple(files)
        case Image(text=text):
            return text, (_image_file(message.content),)
        case FileReference(path=path):
            return "", (GroupFile(path, "text/plain"),)
        case ToolCallRequest() | ToolResult() | SystemControl() | Processing():
            return "", ()


def _image_file(image: Image) -> GroupFile:
    return GroupFile(image.file_name or "image", image.media_type)


def _anchor(messages: Mapping[str, Message], message: Message) -> Message | None:
    """The nearest shown message above."""
    while message.parent_id is not None:
        message = messages[message.parent_id]
        if is_shown(message):
            return message
    return None


def _place(messages: Mapping[str, Message], message: Message) -> tuple[str | None, bool]:
    anchor = _anchor(messages, message)
    return (None if anchor is None else anchor.message_id, message.role is Role.USER)


def _is_head(messages: Mapping[str, Message], message: Message) -> bool:
    anchor = _anchor(messages, message)
    return anchor is None or not _is_one_answer(anchor, message)


def _is_one_answer(before: Message, message: Message) -> bool:
    return (
        before.role is not Role.USER and message.role is not Role.USER and before.task_id == message.task_id
    )
