"""A subscriber that folds events over its snapshot, and holds them to what the protocol says of events."""

from __future__ import annotations

import msgspec

from actors.conversation import Message, Text, TextPart, ThoughtPart
from actors.events import (
    AnswerStreamed,
    ContextUpdated,
    Event,
    MessageAdded,
    MessageChanged,
    MessageEdited,
    MessagesDeleted,
    SessionStatusChanged,
    TaskFinished,
    TaskOutcome,
)
from actors.records import SessionRecord, SessionStatus
from actors.session.protocol import Cursor, SessionSnapshot, SubscriptionStarted
from actors.session.status import TRANSITIONS
from actors.view_models import Applied, SessionViewModel

__all__ = ["Observer", "lasting"]


def lasting(record: SessionRecord) -> SessionRecord:
    """Without what a record says only to the next loading of its session."""
    return msgspec.structs.replace(record, event_seq=0, at_rest=False)


class Observer:
    """What a client knows that has nothing but a snapshot and the events since.

    It follows from its first `SubscriptionStarted` on, and no more after it was told that events are lost.
    """

    def __init__(self) -> None:
        self.follows = False
        self.cursor = Cursor(0, 0)
        self.messages: dict[str, Message] = {}
        self.record: SessionRecord | None = None
        self.view: SessionViewModel | None = None
        self.seen: list[Event] = []  # since the snapshot
        self.outcomes: dict[str, TaskOutcome] = {}
        self._told_status: SessionStatus | None = None

    def start(self, started: SubscriptionStarted) -> None:
        snapshot = started.snapshot
        if snapshot is not None:
            self.messages = {message.message_id: message for message in snapshot.messages}
            self.record = snapshot.record
            self.view = SessionViewModel(snapshot)
            self.cursor = Cursor(snapshot.epoch, snapshot.seq)
            self.seen = []
            self._told_status = None
        self.follows = True
        for event in started.missed:
            self.see(event)

    def lose(self) -> None:
        self.follows = False
        self._told_status = None

    def see(self, event: Event) -> None:
        if not self.follows:
            return
        assert event.seq == self.cursor.seq + 1, "a gap in the events, or one twice"
        assert event.task_id not in self.outcomes, "an event of a task that has finished"
        epoch, self.cursor = self.cursor.epoch, Cursor(event.epoch, event.seq)
        self.seen.append(event)
        if self.record is None or self.view is None:
            return  # it came with a cursor, perhaps of a place that never was
        assert event.epoch >= epoch
        assert self.view.apply(event) is Applied.CHANGED
        assert self.view.record.version >= self.record.version, "the view went back"
        match event.body:
            case MessageAdded(message) | MessageChanged(message) | MessageEdited(message):
                self.messages[message.message_id] = message
            case MessagesDeleted(message_ids):
                for message_id in message_ids:
                    self.messages.pop(message_id, None)
            case AnswerStreamed():
                self._grow(event.body)
            case ContextUpdated(record) if record.version >= self.record.version:
                # An older one was on its way to the store when the snapshot was taken.
                assert record.active_leaf_id is None or record.active_leaf_id in self.messages
                self.record = record
            case SessionStatusChanged(status):
                if self._told_status is not None:
                    assert status in TRANSITIONS[self._told_status], "not in the status table"
                self._told_status = status
            case TaskFinished(outcome):
                self.outcomes[outcome.task_id] = outcome
            case _:
                pass

    def _grow(self, streamed: AnswerStreamed) -> None:
        text = "".join(part.text for part in streamed.parts if isinstance(part, TextPart))
        thought = "".join(part.text for part in streamed.parts if isinstance(part, ThoughtPart))
        if not text and not thought:
            return
        message = self.messages[streamed.message_id]
        assert isinstance(message.content, Text)
        grown = Text(message.content.text + text, message.content.thought + thought)
        self.messages[streamed.message_id] = msgspec.structs.replace(message, content=grown)

    def check_against(self, snapshot: SessionSnapshot) -> None:
        """What was folded is what a fresh snapshot says, when nothing is on its way to the store."""
        assert self.record is not None, "it has nothing but a cursor"
        assert lasting(self.record) == lasting(snapshot.record)
        assert self.messages == {message.message_id: message for message in snapshot.messages}
        assert self.cursor.seq == snapshot.seq
        self._check_view(snapshot)

    def _check_view(self, snapshot: SessionSnapshot) -> None:
        view, fresh = self.view, SessionViewModel(snapshot)
        assert view is not None
        assert lasting(view.record) == lasting(fresh.record)
        assert (view.status, view.error) == (fresh.status, fresh.error)
        assert {message.message_id: message for message in view.messages} == self.messages
        assert view.branch == fresh.branch
        assert view.groups == fresh.groups
