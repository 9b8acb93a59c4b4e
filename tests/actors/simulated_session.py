"""A session without an engine: it says the events that one says, and gives the snapshot after each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from actors.conversation import (
    FinishReason,
    Message,
    MessageState,
    Part,
    Role,
    SystemControl,
    Text,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolCallRequest,
    ToolResult,
    ToolStatus,
)
from actors.errors import ErrorCode, ErrorInfo
from actors.events import (
    AnswerStreamed,
    ContextUpdated,
    Event,
    EventBody,
    MessageAdded,
    MessageChanged,
    MessageEdited,
    MessagesDeleted,
    SessionStatusChanged,
    TaskFinished,
    TaskOutcome,
    ToolCallsUpdated,
)
from actors.records import CallRecord, CallState, SessionRecord, SessionStatus, TaskRecord
from actors.session.protocol import SessionSnapshot
from actors.tree import ConversationTree

__all__ = ["START", "SimulatedSession"]

START = datetime(2026, 1, 1, tzinfo=UTC)
_MESSAGE_STATES = {
    SessionStatus.COMPLETED: MessageState.COMPLETE,
    SessionStatus.FAILED: MessageState.FAILED,
    SessionStatus.ABORTED: MessageState.ABORTED,
}
_TOOL_ENDS = {
    ToolStatus.SUCCEEDED: CallState.SUCCESS,
    ToolStatus.FAILED: CallState.ERROR,
    ToolStatus.CANCELLED: CallState.CANCELLED,
}


class SimulatedSession:
    """Its clock goes on by a second with every message and event."""

    def __init__(self) -> None:
        self.record = SessionRecord(session_id="s", created_at=START, updated_at=START)
        self.tree = ConversationTree()
        self.events: list[Event] = []
        self.growing: Message | None = None
        self._epoch = 1
        self._ticks = 0
        self._made = 0

    @property
    def snapshot(self) -> SessionSnapshot:
        messages = tuple(self.tree)
        return SessionSnapshot(
            record=self.record, messages=messages, epoch=self._epoch, seq=len(self.events)
        )

    @property
    def task_id(self) -> str | None:
        return None if self.record.task is None else self.record.task.task_id

    @property
    def questions(self) -> list[str]:
        return [message.message_id for message in self.tree if message.role is Role.USER]

    @property
    def open_calls(self) -> tuple[CallRecord, ...]:
        return () if self.record.task is None else self.record.task.calls

    # -- what a turn does --

    def ask(self, text: str, parent_id: str | None = "") -> str:
        """Begin a turn with a question at the end of the visible branch, or under `parent_id`."""
        task_id = self._new_id("t")
        parent_id = self.record.active_leaf_id if parent_id == "" else parent_id
        question = self._message(parent_id, Role.USER, Text(text), task_id)
        self._begin(question, task_id)
        self.tree.put(question)
        self.say(MessageAdded(question))
        self._change(status=SessionStatus.QUEUED, active_leaf_id=question.message_id)
        self._change(status=SessionStatus.RUNNING)
        return question.message_id

    def retry(self, question_id: str) -> None:
        question = self._get(question_id)
        self._begin(question, self._new_id("t"))
        self._change(status=SessionStatus.RUNNING, active_leaf_id=question_id)

    def stream(self, *parts: Part) -> None:
        has_text = any(isinstance(part, TextPart | ThoughtPart) for part in parts)
        if self.growing is None and has_text:
            self.growing = self._message(
                self.record.active_leaf_id, Role.ASSISTANT, Text(), self.task_id, MessageState.STREAMING
            )
            self.tree.put(self.growing)
            self.say(MessageAdded(self.growing))
        if self.growing is not None:
            assert isinstance(self.growing.content, Text)
            text = self.growing.content.text + "".join(
                part.text for part in parts if isinstance(part, TextPart)
            )
            thought = self.growing.content.thought + "".join(
                part.text for part in parts if isinstance(part, ThoughtPart)
            )
            self.growing = msgspec.structs.replace(self.growing, content=Text(text, thought))
            self.tree.put(self.growing)
        self.say(AnswerStreamed(parts, "" if self.growing is None else self.growing.message_id))

    def stream_to(self, message_id: str, *parts: Part) -> None:
        self.say(AnswerStreamed(parts, message_id))

    def steer(self, text: str) -> None:
        """Something is said to the running turn, between two model calls."""
        leaf_id = self._end_growing(MessageState.COMPLETE)
        said = self._message(leaf_id, Role.USER, Text(text), self.task_id)
        self.tree.put(said)
        self.say(MessageAdded(said))
        self._change(active_leaf_id=said.message_id)

    def call_tools(self, *calls: ToolCall) -> None:
        """The model call ends, and wants these."""
        leaf_id = self._end_growing(MessageState.COMPLETE)
        request = self._message(leaf_id, Role.ASSISTANT, ToolCallRequest(calls), self.task_id)
        self.tree.put(request)
        self.say(MessageAdded(request))
        self._set_calls(
            request.message_id, tuple(CallRecord(call=call, state=CallState.SCHEDULED) for call in calls)
        )

    def run_tools(self) -> None:
        assert self.record.active_leaf_id is not None
        self._set_calls(
            self.record.active_leaf_id,
            tuple(
                msgspec.structs.replace(call, state=CallState.EXECUTING, started_at=self._now())
                for call in self.open_calls
            ),
        )

    def end_tools(self, status: ToolStatus, output: str) -> None:
        request_id = leaf_id = self.record.active_leaf_id
        assert request_id is not None
        ended = tuple(
            msgspec.structs.replace(call, state=_TOOL_ENDS[status], output=output, ended_at=self._now())
            for call in self.open_calls
        )
        self._set_calls(request_id, ended)
        for call in ended:
            result = ToolResult(
                call.call.call_id,
                call.call.name,
                status,
                output,
                started_at=call.started_at,
                ended_at=call.ended_at,
            )
            message = self._message(leaf_id, Role.TOOL, result, self.task_id)
            self.tree.put(message)
            self.say(MessageAdded(message))
            leaf_id = message.message_id
        assert self.record.task is not None
        self._change(active_leaf_id=leaf_id, task=msgspec.structs.replace(self.record.task, calls=()))

    def end(self, status: SessionStatus) -> None:
        """The turn ends; open calls were cancelled before."""
        task_id, state = self.task_id, _MESSAGE_STATES[status]
        assert task_id is not None
        error = ErrorInfo(ErrorCode.NETWORK_ERROR, "gone") if status is SessionStatus.FAILED else None
        if self.growing is None:
            self.growing = self._message(self.record.active_leaf_id, Role.ASSISTANT, Text(), task_id, state)
            self.growing = msgspec.structs.replace(self.growing, error=error)
            self.tree.put(self.growing)
            self.say(MessageAdded(self.growing))
            leaf_id, self.growing = self.growing.message_id, None
        else:
            leaf_id = self._end_growing(state, error)
        self._change(status=status, active_leaf_id=leaf_id, task=None, error=error)
        outcome = TaskOutcome(session_id="s", task_id=task_id, status=status, prompt="", error=error)
        self.say(TaskFinished(outcome), task_id)

    # -- what is done between turns --

    def edit(self, message_id: str, text: str) -> None:
        edited = msgspec.structs.replace(self._get(message_id), content=Text(text))
        self.tree.put(edited)
        self.say(MessageEdited(edited))
        self._change()

    def edit_and_rerun(self, message_id: str, text: str) -> str:
        return self.ask(text, self._get(message_id).parent_id)

    def delete(self, message_id: str) -> None:
        removal = self.tree.removal(message_id)
        leaf_id = self.record.active_leaf_id
        while leaf_id in removal.message_ids:
            leaf_id = self._get(leaf_id).parent_id
        self.tree.remove(removal)
        for moved in removal.moved:
            self.say(MessageChanged(moved))
        self._change(active_leaf_id=leaf_id)
        self.say(MessagesDeleted(removal.message_ids))

    def switch(self, message_id: str) -> None:
        self._change(active_leaf_id=self.tree.newest_leaf(message_id))

    def rename(self, title: str) -> None:
        note = self._message(
            self.record.active_leaf_id, Role.SYSTEM, SystemControl("title", self.record.title, title), None
        )
        self.tree.put(note)
        self.say(MessageAdded(note))
        self._change(title=title, active_leaf_id=note.message_id)

    def reload(self) -> None:
        """As if it had been unloaded in between."""
        self._epoch += 1

    def forget_events(self, number: int) -> None:
        """As if it had crashed before the last ones were durable."""
        del self.events[-number:]

    # -- how --

    def _begin(self, question: Message, task_id: str) -> None:
        self.record = msgspec.structs.replace(
            self.record, task=TaskRecord(task_id, question.message_id), error=None
        )

    def _end_growing(self, state: MessageState, error: ErrorInfo | None = None) -> str | None:
        if self.growing is None:
            return self.record.active_leaf_id
        message = msgspec.structs.replace(
            self.growing, state=state, error=error, finish_reason=FinishReason.STOP, ended_at=self._now()
        )
        self.growing = None
        self.tree.put(message)
        self.say(MessageChanged(message))
        return message.message_id

    def _set_calls(self, request_id: str, calls: tuple[CallRecord, ...]) -> None:
        assert self.record.task is not None
        self._change(active_leaf_id=request_id, task=msgspec.structs.replace(self.record.task, calls=calls))
        self.say(ToolCallsUpdated(request_id, calls))

    def _change(self, **changes: object) -> None:
        before = self.record
        self.record = msgspec.structs.replace(before, version=before.version + 1, **changes)
        self.say(ContextUpdated(self.record))
        if self.record.status is not before.status:
            self.say(SessionStatusChanged(self.record.status, self.record.error))

    def say(self, body: EventBody, task_id: str | None = None) -> None:
        self.events.append(
            Event(
                session_id="s",
                epoch=self._epoch,
                seq=len(self.events) + 1,
                task_id=task_id or self.task_id,
                at=self._now(),
                body=body,
            )
        )

    def _message(
        self,
        parent_id: str | None,
        role: Role,
        content: Text | ToolCallRequest | ToolResult | SystemControl,
        task_id: str | None,
        state: MessageState = MessageState.COMPLETE,
    ) -> Message:
        return Message(
            message_id=self._new_id("m"),
            parent_id=parent_id,
            role=role,
            content=content,
            created_at=self._now(),
            state=state,
            task_id=task_id,
            model="scripted:echo" if role is Role.ASSISTANT else None,
        )

    def _get(self, message_id: str | None) -> Message:
        message = None if message_id is None else self.tree.find(message_id)
        assert message is not None
        return message

    def _new_id(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}{self._made}"

    def _now(self) -> datetime:
        self._ticks += 1
        return START + timedelta(seconds=self._ticks)
