"""What a session owns: its conversation, its unfinished turn, and what waits for the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

import msgspec

from actors.answer import AnswerBuilder
from actors.conversation import Message
from actors.errors import ErrorInfo
from actors.events import Event, EventBody, TaskOutcome
from actors.records import PutSession, SessionRecord, SessionStatus, SessionWrite, TaskRecord, WriteOp
from actors.session.effects import Effect, Now, Persist, Publish, Stop
from actors.session.protocol import SessionMessage, SessionSnapshot
from actors.session.status import check_transition
from actors.session.tree import ConversationTree

__all__ = ["Continuation", "Phase", "SessionState", "Turn"]


class Phase(Enum):
    ADMITTING = "admitting"  # the registry has been asked for a slot
    STORING = "storing"  # the question is on its way to the store
    QUEUED = "queued"
    RUNNING = "running"
    SETTLING = "settling"  # the end is on its way to the store


class Turn:
    """The unfinished turn."""

    def __init__(
        self, task_id: str, question: Message, *, is_new: bool, priority: int, request: int
    ) -> None:
        self.task_id = task_id
        self.question = question
        self.is_new = is_new
        self.priority = priority
        self.submitter: int | None = request
        self.waiters: list[int] = []
        self.phase = Phase.ADMITTING
        self.granted = False
        self.answer_id: str | None = None
        self.builder = AnswerBuilder()
        self.parts = 0
        self.started_seconds: float | None = None
        self.first_part_seconds: float | None = None


Continuation: TypeAlias = Callable[["SessionState", Now], list[Effect]]


class SessionState:
    """Everything that a session owns.

    `record` and `tree` are what the store has or is about to have: each change of them is in a write of the
    same step. What may only be done once that write is durable waits in `_after_save`, by revision.
    """

    def __init__(
        self,
        session_id: str,
        *,
        ids: Callable[[], str],
        check_model: Callable[[str], ErrorInfo | None],
    ) -> None:
        self.session_id = session_id
        self.new_id = ids
        self.check_model = check_model
        self.record: SessionRecord | None = None
        self.tree = ConversationTree()
        self.epoch = 0
        self.revision = 0
        self.saved_revision = 0
        self.seq = 0
        self.subscribers: dict[str, None] = {}
        self.turn: Turn | None = None
        self.last_outcome: TaskOutcome | None = None
        self.ready = False
        self.releasing = False
        self._stash: list[tuple[SessionMessage, int]] = []
        self._after_save: deque[tuple[int, Continuation]] = deque()

    # -- durable changes --

    def write(self, *ops: WriteOp, immediate: bool, then: Continuation | None = None) -> list[Effect]:
        """Persist these ops as one step; `then` says what follows once they are durable."""
        self.revision += 1
        if then is not None:
            self._after_save.append((self.revision, then))
        return [Persist(SessionWrite(self.session_id, self.epoch, self.revision, ops), immediate)]

    def saved(self, revision: int, now: Now) -> list[Effect]:
        self.saved_revision = revision
        effects: list[Effect] = []
        while self._after_save and self._after_save[0][0] <= revision:
            effects += self._after_save.popleft()[1](self, now)
        return effects

    def known_record(self) -> SessionRecord:
        assert self.record is not None, "the session is not loaded"
        return self.record

    def change_record(
        self,
        now: Now,
        *,
        status: SessionStatus,
        leaf_id: str | None,
        task: TaskRecord | None,
        error: ErrorInfo | None = None,
        title: str | None = None,
    ) -> PutSession:
        """Change status and admission together, by the status table."""
        record = self.known_record()
        if status is not record.status:
            check_transition(record.status, status)
        self.record = msgspec.structs.replace(
            record,
            status=status,
            active_leaf_id=leaf_id,
            task=task,
            error=error,
            title=record.title if title is None else title,
            updated_at=now.at,
        )
        return PutSession(self.record)

    # -- what waits for the load --

    def stash(self, message: SessionMessage, request: int) -> None:
        self._stash.append((message, request))

    def take_stash(self) -> list[tuple[SessionMessage, int]]:
        stash, self._stash = self._stash, []
        return stash

    # -- events --

    def publish(self, body: EventBody, task_id: str | None, now: Now) -> list[Effect]:
        self.seq += 1
        if not self.subscribers:
            return []
        event = Event(
            session_id=self.session_id,
            epoch=self.epoch,
            seq=self.seq,
            task_id=task_id,
            at=now.at,
            body=body,
        )
        return [Publish(event, tuple(self.subscribers))]

    def snapshot(self) -> SessionSnapshot:
        record = self.known_record()
        return SessionSnapshot(
            record=record,
            messages=self.tree.branch(record.active_leaf_id),
            epoch=self.epoch,
            seq=self.seq,
        )

    # -- the end --

    def leave_if_settled(self) -> list[Effect]:
        """When the session is to be released and has nothing unfinished: flush, then stop."""
        if not self.releasing or not self.ready or self.turn is not None:
            return []
        if self.saved_revision == self.revision:
            return [Stop()]
        # An immediate write takes the throttled ones before it along.
        return self.write(PutSession(self.known_record()), immediate=True, then=_stop)


def _stop(_: SessionState, __: Now) -> list[Effect]:
    return [Stop()]
