"""Tells a session's events in the orchestrator's words: groups begin, nodes grow, a turn has one end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import assert_never

import msgspec

from actors.conversation import (
    FileReference,
    Image,
    Message,
    MessageState,
    Part,
    Processing,
    Role,
    SystemControl,
    Text,
    TextPart,
    ThoughtPart,
    ToolCallRequest,
    ToolResult,
)
from actors.errors import ErrorCode, ErrorInfo
from actors.events import (
    AnswerStreamed,
    ContextUpdated,
    Event,
    MessageAdded,
    MessageChanged,
    MessageEdited,
    MessagesDeleted,
    ModelCallDelayed,
    SessionStatusChanged,
    TaskFinished,
    TaskOutcome,
    ToolCallsCompleted,
    ToolCallsUpdated,
    ToolOutput,
)
from actors.groups import (
    GroupSlot,
    MessageGroup,
    NodeData,
    NodeStatus,
    group_slots,
    head_of,
    is_shown,
    siblings_of,
)
from actors.projections.grouping import answer_status, group_of
from actors.projections.open_answer import OpenAnswer
from actors.projections.orchestrator_events import (
    ErrorDocument,
    Failed,
    FailedPayload,
    Finished,
    FinishedPayload,
    MessageRewritten,
    MessageRewrittenPayload,
    MessagesRemoved,
    MessagesRemovedPayload,
    NodeField,
    OrchestratorEvent,
    SessionStart,
)
from actors.projections.statuses import NODE_STATUS_OF_TASK
from actors.records import SessionStatus
from actors.session.protocol import SessionSnapshot

__all__ = ["OrchestratorProjection"]


class OrchestratorProjection:
    """Follows one session from a snapshot on; give it every event after that, once, in order.

    The chunks of an answer that was growing in the snapshot go on where the snapshot's groups end. A turn
    ends with `finished` or `error`; one that was stopped ends when its node is cancelled, and with neither,
    since to a view `finished` is success. What a tool says while it runs is not told: its result is.
    """

    def __init__(self, snapshot: SessionSnapshot) -> None:
        self._messages = {message.message_id: message for message in snapshot.messages}
        self._answer: OpenAnswer | None = None
        self._latest: str | None = None  # the last message of that answer
        task = snapshot.record.task
        slots = group_slots(snapshot.messages, snapshot.branch)
        if task is not None and slots and slots[-1].messages[0].task_id == task.task_id:
            root = group_of(slots[-1], task).execution_root
            if root is not None:
                self._answer = OpenAnswer.restored(root, slots[-1].messages)
                self._latest = slots[-1].messages[-1].message_id

    def apply(self, event: Event) -> tuple[OrchestratorEvent, ...]:
        """What the views are told of this event, in order."""
        match event.body:
            case MessageAdded(message):
                # A snapshot may have what is announced only when it is durable.
                is_known = message.message_id in self._messages
                self._messages[message.message_id] = message
                return tuple(self._changed(message) if is_known else self._added(message))
            case MessageChanged(message):
                self._messages[message.message_id] = message
                return tuple(self._changed(message))
            case MessageEdited(message):
                self._messages[message.message_id] = message
                text = message.content.text if isinstance(message.content, Text) else ""
                payload = MessageRewrittenPayload(event.session_id, text, message.message_id)
                return (MessageRewritten(payload),)
            case MessagesDeleted(message_ids):
                for message_id in message_ids:
                    self._messages.pop(message_id, None)
                return (MessagesRemoved(MessagesRemovedPayload(message_ids)),)
            case AnswerStreamed(parts, message_id):
                return tuple(self._streamed(parts, message_id))
            case ToolCallsUpdated(message_id, calls):
                return () if self._answer is None else tuple(self._answer.calls_updated(message_id, calls))
            case TaskFinished(outcome):
                return tuple(self._finished(outcome, event))
            case (
                SessionStatusChanged()
                | ModelCallDelayed()
                | ToolOutput()
                | ToolCallsCompleted()
                | ContextUpdated()
            ):
                return ()
            case _:
                assert_never(event.body)

    def _added(self, message: Message) -> Iterator[OrchestratorEvent]:
        if not is_shown(message):
            return
        if message.role is Role.USER:
            if self._answer is not None and self._latest is not None:
                # One that was said meanwhile, or the next one of a rerun.
                latest = self._messages[self._latest]
                yield from self._answer.end(answer_status(latest, is_open=False))
                self._answer = None
            yield SessionStart(self._group_of_head(message))
            return
        if self._answer is None or head_of(self._messages, message).message_id != self._answer.node_id:
            group = self._group_of_head(message)
            assert group.execution_root is not None
            root = msgspec.structs.replace(
                group.execution_root, status=NodeStatus.PENDING, end_time=None, data=NodeData(), children=()
            )
            yield SessionStart(msgspec.structs.replace(group, execution_root=root))
            self._answer = OpenAnswer(root, message.task_id)
            if message.state is not MessageState.ABORTED or message.content != Text():
                yield from self._answer.run()
        self._latest = message.message_id
        match message.content:
            case Text():
                yield from self._answer.text(message)
            case ToolCallRequest():
                yield from self._answer.ask(message)
            case ToolResult() as result:
                yield from self._answer.result(result)
            case Image() | FileReference() | SystemControl() | Processing():
                pass
            case _:
                assert_never(message.content)

    def _changed(self, message: Message) -> Iterator[OrchestratorEvent]:
        answer = self._answer
        if (
            answer is not None
            and isinstance(message.content, Text)
            and is_shown(message)
            and head_of(self._messages, message).message_id == answer.node_id
        ):
            yield from answer.text(message)

    def _group_of_head(self, head: Message) -> MessageGroup:
        siblings = siblings_of(self._messages, head)
        slot = GroupSlot((head,), siblings.index(head.message_id), len(siblings))
        return group_of(slot, None)

    def _streamed(self, parts: tuple[Part, ...], message_id: str) -> Iterator[OrchestratorEvent]:
        if self._answer is None or not message_id:
            return
        for kind, run in groupby(parts, type):
            if kind is TextPart or kind is ThoughtPart:
                field = NodeField.OUTPUT if kind is TextPart else NodeField.THOUGHT
                chunk = "".join([part.text for part in run if isinstance(part, TextPart | ThoughtPart)])
                yield from self._answer.say(message_id, field, chunk)

    def _finished(self, outcome: TaskOutcome, event: Event) -> Iterator[OrchestratorEvent]:
        if self._answer is not None and self._answer.task_id == outcome.task_id:
            yield from self._answer.end(NODE_STATUS_OF_TASK[outcome.status])
            self._answer = None
        match outcome.status:
            case SessionStatus.COMPLETED | SessionStatus.MAX_TURNS_REACHED:
                yield Finished(FinishedPayload(event.session_id, outcome.task_id))
            case SessionStatus.FAILED:
                error = outcome.error or ErrorInfo(ErrorCode.UNKNOWN, "the turn failed")
                yield Failed(FailedPayload(error.message, ErrorDocument.of(error), outcome.task_id))
            case _:
                assert outcome.status is SessionStatus.ABORTED, outcome.status
