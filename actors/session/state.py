"""What a session owns: its conversation, its unfinished turn, and what waits for the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from actors.errors import ErrorInfo
from actors.events import Event, EventBody, TaskOutcome
from actors.records import PutSession, SessionRecord, SessionStatus, SessionWrite, TaskRecord, WriteOp
from actors.registry.protocol import Passivate
from actors.session.effects import Effect, Now, Persist, Publish, TellRegistry
from actors.session.protocol import CreateSession, GetSnapshot, SessionMessage, SessionSnapshot
from actors.session.status import check_transition
from actors.session.turn import Turn
from actors.tree import ConversationTree

__all__ = ["Continuation", "SessionState"]


Continuation: TypeAlias = Callable[["SessionState", Now], list[Effect]]


class SessionState:
    """Everything that a session owns.

    `record` and `tree` are what the store has or is about to have: each change of them is in a write of the
    same step. What may only be done once that write is durable waits in `_after_save`, by revision.
    `failure` is final: no step changes anything after it.
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
        self.failure: ErrorInfo | None = None
        self._stash: list[tuple[SessionMessage, int]] = []
        self._after_save: list[tuple[int, Continuation]] = []  # an empty deque takes 0.8 kB

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
            effects += self._after_save.pop(0)[1](self, now)
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

    def current_turn(self, task_id: str) -> Turn | None:
        """The unfinished turn, if it is that of `task_id`."""
        turn = self.turn
        return turn if turn is not None and turn.task_id == task_id else None

    # -- what waits for the load --

    def stash(self, message: SessionMessage, request: int) -> None:
        self._stash.append((message, request))

    def take_creation(self) -> CreateSession | None:
        """The first request to make the session, if there is one; its asker will get the snapshot."""
        for place, (message, request) in enumerate(self._stash):
            if isinstance(message, CreateSession):
                self._stash[place] = (GetSnapshot(), request)
                return message
        return None

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
        messages = self.tree.branch(record.active_leaf_id)
        running = None if self.turn is None else self.turn.streamed_answer()
        return SessionSnapshot(
            record=record,
            messages=messages if running is None else (*messages, running),
            epoch=self.epoch,
            seq=self.seq,
        )

    # -- the end --

    def leave_if_settled(self) -> list[Effect]:
        """When the session is to be released and has nothing unfinished: flush, then say so."""
        if not self.releasing or not self.ready or self.turn is not None:
            return []
        if self.saved_revision == self.revision:
            return _passivate(self)
        # An immediate write takes the throttled ones before it along.
        return self.write(
            PutSession(self.known_record()), immediate=True, then=lambda state, _: _passivate(state)
        )


def _passivate(state: SessionState) -> list[Effect]:
    return [TellRegistry(Passivate(state.session_id))]
