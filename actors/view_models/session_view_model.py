"""One session as its view shows it: a fold of a snapshot and the events after it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import assert_never

import msgspec

from actors.conversation import Message, MessageState, Part
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.events import (
    AnswerStreamed,
    ContextUpdated,
    Event,
    Lagged,
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
from actors.groups import GroupSlot, MessageGroup, group_slots
from actors.projections.grouping import group_of, groups_of_slots
from actors.projections.statuses import is_generating
from actors.records import CallRecord, SessionRecord, SessionStatus
from actors.session.protocol import Cursor, SessionSnapshot
from actors.tree import visible_branch
from actors.view_models.growing_text import GrowingText

__all__ = ["Applied", "SessionViewModel"]

_UNFINISHED = frozenset({SessionStatus.QUEUED, SessionStatus.RUNNING, SessionStatus.WAITING_CONFIRMATION})


class Applied(Enum):
    """What came of an event. After `GAP` nothing changes any more until `reset` is given a snapshot."""

    CHANGED = "changed"
    STALE = "stale"
    GAP = "gap"


class SessionViewModel:
    """Shows what a fresh snapshot would show, after every event. Not for several threads at once.

    What its user has just done it shows at once (`sending`, `aborted`), until an event says what became of
    it. A piece of streamed text costs the same however long the answer is; reading `groups` costs the
    answer that grows, and after any other event the whole conversation.
    """

    def __init__(
        self, snapshot: SessionSnapshot, on_error: Callable[[EngineError], None] | None = None
    ) -> None:
        """`on_error` is called once for each turn that fails or is refused, never for a stopped one."""
        self._on_error = on_error
        self.reset(snapshot)

    def reset(self, snapshot: SessionSnapshot) -> None:
        """Begin again with this snapshot."""
        self._record = snapshot.record
        self._messages = {message.message_id: message for message in snapshot.messages}
        self._growing: dict[str, GrowingText] = {}
        self._leaf_id = snapshot.record.active_leaf_id
        self._epoch: int = snapshot.epoch
        self._seq: int = snapshot.seq
        self._has_gap = False
        self._is_ahead = False  # what is told was decided before the record that is shown
        self._local_status: SessionStatus | None = None
        self._local_error: ErrorInfo | None = None
        self._stopped_task_id: str | None = None
        # None after what may have changed more than the growing answer.
        self._slots: tuple[GroupSlot, ...] | None = None
        self._groups: tuple[MessageGroup, ...] = ()

    # -- what is shown --

    @property
    def record(self) -> SessionRecord:
        return self._record

    @property
    def status(self) -> SessionStatus:
        return self._record.status if self._local_status is None else self._local_status

    @property
    def is_generating(self) -> bool:
        """Whether the button says Stop."""
        return is_generating(self.status)

    @property
    def error(self) -> ErrorInfo | None:
        """What went wrong; only while the status is failed."""
        return self._record.error if self._local_status is None else self._local_error

    @property
    def cursor(self) -> Cursor:
        """Behind the last event that it shows: from here a new subscription goes on."""
        return Cursor(self._epoch, self._seq)

    @property
    def has_gap(self) -> bool:
        """Whether events were missed: take a snapshot and `reset`."""
        return self._has_gap

    @property
    def messages(self) -> tuple[Message, ...]:
        """Those of all branches, the growing one as far as it has come."""
        for message_id, growing in self._growing.items():
            self._messages[message_id] = growing.message()
        return tuple(self._messages.values())

    @property
    def branch(self) -> tuple[Message, ...]:
        """The visible branch, the growing answer at its end."""
        return visible_branch(self.messages, self._leaf_id)

    @property
    def groups(self) -> tuple[MessageGroup, ...]:
        """The visible branch in groups, the oldest first."""
        if self._slots is None:
            messages = self.messages
            self._slots = group_slots(messages, visible_branch(messages, self._leaf_id))
            self._groups = groups_of_slots(self._slots, self._record.task)
        elif self._slots:
            self._show_growth(self._slots)
        return self._groups

    def _show_growth(self, slots: tuple[GroupSlot, ...]) -> None:
        *earlier, last = slots[-1].messages
        growing = self._growing.get(last.message_id)
        if growing is None or growing.message() is last:
            return
        slot = msgspec.structs.replace(slots[-1], messages=(*earlier, growing.message()))
        self._slots = (*slots[:-1], slot)
        self._groups = (*self._groups[:-1], group_of(slot, self._record.task))

    # -- what its user does --

    def sending(self) -> bool:
        """Show a turn as running; False, and nothing changes, while an answer is on its way already."""
        if self.is_generating:
            return False
        self._local_status, self._local_error, self._stopped_task_id = SessionStatus.RUNNING, None, None
        return True

    def refused(self, error: EngineError) -> None:
        """What was shown as sent was refused."""
        self._local_status, self._local_error = SessionStatus.FAILED, error.info
        self._report(error.info)

    def aborted(self) -> None:
        """Show the turn as stopped, if there is one, while the engine stops it."""
        if self.status in _UNFINISHED:
            self._local_status, self._local_error = SessionStatus.ABORTED, None
            self._stopped_task_id = None if self._record.task is None else self._record.task.task_id

    # -- what is told --

    def apply(self, event: Event | Lagged) -> Applied:
        """Take the next event. One that the snapshot has already changes nothing."""
        if isinstance(event, Lagged):
            self._has_gap = True
            return Applied.GAP
        if self._has_gap:
            return Applied.GAP
        if event.epoch < self._epoch or (event.epoch == self._epoch and event.seq <= self._seq):
            return Applied.STALE
        if event.seq != self._seq + 1:
            self._has_gap = True
            return Applied.GAP
        self._epoch, self._seq = event.epoch, event.seq
        self._fold(event)
        return Applied.CHANGED

    def _fold(self, event: Event) -> None:
        match event.body:
            case AnswerStreamed(parts, message_id):
                self._grow(message_id, parts)
                return
            case ToolOutput() | ToolCallsCompleted() | ModelCallDelayed():
                return  # what is not stored, so that no snapshot has it, or says nothing new
            case MessageAdded(message) | MessageChanged(message) | MessageEdited(message):
                self._put(message)
            case MessagesDeleted(message_ids):
                self._remove(message_ids)
            case ToolCallsUpdated(_, calls):
                self._update_calls(event.task_id, calls)
            case SessionStatusChanged(status, error):
                if not self._is_ahead:
                    self._change(status=status, error=error)
                    self._forget_local(event.task_id)
            case ContextUpdated(record):
                self._take_record(record)
            case TaskFinished(outcome):
                self._finish(outcome)
            case _:
                assert_never(event.body)
        self._slots = None

    def _take_record(self, record: SessionRecord) -> None:
        """A snapshot may be ahead of what is still on its way to the store, and is told only then."""
        self._is_ahead = record.version < self._record.version
        if self._is_ahead:
            return
        self._record = record
        if record.active_leaf_id is None or record.active_leaf_id in self._messages:
            self._leaf_id = record.active_leaf_id
        self._forget_local(None if record.task is None else record.task.task_id)

    def _update_calls(self, task_id: str | None, calls: tuple[CallRecord, ...]) -> None:
        """Show where the open calls stand; those that have their results in the tree are not open."""
        task = self._record.task
        if self._is_ahead or task is None or task.task_id != task_id:
            return
        if [call.call for call in task.calls] == [call.call for call in calls]:
            self._change(task=msgspec.structs.replace(task, calls=calls))

    def _grow(self, message_id: str, parts: tuple[Part, ...]) -> None:
        growing = self._growing.get(message_id)
        if growing is None:
            message = self._messages.get(message_id)
            if message is None or message.state is not MessageState.STREAMING:
                return  # only tool calls so far, which are shown when they are whole
            growing = self._growing[message_id] = GrowingText(message)
        growing.add(parts)

    def _put(self, message: Message) -> None:
        self._growing.pop(message.message_id, None)
        before = self._messages.get(message.message_id)
        self._messages[message.message_id] = message
        became_final = message.state is not MessageState.STREAMING and (
            before is None or before.state is MessageState.STREAMING
        )
        # The record that has the new leaf comes after this, or came before it.
        if message.message_id == self._record.active_leaf_id or (
            became_final and message.parent_id == self._leaf_id
        ):
            self._leaf_id = message.message_id

    def _remove(self, message_ids: tuple[str, ...]) -> None:
        for message_id in message_ids:
            self._messages.pop(message_id, None)
            self._growing.pop(message_id, None)
        if self._leaf_id not in self._messages:
            self._leaf_id = None  # until the record says where the branch ends now

    def _finish(self, outcome: TaskOutcome) -> None:
        task = self._record.task
        if outcome.task_id == self._stopped_task_id:
            self._stopped_task_id = None
        elif task is not None and task.task_id == outcome.task_id:
            error = outcome.error if outcome.status is SessionStatus.FAILED else None
            self._change(status=outcome.status, error=error, task=None)
            self._local_status = None
        if outcome.status is SessionStatus.FAILED:
            self._report(outcome.error or ErrorInfo(ErrorCode.UNKNOWN, "the turn failed"))

    def _forget_local(self, task_id: str | None) -> None:
        """An event has said where the session stands; unless that is the turn that is being stopped."""
        being_stopped = self._record.status in _UNFINISHED and task_id == self._stopped_task_id
        if self._stopped_task_id is None or not being_stopped:
            self._local_status = None

    def _change(self, **changes: object) -> None:
        self._record = msgspec.structs.replace(self._record, **changes)

    def _report(self, error: ErrorInfo) -> None:
        if self._on_error is not None and error.code is not ErrorCode.ABORTED:
            self._on_error(error.to_exception())
