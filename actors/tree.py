"""The conversation as a tree: nothing is overwritten, the visible branch ends at the active leaf."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from actors.conversation import (
    Message,
    MessageState,
    Role,
    Text,
    ToolCall,
    ToolCallRequest,
    ToolResult,
    ToolStatus,
)

__all__ = ["ConversationTree", "sendable"]


class ConversationTree:
    """Messages by id, in the order in which they were first put."""

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self._messages: dict[str, Message] = {message.message_id: message for message in messages}

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages.values())

    def put(self, message: Message) -> None:
        """Insert a message, or replace the one with its id."""
        assert message.parent_id is None or message.parent_id in self._messages
        self._messages[message.message_id] = message

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

    def unanswered_question(self, leaf_id: str | None) -> Message | None:
        """The last question of a branch, unless it has a complete answer there."""
        for message in reversed(self.branch(leaf_id)):
            if message.role is Role.USER:
                return message
            if message.role is Role.ASSISTANT and message.state is MessageState.COMPLETE:
                return None
        return None


def sendable(branch: tuple[Message, ...]) -> tuple[Message, ...]:
    """The branch as a model may be asked with it: every tool call has exactly one result behind it.

    A call whose answer was cut is left out, since the model may not have finished writing it; a complete
    call without a result gets one that says so.
    """
    results = _results_by_request(branch)
    sent: list[Message] = []
    for message in branch:
        match message.content:
            case ToolCallRequest(calls):
                if message.state is MessageState.COMPLETE:
                    sent.append(message)
                    sent += _one_result_each(message, calls, results[message.message_id])
            case ToolResult():
                pass  # stands behind its call
            case Text(text):
                if text or message.role is not Role.ASSISTANT:
                    sent.append(message)
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
