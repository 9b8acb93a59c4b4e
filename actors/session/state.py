"""What a session owns: its conversation, its unfinished turn, and what waits for the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from actors.access import Authorize
from actors.agents import AgentDefinition
from actors.conversation import Message
from actors.errors import ErrorCode, ErrorInfo
from actors.events import ContextUpdated, EventBody, SessionStatusChanged, TaskOutcome
from actors.model_settings import ModelSettings
from actors.prompts import PromptFor, default_prompt
from actors.records import (
    ApprovalMode,
    ImageMode,
    PutSession,
    SessionRecord,
    SessionRuntime,
    SessionStatus,
    SessionWrite,
    TaskRecord,
    WriteOp,
)
from actors.registry.protocol import Passivate, RequestSlot, ReturnSlot, SessionNotice
from actors.session.effects import CancelTask, Effect, Now, Persist, Publish, Refused, TellRegistry
from actors.session.event_log import EventLog
from actors.session.protocol import CreateSession, GetSnapshot, Inheritance, SessionMessage, SessionSnapshot
from actors.session.status import check_transition
from actors.session.tool_scheduler import ToolPolicy, ToolScheduler
from actors.session.turn import Phase, Turn
from actors.session.weighing import content_bytes
from actors.tools import ToolRegistry
from actors.tree import ConversationTree

__all__ = ["Continuation", "SessionEnvironment", "SessionState"]


_AFTER_THE_STOP = (RequestSlot, ReturnSlot, Passivate)

Continuation: TypeAlias = Callable[["SessionState", Now], list[Effect]]


class SessionEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """What all sessions of an engine share: functions that answer at once, and data that does not change.

    `check_model` says why `provider:model` cannot be asked with these settings, `find_agent` finds an agent
    by its id, `prompt` writes the system prompt of a model call.
    """

    new_id: Callable[[], str]
    check_model: Callable[[str, ModelSettings], ErrorInfo | None]
    find_agent: Callable[[str], AgentDefinition | None]
    tools: ToolRegistry
    authorize: Authorize
    prompt: PromptFor = default_prompt
    image_mode: ImageMode = ImageMode.VISION


class SessionState:
    """Everything that a session owns.

    `record` and `tree` are what the store has or is about to have: each change of them is in a write of the
    same step. What may only be done once that write is durable waits in `_after_save`, by revision.
    `failure` is final: no step changes anything after it. `stopping` is the number of the last stop, while
    what it stopped has not ended.
    """

    __slots__ = (
        "_after_save",
        "_announced_version",
        "_held_back",
        "_leaving",
        "_stash",
        "_stops",
        "active",
        "announced_status",
        "environment",
        "epoch",
        "events",
        "failure",
        "inheritance",
        "last_outcome",
        "queue_waiters",
        "ready",
        "record",
        "releasing",
        "revision",
        "said_goodbye",
        "saved_revision",
        "scheduler",
        "session_id",
        "stopping",
        "text_bytes",
        "tree",
        "turn",
    )

    def __init__(self, session_id: str, environment: SessionEnvironment, inheritance: Inheritance) -> None:
        self.session_id = session_id
        self.environment = environment
        self.inheritance = inheritance
        self.active = inheritance.active
        self.record: SessionRecord | None = None
        self.announced_status: SessionStatus | None = None
        self._announced_version = 0
        self.tree = ConversationTree()
        self.text_bytes = 0
        self.epoch = 0
        self.revision = 0
        self.saved_revision = 0
        self.events = EventLog(session_id)
        self.turn: Turn | None = None
        self.scheduler = ToolScheduler(environment.tools)
        self.stopping = 0
        self._stops = 0
        self._held_back: tuple[Effect, ...] = ()
        self.last_outcome: TaskOutcome | None = None
        self.queue_waiters: dict[str, list[int]] = {}
        self.ready = False
        self.releasing = False
        self._leaving = False
        self.said_goodbye = False
        self.failure: ErrorInfo | None = None
        self._stash: list[tuple[SessionMessage, int]] = []
        self._after_save: list[tuple[int, Continuation]] = []  # an empty deque takes 0.8 kB

    def new_id(self) -> str:
        return self.environment.new_id()

    # -- durable changes --

    def write(self, *ops: WriteOp, immediate: bool, then: Continuation | None = None) -> list[Effect]:
        """Persist these ops as one step; `then` says what follows once they are durable."""
        self.revision += 1
        if then is not None:
            self._after_save.append((self.revision, then))
        return [Persist(SessionWrite(self.session_id, self.epoch, self.revision, ops), immediate)]

    def when_saved(self, now: Now, then: Continuation) -> list[Effect]:
        """Do this when everything that was decided before is durable."""
        if self.saved_revision == self.revision:
            return then(self, now)
        self._after_save.append((self.revision, then))
        return []

    def saved(self, revision: int, now: Now) -> list[Effect]:
        self.saved_revision = revision
        effects: list[Effect] = []
        while self._after_save and self._after_save[0][0] <= revision:
            effects += self._after_save.pop(0)[1](self, now)
        return effects

    def known_record(self) -> SessionRecord:
        assert self.record is not None, "the session is not loaded"
        return self.record

    def put_message(self, message: Message) -> None:
        before = self.tree.find(message.message_id)
        self.text_bytes += content_bytes(message) - (0 if before is None else content_bytes(before))
        self.tree.put(message)

    def change_record(self, now: Now, **changes: object) -> PutSession:
        """Change fields of the record; a status by the status table."""
        record = self.known_record()
        status = changes.get("status", record.status)
        if status is not record.status:
            assert isinstance(status, SessionStatus)
            check_transition(record.status, status)
        self.record = msgspec.structs.replace(
            record,
            version=record.version + 1,
            event_seq=self.events.seq,
            at_rest=False,
            updated_at=now.at,
            **changes,
        )
        return PutSession(self.record)

    def current_turn(self, task_id: str) -> Turn | None:
        """The unfinished turn, if it is that of `task_id`."""
        turn = self.turn
        return turn if turn is not None and turn.task_id == task_id else None

    # -- the unfinished turn --

    def task_record(self, turn: Turn) -> TaskRecord:
        return turn.record(self.scheduler.calls)

    def tool_policy(self, turn: Turn) -> ToolPolicy:
        record = self.known_record()
        mode = turn.executor.approval_mode
        # What somebody allows a session is not allowed to an agent that may run nothing.
        is_bound = mode is ApprovalMode.DENY and record.approval_mode is not mode
        return ToolPolicy(
            mode=mode,
            tool_modes={} if is_bound else record.tool_modes,
            all_approved=record.all_approved and not is_bound,
            work_mode=record.work_mode,
            max_parallel=record.max_parallel_calls,
            names=turn.executor.tools,
        )

    def stop_calls(self) -> Effect:
        """Stop the model call and the tools; nobody else gets the slot before they have ended."""
        self._stops += 1
        self.scheduler.forget_stopped()
        self.stopping = self._stops
        return CancelTask(self._stops)

    def calls_stopped(self, number: int) -> list[Effect]:
        """They have ended: what was held back for that is said now."""
        if number != self.stopping:
            return []  # stopped again since
        self.stopping = 0
        held_back, self._held_back = self._held_back, ()
        return list(held_back)

    def kept_slot(self) -> str | None:
        """The task whose slot is kept until its calls have ended, if there is one."""
        for effect in self._held_back:
            if isinstance(effect, TellRegistry) and isinstance(effect.message, ReturnSlot):
                return effect.message.task_id
        return None

    def hold_back(self, effects: list[Effect]) -> list[Effect]:
        """Keep what would give the slot on, or the session up, while stopped calls are still at work."""
        if not self.stopping:
            return effects
        said: list[Effect] = []
        for effect in effects:
            if not isinstance(effect, TellRegistry) or not isinstance(effect.message, _AFTER_THE_STOP):
                said.append(effect)
                continue
            if isinstance(effect.message, ReturnSlot):
                self._withdraw_request(effect.message.task_id)
            if effect not in self._held_back:
                self._held_back += (effect,)
        return said

    def _withdraw_request(self, task_id: str) -> None:
        """Do not ask for a slot for a task that has ended meanwhile."""
        self._held_back = tuple(
            held
            for held in self._held_back
            if not isinstance(held, TellRegistry)
            or not isinstance(held.message, RequestSlot)
            or held.message.task_id != task_id
        )

    # -- what waits for the load --

    def stash(self, message: SessionMessage, request: int) -> None:
        self._stash.append((message, request))

    def take_creation(self) -> CreateSession | None:
        """The first request to make the session, if there is one; its asker will get the snapshot."""
        for place, (message, request) in enumerate(self._stash):
            if isinstance(message, CreateSession):
                self._stash[place] = (GetSnapshot(message.principal), request)
                return message
        return None

    def take_stash(self) -> list[tuple[SessionMessage, int]]:
        stash, self._stash = self._stash, []
        return stash

    # -- events --

    def publish(self, body: EventBody, task_id: str | None, now: Now) -> list[Effect]:
        event = self.events.publish(body, task_id, now)
        if event is None or not self.events.subscribers:
            return []
        return [Publish(event, tuple(self.events.subscribers))]

    def publish_change(self, record: SessionRecord, task_id: str | None, now: Now) -> list[Effect]:
        """Announce the record as a write left it, a status only if it is new; tell the registry too.

        Not the record as it is in memory: that may say already what is not durable, of messages that nobody
        was told of.
        """
        if record.version < self._announced_version:
            return []  # the step to running is told at once, and was decided later than this
        self._announced_version = record.version
        effects = self.publish(ContextUpdated(record), task_id, now)
        if record.status is not self.announced_status:
            self.announced_status = record.status
            effects += self.publish(SessionStatusChanged(record.status, record.error), task_id, now)
        return [TellRegistry(SessionNotice(self.runtime(record))), *effects]

    def runtime(self, record: SessionRecord) -> SessionRuntime:
        return SessionRuntime(
            session_id=self.session_id,
            status=record.status,
            last_active_at=record.updated_at,
            title=record.title,
            task_id=None if record.task is None else record.task.task_id,
            unread_count=record.unread_count,
            messages=len(self.tree),
            text_bytes=self.text_bytes,
            error=record.error,
            owner_id=record.owner_id,
            project_id=record.project_id,
        )

    def snapshot(self) -> SessionSnapshot:
        messages = tuple(self.tree)
        running = None if self.turn is None else self.turn.streamed_answer()
        if running is not None:
            messages = tuple(
                running if message.message_id == running.message_id else message for message in messages
            )
        return SessionSnapshot(
            record=self.known_record(), messages=messages, epoch=self.epoch, seq=self.events.seq
        )

    # -- the end --

    def leave_if_settled(self) -> list[Effect]:
        """When the session is to be released and has nothing unfinished: flush, then say so, once."""
        if self._leaving or self.turn_keeps_it():
            return []
        self._leaving = True
        record = self.known_record()
        self.record = msgspec.structs.replace(record, event_seq=self.events.seq, at_rest=True)
        # An immediate write takes the throttled ones before it along.
        return self.write(PutSession(self.record), immediate=True, then=lambda state, _: state._leave())

    def _leave(self) -> list[Effect]:
        if self.known_record().at_rest and not self.turn_keeps_it():
            return self.say_goodbye()
        self._leaving = False  # a registry that has forgotten the release gave it something to do
        return []

    def stay(self) -> None:
        self.releasing = False
        self._leaving = False

    def say_goodbye(self) -> list[Effect]:
        self.said_goodbye = True
        return [TellRegistry(Passivate(self.session_id, self.events.hand_over()))]

    def refuse_queue_waiters(self) -> list[Effect]:
        """Nobody who waits behind the unfinished turn gets the outcome from this incarnation."""
        error = ErrorInfo(
            ErrorCode.SESSION_BUSY,
            f"session {self.session_id} is unloaded while its turn waits for a person: ask again",
        )
        waiting, self.queue_waiters = self.queue_waiters, {}
        return [Refused(request, error) for requests in waiting.values() for request in requests]

    def turn_keeps_it(self) -> bool:
        """Whether the unfinished turn needs the session to be loaded: not if it waits for a person."""
        return self.turn is not None and self.turn.phase is not Phase.WAITING
