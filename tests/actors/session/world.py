"""What a session talks to, for tests of its pure logic: all of it as slow as a test likes.

Every channel is first in, first out, as actors' mail is; how the channels interleave is the test's choice.
`World` checks by itself whatever must hold at the moment of an effect.
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, assert_never

from actors.conversation import Image, Message, Part, ProviderItemPart, TextPart, ToolStatus
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.events import AnswerStreamed, Event, MessageAdded, TaskFinished, TaskOutcome
from actors.models.base import ModelRequest
from actors.persistence.protocol import (
    ChatOpened,
    ChatRefused,
    LoadFailed,
    PersistenceNotice,
    Saved,
    SaveFailed,
    SessionDeleted,
    SessionLoaded,
)
from actors.records import (
    ConfirmationOutcome,
    ImageMode,
    PutMessage,
    SessionStatus,
    SessionWrite,
    StoredSession,
)
from actors.registry.protocol import (
    Passivate,
    RequestSlot,
    ReturnSlot,
    SessionNotice,
    StaysLoaded,
    SubscriberRefused,
)
from actors.registry.rebuild import Rebuild
from actors.registry.slots import SlotPool
from actors.session.decide import decide
from actors.session.effects import (
    Answered,
    CallModel,
    CancelTask,
    CancelTools,
    Effect,
    Load,
    Now,
    Persist,
    Publish,
    ReadImages,
    RefuseAll,
    Refused,
    RunTool,
    TellLost,
    TellRegistry,
)
from actors.session.protocol import (
    AdmissionReport,
    CallsStopped,
    ConfirmToolCall,
    CreateSession,
    Cursor,
    Handover,
    ImagesRead,
    Inheritance,
    NewSession,
    OutputArrived,
    PartsArrived,
    PrepareRelease,
    ReportAdmission,
    SessionCommand,
    SessionMessage,
    SetActive,
    SlotGranted,
    SlotNotice,
    SlotRefused,
    Subscribe,
    SubscriptionStarted,
    ToolEnded,
    ToolStopped,
    TurnEnded,
)
from actors.session.state import SessionState
from actors.session.turn import Phase
from actors.stores import MemoryStore
from tests.actors.session import promises
from tests.actors.session.observer import Observer
from tests.actors.session.surroundings import surroundings

__all__ = ["PERMANENT", "RIVALS", "SESSION", "World"]

SESSION = "s"
PERMANENT = "permanent"
"""The subscriber that always listens, and takes a snapshot whenever it is told that events are lost."""
RIVALS = ("rival one", "rival two")  # together they fill the one slot and the one place in the queue
START = datetime(2026, 1, 1, tzinfo=UTC)
NEW = NewSession(model="scripted:echo")

ToRegistry: TypeAlias = (
    RequestSlot | ReturnSlot | Passivate | StaysLoaded | SessionNotice | SubscriberRefused | AdmissionReport
)
FromRegistry: TypeAlias = SlotNotice | PrepareRelease | ReportAdmission | SetActive
FromTurn: TypeAlias = (
    PartsArrived | TurnEnded | OutputArrived | ToolEnded | ToolStopped | ImagesRead | CallsStopped
)


class World:
    """One session, incarnation after incarnation, and everybody it talks to."""

    def __init__(self, new: NewSession = NEW, *, image_mode: ImageMode = ImageMode.VISION) -> None:
        self._new = new
        self._image_mode = image_mode
        self._ids = itertools.count(1)
        self._requests = itertools.count(1)
        self._seconds = 0.0
        self.store = MemoryStore()
        self.mirror = MemoryStore()
        self.is_stored = False
        self.durable: list[Message] = []  # as they ever were
        self.pool = SlotPool(max_concurrent=1, max_queue_size=1)
        self.rebuild: Rebuild | None = None
        self.rivals: set[str] = set()
        self.unanswered: set[int] = set()
        self.answers: dict[int, object] = {}
        self.held: list[tuple[SessionCommand, int]] = []
        self.asked_slot: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.calls: dict[str, ModelRequest] = {}
        self.heard: dict[str, str] = {}
        self.outcomes: dict[str, TaskOutcome] = {}
        self.approved: set[str] = set()
        self.tool_runs: set[tuple[str, str | None, str]] = set()
        self.observers: dict[str, Observer] = {PERMANENT: Observer()}
        self.subscribed: dict[str, None] = {}
        self._subscribing: dict[int, str] = {}
        self._has_lost = False
        self.active = False
        self.from_store: deque[PersistenceNotice] = deque()
        self.open(new)

    def open(self, new: NewSession | None, inheritance: Inheritance | None = None) -> None:
        """The next incarnation. What the store still says to the last one reaches this one: names stay."""
        self.from_store = deque(
            notice for notice in self.from_store if isinstance(notice, Saved | SaveFailed)
        )
        self.to_store: deque[SessionWrite] = deque()
        self.to_registry: deque[ToRegistry] = deque()
        self.from_registry: deque[FromRegistry] = deque()
        self.from_call: deque[FromTurn] = deque()
        self.running_call: str | None = None
        self.stopping = 0
        self.running_tools: dict[str, str] = {}
        self.tool_names: dict[str, str] = {}  # of the call that was run last with this id
        self.leftovers: list[tuple[str, str, str]] = []  # stopped, still at work: task, call id, tool
        self.reading_fails = False
        self.leaving = False
        self.passivated = False
        self.store_gave_up = False
        environment = surroundings(lambda: f"id{next(self._ids)}", self._image_mode)
        self.state = SessionState(SESSION, environment, inheritance or Inheritance(active=self.active))
        self.perform([Load(SESSION)])
        if new is not None:
            self.creation = self.ask(CreateSession(new))
        self._follow_always()

    # -- what a test makes happen --

    def ask(self, command: SessionCommand) -> int:
        request = next(self._requests)
        self.unanswered.add(request)
        if isinstance(command, ConfirmToolCall) and command.outcome is not ConfirmationOutcome.DENIED:
            self.approved.add(command.call_id)
        if isinstance(command, Subscribe):
            self.observers.setdefault(command.subscriber, Observer()).follows = False
            self.subscribed[command.subscriber] = None
            self._subscribing[request] = command.subscriber
        self._deliver(command, request)
        return request

    def subscribe(self, name: str, cursor: Cursor | None = None) -> int:
        return self.ask(Subscribe(name, cursor))

    def is_coming(self, name: str) -> bool:
        """Whether a subscription of theirs is not answered yet."""
        return any(
            name == coming and request in self.unanswered for request, coming in self._subscribing.items()
        )

    def _follow_always(self) -> bool:
        if self.is_coming(PERMANENT) or self.observers[PERMANENT].follows:
            return False
        self.subscribe(PERMANENT)
        return True

    def _deliver(self, command: SessionCommand, request: int) -> None:
        if self.leaving or self.rebuild is not None:
            self.held.append((command, request))
        else:
            self.step(command, request)

    def release(self, *, abort: bool = True) -> None:
        if not self.leaving and self.rebuild is None:
            self.leaving = True
            self.from_registry.append(PrepareRelease(abort))

    def set_active(self, *, active: bool) -> None:
        self.active = active
        if self.rebuild is None:
            self.from_registry.append(SetActive(active))

    def crash(self, failure: ErrorInfo | None = None) -> None:
        """The actor failed; the runtime tells those who wait for it."""
        self.unanswered = {request for _, request in self.held}
        self._end(failure=failure)

    def forget(self) -> None:
        """The registry failed, and begins anew: with its mail, with nothing in memory."""
        self.pool = SlotPool(max_concurrent=1, max_queue_size=1)
        self.rivals.clear()
        self.unanswered -= {request for _, request in self.held}
        self.held.clear()
        self.leaving = False
        self.rebuild = Rebuild([SESSION])
        self.from_registry.append(ReportAdmission())

    def commit(self, count: int) -> None:
        """Commit so many writes as one batch, acknowledged by the last of them."""
        batch = [self.to_store.popleft() for _ in range(min(count, len(self.to_store)))]
        if batch:
            assert self.store.commit(batch) == (None,) * len(batch)
            self.is_stored = True
            for write in batch:
                self.durable += [op.message for op in write.ops if isinstance(op, PutMessage)]
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

    def show_output(self, call_id: str) -> None:
        self.from_call.append(OutputArrived(self.running_tools[call_id], call_id, "working"))

    def end_tool(self, call_id: str, status: ToolStatus = ToolStatus.SUCCEEDED) -> None:
        task_id = self.running_tools.pop(call_id)
        self.from_call.append(ToolEnded(task_id, call_id, status, f"output of {call_id}"))

    def end_leftover(self) -> None:
        """The tool call that was stopped first has ended."""
        task_id, call_id, _ = self.leftovers.pop(0)
        self.from_call.append(ToolStopped(task_id, call_id))

    def take_slot(self, rival: str) -> None:
        if (
            self.rebuild is None
            and rival not in self.rivals
            and not isinstance(self.pool.request(RequestSlot(rival, rival, 0)), SlotRefused)
        ):
            self.rivals.add(rival)

    def give_slot_back(self, rival: str) -> None:
        if rival in self.rivals:
            self.rivals.remove(rival)
            self._pass_on(self.pool.give_back(rival, rival))

    def registry_step(self) -> bool:
        """The registry handles the next thing that the session said."""
        if not self.to_registry:
            return False
        message = self.to_registry.popleft()
        if self.rebuild is None:
            self._registry_handles(message)
        else:
            self.rebuild.take(message, 0)
            if self.rebuild.is_done:
                self._end_rebuild()
        return True

    def _registry_handles(self, message: ToRegistry) -> None:
        match message:
            case RequestSlot(_, task_id) as asked:
                notice = self.pool.request(asked)
                if isinstance(notice, SlotRefused):
                    self.refused[task_id] += 1
                self.from_registry.append(notice)
            case ReturnSlot(session_id, task_id, waiting):
                self._pass_on(self.pool.give_back(session_id, task_id))
                if waiting:
                    self.pool.wait_for_person(session_id, task_id)
            case StaysLoaded():
                self._stay()
            case SessionNotice() | SubscriberRefused() | AdmissionReport():
                pass
            case Passivate(_, handover, error):
                self._end(handover=handover, failed=error is not None)

    def _stay(self) -> None:
        self.leaving = False
        held, self.held = self.held, []
        for command, request in held:
            self._deliver(command, request)

    def _end_rebuild(self) -> None:
        rebuild, self.rebuild = self.rebuild, None
        assert rebuild is not None
        self.pool.restore(rebuild.reports())
        self._pass_on(self.pool.start())
        session = self.state
        for message, _ in rebuild.mail():
            if session is self.state:
                assert isinstance(message, ToRegistry)
                self._registry_handles(message)
        self._stay()

    def store_step(self) -> bool:
        return self._hear(self.from_store)

    def notice_step(self) -> bool:
        return self._hear(self.from_registry)

    def call_step(self) -> bool:
        message = self.from_call[0] if self.from_call else None
        turn = self.state.turn
        if isinstance(message, PartsArrived) and turn is not None and turn.phase is Phase.RUNNING:
            text = "".join(part.text for part in message.parts if isinstance(part, TextPart))
            self.heard[message.task_id] += text
        if isinstance(message, CallsStopped) and message.number == self.stopping:
            self.stopping = 0
        return self._hear(self.from_call)

    def run_to_rest(self) -> None:
        """Everything arrives, the model finishes, so do the tools, the rivals go."""
        for _ in range(2_000):
            for rival in RIVALS:
                self.give_slot_back(rival)
            self.commit(len(self.to_store))
            moved = [self.store_step(), self.notice_step(), self.call_step(), self.registry_step()]
            if not any(moved) and not self.to_store:
                at_work = self.running_call or self.running_tools or self.leftovers
                if not at_work and not self._follow_always():
                    return
                self.end_call()
                while self.leftovers:
                    self.end_leftover()
                for call_id in tuple(self.running_tools):
                    self.end_tool(call_id)
        raise AssertionError("the session never comes to rest")

    def _hear(self, channel: deque[PersistenceNotice] | deque[FromRegistry] | deque[FromTurn]) -> bool:
        if not channel:
            return False
        message = channel.popleft()
        assert not isinstance(message, ChatOpened | ChatRefused | SessionDeleted), "not for a session"
        self.step(message)
        return True

    def _pass_on(self, grants: Sequence[tuple[str, SlotGranted]]) -> None:
        self.from_registry.extend(notice for session_id, notice in grants if session_id == SESSION)

    def _end(
        self, *, handover: Handover | None = None, failure: ErrorInfo | None = None, failed: bool = False
    ) -> None:
        """The actor is gone. Its slot is freed, what it told the store is committed, its mail moves on."""
        assert failed or handover is None or not self.unanswered - {request for _, request in self.held}
        self.pool.give_back(SESSION)
        self.rebuild = None
        self.commit(len(self.to_store))
        if failed:  # the registry ends the subscriptions of a session that cannot go on
            self.subscribed.clear()
            for observer in self.observers.values():
                observer.lose()
        held, self.held = self.held, []
        inheritance = Inheritance(
            subscribers=tuple(self.subscribed), handover=handover, active=self.active, failure=failure
        )
        self.open(None if self.is_stored else self._new, inheritance)
        for command, request in held:
            if isinstance(command, Subscribe):
                self.subscribed[command.subscriber] = None
            self._deliver(command, request)

    # -- what the session does --

    def step(self, message: SessionMessage, request: int = 0) -> None:
        self._seconds += 0.25
        now = Now(START + timedelta(seconds=self._seconds), self._seconds)
        self.perform(decide(self.state, message, now, request))
        if self._has_lost:
            self._has_lost = False
            self._follow_always()

    def perform(self, effects: list[Effect]) -> None:  # noqa: C901 - a table, one case an effect
        for effect in effects:
            match effect:
                case Load(session_id):
                    self._load(session_id)
                case Persist(write, _):
                    self._persist(write)
                case TellRegistry(message):
                    self._tell_registry(message)
                case CallModel(task_id, _, request):
                    assert self.running_call is None, "one call at a time"
                    assert not self.running_tools, "a call before all tools are over"
                    promises.check_request(request, self.stored(), self._image_mode)
                    self.calls[task_id] = request
                    self.heard[task_id] = ""
                    self.running_call = task_id
                case RunTool(task_id, call):
                    key = promises.check_tool(task_id, call, self.stored(), self.state, self.approved)
                    assert key not in self.tool_runs, "a tool call is run at most once"
                    at_work = [self.tool_names[call_id] for call_id in self.running_tools]
                    promises.check_room(call, at_work, [one[2] for one in self.leftovers], self.state)
                    self.tool_names[call.call_id] = call.name
                    self.tool_runs.add(key)
                    self.running_tools[call.call_id] = task_id
                case ReadImages(task_id, images):
                    self._read_images(task_id, images)
                case CancelTools(of_task, call_ids):
                    for call_id in call_ids:
                        task_id = self.running_tools.pop(call_id, None)
                        if task_id is None:  # it has just ended
                            self.from_call.append(ToolStopped(of_task, call_id))
                        else:
                            self.leftovers.append((task_id, call_id, self.tool_names[call_id]))
                case CancelTask(number):
                    self.running_call = None
                    self.running_tools.clear()
                    while self.leftovers:
                        self.end_leftover()
                    self.stopping = number
                    self.from_call.append(CallsStopped(number))
                case Publish(event, subscribers):
                    self._check_event(event)
                    for name in subscribers:
                        self.observers[name].see(event)
                case Answered(request, value):
                    self._answer(request, value)
                case Refused(request, error):
                    self._answer(request, error)
                case RefuseAll(error):
                    for request in tuple(self.unanswered - {request for _, request in self.held}):
                        self._answer(request, error)
                case TellLost(_, subscribers):
                    self._lose(subscribers)
                case _:
                    assert_never(effect)

    def _read_images(self, task_id: str, images: tuple[tuple[str, tuple[Image, ...]], ...]) -> None:
        assert self._image_mode is ImageMode.OCR
        assert self.running_call is None
        assert not all(image.text for _, shown in images for image in shown), "read again"
        texts = tuple((message_id, ("read",) * len(shown)) for message_id, shown in images)
        error = ErrorInfo(ErrorCode.EXECUTION_FAILED, "illegible") if self.reading_fails else None
        self.from_call.append(ImagesRead(task_id, () if error else texts, error))

    def _lose(self, subscribers: tuple[str, ...]) -> None:
        for name in subscribers:
            self.observers[name].lose()
        self._has_lost = True

    def _load(self, session_id: str) -> None:
        assert not self.to_store, "persistence commits what waits before it loads"
        try:
            self.from_store.append(SessionLoaded(self.store.load(session_id)))
        except EngineError as error:
            self.from_store.append(LoadFailed(session_id, error.info))
        self.mirror = copy.deepcopy(self.store)

    def _persist(self, write: SessionWrite) -> None:
        assert write.epoch == self.state.epoch
        known = self.mirror.read(SESSION).record if self.mirror.list_sessions() else None
        assert self.mirror.commit([write]) == (None,), "a gap, or a write out of order"
        if known is not None:
            promises.check_step(known, self.mirror.read(SESSION).record, self.state)
        if not self.store_gave_up:
            self.to_store.append(write)

    def _tell_registry(self, message: ToRegistry) -> None:
        says_it_again = isinstance(message, AdmissionReport | Passivate | SubscriberRefused)
        assert not self.passivated or says_it_again, f"it spoke after its goodbye: {message}"
        if isinstance(message, RequestSlot | ReturnSlot | Passivate) and self.state.failure is None:
            assert not self.stopping, "what was stopped is still at work"
            assert not self.leftovers, "what was stopped alone may be at work"
        match message:
            case RequestSlot(_, task_id):
                assert task_id not in self.outcomes, "a slot for a task that has finished"
                self.asked_slot[task_id] += 1
            case Passivate():
                self.passivated = True
            case _:
                pass
        self.to_registry.append(message)

    def _check_event(self, event: Event) -> None:
        match event.body:
            case MessageAdded(message):
                promises.check_added(message, self.durable)
            case AnswerStreamed(parts):
                assert parts
                assert not any(isinstance(part, ProviderItemPart) for part in parts), "not for viewers"
            case TaskFinished(outcome):
                promises.check_end(outcome, self.stored())
                if outcome.status is SessionStatus.COMPLETED:
                    assert outcome.answer == self.heard[outcome.task_id]
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
            promises.check_end(value, self.stored())
        name = self._subscribing.pop(request, None)
        if isinstance(value, SubscriptionStarted) and name is not None:
            self.observers[name].start(value)

    # -- what the store has --

    def stored(self) -> StoredSession:
        return self.store.read(SESSION)

    def stored_message(self, message_id: str) -> Message | None:
        messages = self.stored().messages
        return next((message for message in messages if message.message_id == message_id), None)
