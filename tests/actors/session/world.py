"""What a session talks to, for tests of its pure logic: store, slots and model, as slow as a test likes.

Every channel is first in, first out, as actors' mail is; how the channels interleave is the test's choice.
`World` checks by itself whatever must hold at the moment of an effect.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, assert_never

from actors.conversation import Message, MessageState, Part, Role, TextPart
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.events import Event, MessageAdded, TaskFinished, TaskOutcome
from actors.models.base import ModelRequest
from actors.persistence.protocol import LoadFailed, PersistenceNotice, Saved, SaveFailed, SessionLoaded
from actors.records import SessionWrite, StoredSession
from actors.registry.protocol import Passivate, RequestSlot, ReturnSlot
from actors.registry.state import SlotPool
from actors.session.decide import decide
from actors.session.effects import (
    Answered,
    CallModel,
    CancelCall,
    Effect,
    Load,
    Now,
    Persist,
    Publish,
    Refused,
    TellRegistry,
    WatchSubscriber,
)
from actors.session.protocol import (
    CreateSession,
    NewSession,
    PartsArrived,
    PrepareRelease,
    SessionCommand,
    SessionMessage,
    SlotGranted,
    SlotNotice,
    SlotRefused,
    TurnEnded,
)
from actors.session.state import SessionState
from actors.session.turn import Phase
from actors.stores import MemoryStore

__all__ = ["RIVALS", "SESSION", "World"]

SESSION = "s"
RIVALS = ("rival one", "rival two")  # together they fill the one slot and the one place in the queue
START = datetime(2026, 1, 1, tzinfo=UTC)
NEW = NewSession(model="scripted:echo")

ToRegistry: TypeAlias = RequestSlot | ReturnSlot | Passivate


class World:
    """One session, incarnation after incarnation, and everybody it talks to."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._requests = itertools.count(1)
        self._seconds = 0.0
        self.store = MemoryStore()
        self.history: list[SessionWrite] = []
        self.pool = SlotPool(max_concurrent=1, max_queue_size=1)
        self.rivals: set[str] = set()
        self.unanswered: set[int] = set()
        self.answers: dict[int, object] = {}
        self.held: list[tuple[SessionCommand, int]] = []
        self.requested: Counter[str] = Counter()
        self.returned: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.calls: dict[str, ModelRequest] = {}
        self.heard: dict[str, list[str]] = {}
        self.outcomes: dict[str, TaskOutcome] = {}
        self.from_store: deque[PersistenceNotice] = deque()
        self.open(NEW)

    def open(self, new: NewSession | None) -> None:
        """The next incarnation. What the store still says to the last one reaches this one: names stay."""
        self.from_store = deque(
            notice for notice in self.from_store if isinstance(notice, Saved | SaveFailed)
        )
        self.to_store: deque[SessionWrite] = deque()
        self.to_registry: deque[ToRegistry] = deque()
        self.from_registry: deque[SlotNotice | PrepareRelease] = deque()
        self.from_call: deque[PartsArrived | TurnEnded] = deque()
        self.running_call: str | None = None
        self.leaving = False
        self.passivated = False
        self.store_gave_up = False
        self.state = SessionState(SESSION, ids=lambda: f"id{next(self._ids)}", check_model=_knows_all)
        self.perform([Load(SESSION)])
        if new is not None:
            self.creation = self.ask(CreateSession(new))

    # -- what a test makes happen --

    def ask(self, command: SessionCommand) -> int:
        request = next(self._requests)
        self.unanswered.add(request)
        self._deliver(command, request)
        return request

    def _deliver(self, command: SessionCommand, request: int) -> None:
        if self.leaving:
            self.held.append((command, request))
        else:
            self.step(command, request)

    def release(self) -> None:
        if not self.leaving:
            self.leaving = True
            self.from_registry.append(PrepareRelease())

    def crash(self) -> None:
        """The actor failed; the runtime tells those who wait for it."""
        self.unanswered = {request for _, request in self.held}
        self._end()

    def commit(self, count: int) -> None:
        """Commit so many writes as one batch, acknowledged by the last of them."""
        batch = [self.to_store.popleft() for _ in range(min(count, len(self.to_store)))]
        if batch:
            assert self.store.commit(batch) == (None,) * len(batch)
            self.history += batch
            self.from_store.append(Saved(SESSION, batch[-1].epoch, batch[-1].revision))

    def give_up_storing(self) -> None:
        if self.to_store:
            write = self.to_store[0]
            self.to_store.clear()
            self.store_gave_up = True
            error = ErrorInfo(ErrorCode.PERSISTENCE_FAILED, "disk full")
            self.from_store.append(SaveFailed(SESSION, write.epoch, write.revision, error))

    def say(self, *parts: Part) -> None:
        if self.running_call is not None:
            self.from_call.append(PartsArrived(self.running_call, parts))

    def end_call(self, error: ErrorInfo | None = None) -> None:
        if self.running_call is not None:
            self.from_call.append(TurnEnded(self.running_call, error))
            self.running_call = None

    def take_slot(self, rival: str) -> None:
        if rival not in self.rivals and not isinstance(self.pool.request(rival, rival, 0), SlotRefused):
            self.rivals.add(rival)

    def give_slot_back(self, rival: str) -> None:
        if rival in self.rivals:
            self.rivals.remove(rival)
            self._pass_on(self.pool.give_back(rival, rival))

    def registry_step(self) -> bool:
        """The registry handles the next thing that the session said."""
        if not self.to_registry:
            return False
        match self.to_registry.popleft():
            case RequestSlot(session_id, task_id, priority):
                notice = self.pool.request(session_id, task_id, priority)
                if isinstance(notice, SlotRefused):
                    self.refused[task_id] += 1
                self.from_registry.append(notice)
            case ReturnSlot(session_id, task_id):
                self._pass_on(self.pool.give_back(session_id, task_id))
            case Passivate():
                self._end()
        return True

    def store_step(self) -> bool:
        return self._hear(self.from_store)

    def notice_step(self) -> bool:
        return self._hear(self.from_registry)

    def call_step(self) -> bool:
        message = self.from_call[0] if self.from_call else None
        turn = self.state.turn
        if isinstance(message, PartsArrived) and turn is not None and turn.phase is Phase.RUNNING:
            text = "".join(part.text for part in message.parts if isinstance(part, TextPart))
            self.heard.setdefault(message.task_id, []).append(text)
        return self._hear(self.from_call)

    def run_to_rest(self) -> None:
        """Everything arrives, the model finishes, the rivals go."""
        for _ in range(1_000):
            for rival in RIVALS:
                self.give_slot_back(rival)
            self.commit(len(self.to_store))
            moved = [self.store_step(), self.notice_step(), self.call_step(), self.registry_step()]
            if not any(moved) and not self.to_store:
                if self.running_call is None:
                    return
                self.end_call()
        raise AssertionError("the session never comes to rest")

    def _hear(
        self,
        channel: deque[PersistenceNotice]
        | deque[SlotNotice | PrepareRelease]
        | deque[PartsArrived | TurnEnded],
    ) -> bool:
        if not channel:
            return False
        self.step(channel.popleft())
        return True

    def _pass_on(self, grants: Sequence[tuple[str, SlotGranted]]) -> None:
        self.from_registry.extend(notice for session_id, notice in grants if session_id == SESSION)

    def _end(self) -> None:
        """The actor is gone. Its slot is freed, what it told the store is committed, its mail moves on."""
        self.to_registry.clear()
        self.pool.give_back(SESSION)
        for task_id in self.requested:
            self.returned[task_id] = 1
        self.commit(len(self.to_store))
        held, self.held = self.held, []
        self.open(None if self.history else NEW)
        for command, request in held:
            self._deliver(command, request)

    # -- what the session does --

    def step(self, message: SessionMessage, request: int = 0) -> None:
        self._seconds += 0.25
        now = Now(START + timedelta(seconds=self._seconds), self._seconds)
        self.perform(decide(self.state, message, now, request))

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Load(session_id):
                    self._load(session_id)
                case Persist(write, _):
                    assert write.epoch == self.state.epoch
                    if not self.store_gave_up:
                        self.to_store.append(write)
                case TellRegistry(message):
                    self._tell_registry(message)
                case CallModel(task_id, _, request):
                    self._call(task_id, request)
                case CancelCall():
                    self.running_call = None
                case Publish(event, _):
                    self._check_event(event)
                case Answered(request, value):
                    self._answer(request, value)
                case Refused(request, error):
                    self._answer(request, error)
                case WatchSubscriber():
                    pass
                case _:
                    assert_never(effect)

    def _load(self, session_id: str) -> None:
        assert not self.to_store, "persistence commits what waits before it loads"
        try:
            self.from_store.append(SessionLoaded(self.store.load(session_id)))
        except EngineError as error:
            self.from_store.append(LoadFailed(session_id, error.info))

    def _tell_registry(self, message: ToRegistry) -> None:
        assert not self.passivated, "it spoke after its goodbye"
        match message:
            case RequestSlot(_, task_id, _):
                self.requested[task_id] += 1
            case ReturnSlot(_, task_id):
                self.returned[task_id] += 1
            case Passivate():
                self.passivated = True
        self.to_registry.append(message)

    def _call(self, task_id: str, request: ModelRequest) -> None:
        assert self.running_call is None, "one call at a time"
        question = request.messages[-1]
        assert question.role is Role.USER
        assert self.stored_message(question.message_id) == question, "asked before the question was durable"
        self.calls[task_id] = request
        self.running_call = task_id

    def _check_event(self, event: Event) -> None:
        match event.body:
            case MessageAdded(message):
                assert self.stored_message(message.message_id) == message, "announced before it was durable"
            case TaskFinished(outcome):
                self._check_end(outcome)
                assert outcome.answer == "".join(self.heard.get(outcome.task_id, []))
                assert outcome.task_id not in self.outcomes, "finished twice"
                self.outcomes[outcome.task_id] = outcome
            case _:
                pass

    def _answer(self, request: int, value: object) -> None:
        if request == 0:
            return
        assert request in self.unanswered, "answered twice"
        self.unanswered.discard(request)
        self.answers[request] = value
        if isinstance(value, TaskOutcome):
            self._check_end(value)

    def _check_end(self, outcome: TaskOutcome) -> None:
        messages = [message for message in self.stored().messages if message.task_id == outcome.task_id]
        assert messages, "finished before it was durable"
        assert all(message.state is not MessageState.STREAMING for message in messages)
        task = self.stored().record.task
        assert task is None or task.task_id != outcome.task_id

    # -- what the store has --

    def stored(self) -> StoredSession:
        return self.store.read(SESSION)

    def stored_message(self, message_id: str) -> Message | None:
        messages = self.stored().messages
        return next((message for message in messages if message.message_id == message_id), None)

    def replayed(self) -> StoredSession | None:
        """A new store after all that was ever told to the store, in that order."""
        store = MemoryStore()
        for write in (*self.history, *self.to_store):
            if write.revision > 1 and store.read(SESSION).epoch < write.epoch:
                while store.load(SESSION).epoch < write.epoch:
                    pass
            assert store.commit([write]) == (None,), "a gap, or a write out of order"
        return store.read(SESSION) if store.list_sessions() else None


def _knows_all(_: str) -> ErrorInfo | None:
    return None
