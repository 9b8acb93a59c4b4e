"""The conversation as a tree: nothing is overwritten, the visible branch ends at the active leaf."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from actors.conversation import (
    FileReference,
    Image,
    Message,
    MessageState,
    Processing,
    Role,
    SystemControl,
    Text,
    ToolCall,
    ToolCallRequest,
    ToolResult,
    ToolStatus,
)

__all__ = ["ConversationTree", "Removal", "sendable", "visible_branch"]


class Removal(msgspec.Struct, frozen=True):
    """What is to go, and the messages that stay and hung on it, with their new parents."""

    message_ids: tuple[str, ...]
    moved: tuple[Message, ...]
    parent_id: str | None


class ConversationTree:
    """Messages by id, in the order in which they were first put."""

    __slots__ = ("_messages",)

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self._messages: dict[str, Message] = {message.message_id: message for message in messages}

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages.values())

    def find(self, message_id: str) -> Message | None:
        return self._messages.get(message_id)

    def put(self, message: Message) -> None:
        """Insert a message, or replace the one with its id."""
        assert message.parent_id is None or message.parent_id in self._messages
        self._messages[message.message_id] = message

    def remove(self, removal: Removal) -> None:
        for message in removal.moved:
            self._messages[message.message_id] = message
        for message_id in removal.message_ids:
            del self._messages[message_id]

    def branch(self, leaf_id: str | None) -> tuple[Message, ...]:
        """From the root to `leaf_id`."""
        backwards: list[Message] = []
        while leaf_id is not None:
            message = self._messages[leaf_id]
            backwards.append(message)
            leaf_id = message.parent_id
        return tuple(reversed(backwards))

    def of_task(self, task_id: str) -> tuple[Message, ...]:
        """What one turn made."""
        return tuple(message for message in self._messages.values() if message.task_id == task_id)

    def question_of(self, message_id: str) -> Message | None:
        """The question that this message answers, or that it is."""
        message = self._messages.get(message_id)
        while message is not None and message.role is not Role.USER:
            message = None if message.parent_id is None else self._messages[message.parent_id]
        return message

    def unanswered_question(self, leaf_id: str | None) -> Message | None:
        """The last question of a branch, unless it has a complete answer there.

        How an answer ended its last message says: tool calls before it are complete also when it was cut.
        """
        for message in reversed(self.branch(leaf_id)):
            if message.role is Role.USER:
                return message
            if message.role is Role.ASSISTANT:
                is_complete = message.state is MessageState.COMPLETE
                return None if is_complete else self.question_of(message.message_id)
        return None

    def newest_leaf(self, message_id: str) -> str:
        """The end of the branch through `message_id` that takes the newest child at each step."""
        newest = {message.parent_id: message.message_id for message in self._messages.values()}
        while message_id in newest:
            message_id = newest[message_id]
        return message_id

    def removal(self, message_id: str) -> Removal:
        """What goes with a message: with a question all its answers, with an answer its tool calls.

        What somebody said after it stays, and moves up to where it began.
        """
        top = self._messages[message_id]
        if not _stands_alone(top):
            top = self._top_of_answer(top)
        gone = {top.message_id}
        if top.role is not Role.SYSTEM:
            # A child is put after its parent, but a message that was moved may be before its new one.
            children = self._children()
            open_ends = [top.message_id]
            while open_ends:
                for child in children.get(open_ends.pop(), ()):
                    if not _stands_alone(child):
                        gone.add(child.message_id)
                        open_ends.append(child.message_id)
        moved = tuple(
            msgspec.structs.replace(message, parent_id=top.parent_id)
            for message in self._messages.values()
            if message.parent_id in gone and message.message_id not in gone
        )
        ordered = tuple(message_id for message_id in self._messages if message_id in gone)
        return Removal(ordered, moved, top.parent_id)

    def _top_of_answer(self, message: Message) -> Message:
        while message.parent_id is not None:
            parent = self._messages[message.parent_id]
            if _stands_alone(parent):
                break
            message = parent
        return message

    def _children(self) -> dict[str, list[Message]]:
        children: dict[str, list[Message]] = {}
        for message in self._messages.values():
            if message.parent_id is not None:
                children.setdefault(message.parent_id, []).append(message)
        return children


def _stands_alone(message: Message) -> bool:
    """Whether it is no part of an answer."""
    return message.role in (Role.USER, Role.SYSTEM)


def visible_branch(messages: Sequence[Message], leaf_id: str | None) -> tuple[Message, ...]:
    """From the root to `leaf_id`, and the answer that is growing behind it."""
    branch = ConversationTree(messages).branch(leaf_id)
    for message in reversed(messages):
        if message.state is MessageState.STREAMING and message.parent_id == leaf_id:
            return (*branch, message)
    return branch


def sendable(branch: Iterable[Message]) -> tuple[Message, ...]:
    """The branch as a model may be asked with it: every tool call has exactly one result behind it.

    A call whose answer was cut is left out, since the model may not have finished writing it; a complete
    call without a result gets one that says so. A thought without text stays where it led to calls: some
    models go on from there.
    """
    branch = tuple(branch)
    results = _results_by_request(branch)
    sent: list[Message] = []
    thoughts: list[Message] = []  # at most the one right before
    for message in branch:
        only_thoughts, thoughts = thoughts, []
        match message.content:
            case ToolCallRequest(calls):
                if message.state is MessageState.COMPLETE:
                    sent += [*only_thoughts, message]
                    sent += _one_result_each(message, calls, results[message.message_id])
            case ToolResult() | SystemControl() | Processing():
                pass  # a result stands behind its call; the others are ours
            case Image() | FileReference():
                sent.append(message)
            case Text(text, thought):
                if text or message.provider_items or message.role is not Role.ASSISTANT:
                    sent.append(message)
                elif thought:
                    thoughts = [message]
    return tuple(sent)


def _results_by_request(branch: tuple[Message, ...]) -> dict[str, dict[str, Message]]:
    """By request and call id. A result belongs to the calls before it: some models use ids again."""
    found: dict[str, dict[str, Message]] = {}
    latest: dict[str, Message] = {}
    for message in branch:
        if isinstance(message.content, ToolCallRequest):
            latest = found[message.message_id] = {}
        elif isinstance(message.content, ToolResult):
            latest[message.content.call_id] = message
    return found


def _one_result_each(
    request: Message, calls: tuple[ToolCall, ...], results: dict[str, Message]
) -> list[Message]:
    return [
        results.pop(call.call_id, None) or _never_ran(request, index, call)
        for index, call in enumerate(calls)
    ]


def _never_ran(request: Message, index: int, call: ToolCall) -> Message:
    return Message(
        message_id=f"{request.message_id}/{index}",
        parent_id=request.message_id,
        role=Role.TOOL,
        content=ToolResult(call.call_id, call.name, ToolStatus.CANCELLED, "This tool was not run."),
        created_at=request.created_at,
        task_id=request.task_id,
    )
