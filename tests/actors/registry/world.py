"""A world around the registry's logic: sessions, store and mail, which a test plays step by step."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import TypeAlias

from actors.access import allow_local
from actors.errors import ErrorCode, ErrorInfo
from actors.events import GlobalEvent
from actors.persistence.protocol import RemoveSession, SessionDeleted, StoreLost
from actors.records import SessionRuntime, SessionStatus
from actors.registry import decide as registry
from actors.registry.effects import (
    Answered,
    Effect,
    Forward,
    Refused,
    SetCleanup,
    Spawn,
    StopSession,
    TellPersistence,
    TellSession,
    TellSubscribers,
    WatchSubscriber,
)
from actors.registry.ledger import Ledger
from actors.registry.protocol import (
    Passivate,
    RegistryCommand,
    RequestSlot,
    ReturnSlot,
    SessionNotice,
    StaysLoaded,
)
from actors.registry.state import RegistryState
from actors.session.protocol import (
    AbortTurn,
    AdmissionReport,
    EventPublished,
    GetSnapshot,
    Handover,
    Inheritance,
    MarkRead,
    PrepareRelease,
    ReportAdmission,
    SetActive,
    SlotGranted,
    SlotQueued,
    SlotRefused,
    SubmitTurn,
    Subscribe,
    SubscriberEnded,
)

__all__ = ["Ended", "FakeSession", "World"]

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
NOT_FOUND = ErrorInfo(ErrorCode.SESSION_NOT_FOUND, "no such session")
BUSY = ErrorInfo(ErrorCode.SESSION_BUSY, "a turn is unfinished")


class Ended:
    """The last thing that a session sends: its end."""

    def __init__(self, *, crashed: bool) -> None:
        self.crashed = crashed


class Stop:
    pass


Mail: TypeAlias = RegistryCommand | Ended


class FakeSession:
    """Follows the rules of a session, with a turn that ends when the test says so."""

    def __init__(self, world: World, session_id: str, inheritance: Inheritance) -> None:
        self.world = world
        self.session_id = session_id
        self.inheritance = inheritance
        self.inbox: deque[object] = deque()
        self.outbox: deque[Mail] = deque()
        self.loaded = False
        self.alive = True
        self.releasing = False
        self.said_goodbye = False
        self.seq = 0 if inheritance.handover is None else inheritance.handover.seq
        self.task_id: str | None = None
        self.status = SessionStatus.IDLE
        self.number = 0
        self.active = inheritance.active
        self.subscribers = dict.fromkeys(inheritance.subscribers)
        self.stash: list[object] = []

    @property
    def is_running(self) -> bool:
        return self.task_id is not None and self.status is SessionStatus.RUNNING

    @property
    def is_asking(self) -> bool:
        return self.task_id is not None and self.status not in (
            SessionStatus.RUNNING,
            SessionStatus.QUEUED,
            SessionStatus.WAITING_CONFIRMATION,
        )

    def runtime(self) -> SessionRuntime:
        return SessionRuntime(
            session_id=self.session_id,
            status=self.status,
            last_active_at=EPOCH,
            task_id=None if self.is_asking else self.task_id,
            unread_count=self.world.unread.get(self.session_id, 0),
        )

    def tell(self, message: RegistryCommand) -> None:
        self.outbox.append(message)

    def load(self) -> None:
        """The store answers."""
        if self.session_id not in self.world.stored:
            self.said_goodbye = True
            self.tell(Passivate(self.session_id, error=NOT_FOUND))
            for message in self.stash:
                if isinstance(message, Forward):
                    self.world.refuse(message.request, NOT_FOUND)
            self.stash.clear()
            return
        self.loaded = True
        self.status = SessionStatus.IDLE
        self.notice()
        stash, self.stash = self.stash, []
        for message in stash:
            self.take(message)

    def notice(self) -> None:
        self.seq += 1
        self.tell(SessionNotice(self.runtime()))

    def take(self, message: object) -> None:
        if isinstance(message, Stop):
            self.die(crashed=False)
        elif self.said_goodbye:
            self.take_after_goodbye(message)
        elif not self.loaded:
            self.stash.append(message)
        else:
            self.handle(message)

    def take_after_goodbye(self, message: object) -> None:
        if isinstance(message, Forward):
            self.world.refuse(message.request, NOT_FOUND)
        elif isinstance(message, ReportAdmission):
            self.goodbye()

    def handle(self, message: object) -> None:
        match message:
            case Forward(_, command, request):
                self.command(command, request)
            case PrepareRelease(abort):
                self.release(abort=abort)
            case SetActive(active):
                self.active = active
            case SubscriberEnded(name):
                self.subscribers.pop(name, None)
            case ReportAdmission():
                self.report()
            case SlotGranted(task_id) if task_id == self.task_id:
                self.status = SessionStatus.RUNNING
                self.notice()
            case SlotQueued(task_id, number) if task_id == self.task_id:
                self.status = SessionStatus.QUEUED
                self.number = number
                self.notice()
            case SlotRefused(task_id) if task_id == self.task_id:
                self.task_id = None
            case SlotGranted() | SlotQueued() | SlotRefused() | StoreLost():
                pass
            case _:
                raise AssertionError(message)

    def command(self, command: object, request: int) -> None:
        match command:
            case SubmitTurn():
                if self.task_id is not None:
                    self.world.refuse(request, BUSY)
                    return
                self.task_id = f"t{request}"
                self.number = 0
                self.tell(RequestSlot(self.session_id, self.task_id, command.priority))
            case MarkRead():
                self.world.unread[self.session_id] = 0
                self.notice()
            case AbortTurn():
                self.end_turn(SessionStatus.ABORTED)
            case Subscribe(name):
                self.subscribers[name] = None
            case _:
                assert isinstance(command, GetSnapshot)
        self.world.answer(request, self.session_id)

    def end_turn(self, status: SessionStatus) -> None:
        if self.task_id is None:
            return
        if not self.is_asking:
            self.status = status
        if status is SessionStatus.COMPLETED and not self.active:
            self.world.unread[self.session_id] = self.world.unread.get(self.session_id, 0) + 1
        self.tell(ReturnSlot(self.session_id, self.task_id))
        self.task_id = None
        self.notice()
        if self.releasing:
            self.goodbye()

    def wait_for_person(self) -> None:
        assert self.task_id is not None
        self.status = SessionStatus.WAITING_CONFIRMATION
        self.tell(ReturnSlot(self.session_id, self.task_id, waiting=True))
        self.notice()

    def release(self, *, abort: bool) -> None:
        keeps_it = self.task_id is not None and self.status is not SessionStatus.WAITING_CONFIRMATION
        if keeps_it and not abort:
            self.tell(StaysLoaded(self.session_id))
        elif keeps_it:
            self.releasing = True
            self.end_turn(SessionStatus.ABORTED)
        else:
            self.goodbye()

    def goodbye(self) -> None:
        self.said_goodbye = True
        self.tell(Passivate(self.session_id, Handover(1, self.seq)))

    def report(self) -> None:
        has_place = self.status is SessionStatus.QUEUED
        self.tell(
            AdmissionReport(
                runtime=self.runtime(),
                task_id=self.task_id if self.status is not SessionStatus.WAITING_CONFIRMATION else None,
                priority=0,
                number=self.number if has_place else 0,
                has_slot=self.is_running,
                subscribers=tuple(self.subscribers),
            )
        )
        if self.is_asking:
            assert self.task_id is not None
            self.tell(RequestSlot(self.session_id, self.task_id, 0))

    def die(self, *, crashed: bool) -> None:
        self.alive = False
        for message in self.inbox:
            if isinstance(message, Forward):
                self.world.lose(message.request)
        for message in self.stash:
            if isinstance(message, Forward):
                self.world.lose(message.request)
        self.inbox.clear()
        self.outbox.append(Ended(crashed=crashed))


class World:
    """Sessions by id, those that have ended until the registry knows it, and who was answered what."""

    def __init__(self, *, slots: int, places: int, cap: int) -> None:
        self.places, self.cap = places, cap
        self.ledger = Ledger(max_concurrent=slots)
        self.sessions: dict[str, FakeSession] = {}
        self.stored: set[str] = set()
        self.unread: dict[str, int] = {}
        self.now = 0.0
        self.requests = 0
        self.open: set[int] = set()
        self.asked: dict[int, RegistryCommand] = {}
        self.answers: dict[int, object] = {}
        self.heard: list[GlobalEvent] = []
        self.subscribers: set[str] = set()
        self.removals: deque[str] = deque()
        self.state = self.new_state()
        self.act(registry.begin(self.state, (), (), self.now))

    def new_state(self) -> RegistryState:
        return RegistryState(
            self.ledger,
            max_queue_size=self.places,
            max_loaded=self.cap,
            authorize=allow_local,
            now=lambda: EPOCH,
        )

    # -- what the test does --

    def ask(self, message: RegistryCommand) -> int:
        self.requests += 1
        self.open.add(self.requests)
        self.asked[self.requests] = message
        self.act(registry.decide(self.state, message, self.now, self.requests))
        return self.requests

    def crash_registry(self) -> None:
        """Who waits for it hears that it is gone; what was said to it is still in its mail."""
        waiting = {
            message.request
            for session in self.sessions.values()
            for message in (*session.inbox, *session.stash)
            if isinstance(message, Forward)
        }
        self.open &= waiting
        self.state = self.new_state()
        live = tuple(self.sessions)
        self.act(registry.begin(self.state, live, tuple(self.subscribers), self.now))

    def step(self, choice: int) -> bool:
        """Let one message arrive somewhere; False when there is none."""
        steps = [
            *(
                lambda session=session: self.step_in(session)
                for session in self.sessions.values()
                if session.inbox
            ),
            *(
                lambda session=session: self.step_out(session)
                for session in self.sessions.values()
                if session.outbox
            ),
            *(
                session.load
                for session in self.sessions.values()
                if session.alive and not session.loaded and not session.said_goodbye
            ),
        ]
        if self.removals:
            steps.append(self.remove)
        if not steps:
            return False
        steps[choice % len(steps)]()
        return True

    def step_in(self, session: FakeSession) -> None:
        session.take(session.inbox.popleft())

    def step_out(self, session: FakeSession) -> None:
        message = session.outbox.popleft()
        if isinstance(message, Ended):
            del self.sessions[session.session_id]
            self.act(
                registry.session_ended(self.state, session.session_id, self.now, crashed=message.crashed)
            )
        else:
            self.act(registry.decide(self.state, message, self.now))

    def remove(self) -> None:
        session_id = self.removals.popleft()
        error = None if session_id in self.stored else NOT_FOUND
        self.stored.discard(session_id)
        self.unread.pop(session_id, None)
        self.act(registry.decide(self.state, SessionDeleted(session_id, error), self.now))

    def settle(self) -> None:
        """Let everything arrive."""
        while self.step(0):
            pass

    # -- what the registry does --

    def act(self, effects: list[Effect]) -> None:
        self.perform(effects)
        while self.state.mail:
            self.perform(registry.take_mail(self.state, self.now))

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Spawn(session_id, inheritance):
                    assert session_id not in self.sessions, "a session is loaded once"
                    self.sessions[session_id] = FakeSession(self, session_id, inheritance)
                case StopSession(session_id):
                    session = self.sessions.get(session_id)
                    if session is not None and session.alive:
                        assert not session.is_running, "a running session is stopped"
                        session.inbox.append(Stop())
                case TellSession(session_id, message):
                    session = self.sessions.get(session_id)
                    if session is not None and session.alive:
                        session.inbox.append(message)
                case Forward(session_id):
                    self.forward(session_id, effect)
                case Answered(request, value):
                    self.answer(request, value)
                case Refused(request, error):
                    self.refuse(request, error)
                case TellPersistence(message):
                    assert isinstance(message, RemoveSession)
                    self.removals.append(message.session_id)
                case TellSubscribers(_, message):
                    if isinstance(message, EventPublished) and isinstance(message.event, GlobalEvent):
                        self.heard.append(message.event)
                case WatchSubscriber() | SetCleanup():
                    pass

    def forward(self, session_id: str, forward: Forward) -> None:
        session = self.sessions.get(session_id)
        if session is None or not session.alive:
            self.perform(self.state.hold(session_id, forward.command, forward.request))
        else:
            session.inbox.append(forward)

    def answer(self, request: int, value: object) -> None:
        if request:
            assert request not in self.answers, "answered twice"
            self.answers[request] = value
            self.open.discard(request)

    def refuse(self, request: int, error: ErrorInfo) -> None:
        self.answer(request, error)

    def lose(self, request: int) -> None:
        """The session ended with the question."""
        self.open.discard(request)
