"""The registry actor under its supervisor, between callers and sessions that a test plays itself."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pykka
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.access import AccessRequest, allow_local
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.events import (
    ActorRestarted,
    GlobalEvent,
    PersistenceFailed,
    PoolStatusChanged,
    SessionFailed,
    SessionRegistered,
    SessionUnregistered,
)
from actors.persistence.protocol import ChatOpened, OpenChatFile, RemoveSession, SessionDeleted
from actors.records import PoolStatus, SessionRuntime, SessionStatus
from actors.registry.actor import RegistryActor
from actors.registry.ledger import Ledger
from actors.registry.protocol import (
    REGISTRY_NAME,
    CloseAll,
    DeleteSession,
    Deliver,
    GetPoolStatus,
    GetRuntime,
    ListRuntimes,
    OpenChat,
    Passivate,
    RegisterSession,
    ReleaseSession,
    RequestSlot,
    ReturnSlot,
    SessionNotice,
    StartAutoCleanup,
    StaysLoaded,
    SubscribeAll,
    global_subscriber_name,
)
from actors.session.protocol import (
    AbortTurn,
    AdmissionReport,
    EventPublished,
    GetSnapshot,
    Handover,
    Inheritance,
    PrepareRelease,
    ReportAdmission,
    SessionCommand,
    Subscribe,
    SubscriberEnded,
    SubscriptionEnded,
    session_name,
)
from runtime import ActorRef, ActorSystem, TrioActor, open_system
from runtime.supervision import ChildSpec, FindChild, Supervisor
from runtime.testing import Probe, explore, open_seeded_system

FAILED_WRITES = ErrorInfo(ErrorCode.PERSISTENCE_FAILED, "the disk is full")


class PlayedSession(TrioActor):
    """Keeps what it is told, reports truthfully, and leaves when asked to."""

    expected_errors = ()

    def __init__(self, stage: Backstage, session_id: str, inheritance: Inheritance) -> None:
        super().__init__()
        self._stage = stage
        self._session_id = session_id
        self.inheritance = inheritance

    def on_start(self) -> None:
        self._stage.notice(self._session_id)

    def on_receive(self, message: object) -> str:
        stage, session_id = self._stage, self._session_id
        stage.told.append(message)
        match message:
            case PrepareRelease():
                stage.registry.tell(stage.goodbyes.get(session_id) or Passivate(session_id, Handover(1, 7)))
            case ReportAdmission():
                stage.registry.tell(stage.report(session_id))
            case AbortTurn():
                raise RuntimeError("a bug in a session")
            case _:
                pass
        return "loaded"


class Store(TrioActor):
    """Opens and deletes what it is asked to, when the test lets it."""

    def __init__(self, stage: Backstage) -> None:
        super().__init__()
        self._stage = stage

    def on_receive(self, message: object) -> None:
        self._stage.stored.append(message)


class Backstage:
    """A registry, its sessions, and all that they were told."""

    def __init__(self, system: ActorSystem) -> None:
        self.system = system
        self.told: list[object] = []
        self.stored: list[object] = []
        self.inherited: list[Inheritance] = []
        self.goodbyes: dict[str, Passivate | StaysLoaded] = {}
        self.tasks: dict[str, tuple[str, int, bool]] = {}
        self.persistence = system.spawn(Store, self)
        self.ledger = Ledger(max_concurrent=1)
        self.may: Callable[[AccessRequest], bool] = allow_local
        self.registry: ActorRef[RegistryActor]

    async def open(self, *, max_loaded: int = 2) -> None:
        spec = ChildSpec(
            REGISTRY_NAME,
            lambda: RegistryActor(
                ledger=self.ledger,
                persistence=self.persistence,
                spawn_session=self._spawn,
                max_queue_size=2,
                max_loaded=max_loaded,
                authorize=self.is_allowed,
            ),
            registered_name=REGISTRY_NAME,
        )
        supervisor = self.system.spawn(Supervisor, [spec])
        self.registry = await supervisor.ask(FindChild(REGISTRY_NAME), block=False)

    def is_allowed(self, request: AccessRequest) -> bool:
        return self.may(request)

    def _spawn(self, session_id: str, inheritance: Inheritance) -> ActorRef[Any]:
        self.inherited.append(inheritance)
        return self.system.spawn_named(
            session_name(session_id), PlayedSession, self, session_id, inheritance
        )

    def runtime(self, session_id: str) -> SessionRuntime:
        task_id, number, _ = self.tasks.get(session_id, (None, 0, False))
        status = SessionStatus.QUEUED if number else SessionStatus.RUNNING
        return SessionRuntime(
            session_id=session_id,
            status=SessionStatus.IDLE if task_id is None else status,
            last_active_at=datetime.now(UTC),
            task_id=task_id,
        )

    def notice(self, session_id: str) -> None:
        self.registry.tell(SessionNotice(self.runtime(session_id)))

    def report(self, session_id: str) -> AdmissionReport:
        task_id, number, has_slot = self.tasks.get(session_id, (None, 0, False))
        return AdmissionReport(
            runtime=self.runtime(session_id),
            task_id=task_id,
            priority=0,
            number=number,
            has_slot=has_slot,
            subscribers=(),
        )

    async def ask(self, message: object) -> Any:
        return await self.registry.ask(message, block=False)

    async def deliver(self, command: SessionCommand, session_id: str = "s") -> object:
        return await self.ask(Deliver(session_id, command))

    async def load(self, *session_ids: str) -> None:
        for session_id in session_ids:
            await self.deliver(GetSnapshot(), session_id)
        await wait_all_tasks_blocked()

    async def run(self, session_id: str, number: int = 0) -> None:
        """The session has a turn from now on: queued with a number, else running."""
        self.tasks[session_id] = (f"task of {session_id}", number, number == 0)
        self.registry.tell(RequestSlot(session_id, f"task of {session_id}", 0))
        self.notice(session_id)
        await wait_all_tasks_blocked()

    def loaded(self) -> set[str]:
        prefix = session_name("")
        return {name.removeprefix(prefix) for name in self.system.names(prefix)}

    async def listen(self) -> Probe:
        """To all sessions."""
        name = global_subscriber_name("one")
        probe = Probe(self.system, name=name)
        await self.ask(SubscribeAll(name))
        return probe


def events(probe: Probe) -> list[GlobalEvent]:
    told = [message.event for message in probe.received if isinstance(message, EventPublished)]
    return [event for event in told if isinstance(event, GlobalEvent)]


def bodies(probe: Probe) -> list[object]:
    return [event.body for event in events(probe)]


@asynccontextmanager
async def backstage(*, max_loaded: int = 2) -> AsyncGenerator[Backstage]:
    async with open_system() as system:
        stage = Backstage(system)
        await stage.open(max_loaded=max_loaded)
        yield stage


async def code_of(stage: Backstage, message: object) -> ErrorCode:
    with pytest.raises(EngineError) as refusal:
        await stage.ask(message)
    return refusal.value.code


# -- unloading --


async def test_the_session_that_was_used_longest_ago_leaves_when_there_are_too_many() -> None:
    async with backstage() as stage:
        await stage.load("a", "b")
        await stage.load("a")

        await stage.load("c")

        assert stage.loaded() == {"a", "c"}


async def test_a_question_that_only_looks_does_not_count_as_use() -> None:
    async with backstage() as stage:
        await stage.load("a", "b")
        for _ in range(100):
            await stage.ask(Deliver("a", GetSnapshot(), touch=False))
            await stage.ask(GetRuntime("a"))

        await stage.load("c")

        assert stage.loaded() == {"b", "c"}


async def test_sessions_with_a_turn_are_loaded_above_the_cap_and_leave_when_it_ends() -> None:
    async with backstage(max_loaded=1) as stage:
        await stage.load("a")
        await stage.run("a")
        await stage.load("b")
        assert "a" in stage.loaded()
        await stage.load("c")
        assert stage.loaded() == {"a", "c"}

        task_id, *_ = stage.tasks.pop("a")
        stage.registry.tell(ReturnSlot("a", task_id))
        stage.notice("a")
        await wait_all_tasks_blocked()

        assert stage.loaded() == {"a"}, "the one that was just in use is the last to go"


async def test_mail_for_a_session_that_says_goodbye_goes_to_the_next_one_with_its_events() -> None:
    async with backstage() as stage:
        await stage.load("s")
        subscriber = Probe(stage.system, name="listener")
        await stage.deliver(Subscribe("listener"))
        stage.registry.tell(Passivate("s", Handover(3, 9)))

        answers = [stage.registry.ask(Deliver("s", GetSnapshot()), block=False) for _ in range(3)]

        assert [await answer for answer in answers] == ["loaded"] * 3
        assert stage.inherited[1] == Inheritance(subscribers=("listener",), handover=Handover(3, 9))
        assert subscriber.received == ()


async def test_a_session_that_stays_gets_what_came_while_it_should_leave() -> None:
    async with backstage(max_loaded=1) as stage:
        await stage.load("a")
        stage.goodbyes["a"] = StaysLoaded("a")
        other = stage.registry.ask(Deliver("b", GetSnapshot()), block=False)
        answer = stage.registry.ask(Deliver("a", GetSnapshot()), block=False)

        assert await answer == "loaded"

        await other
        assert len(stage.inherited) == 2


async def test_a_session_whose_writes_fail_is_kept_and_reported() -> None:
    async with backstage() as stage:
        listener = await stage.listen()
        await stage.load("s")
        stage.goodbyes["s"] = StaysLoaded("s", FAILED_WRITES)

        assert await code_of(stage, ReleaseSession("s")) is ErrorCode.PERSISTENCE_FAILED

        assert stage.loaded() == {"s"}
        assert PersistenceFailed(FAILED_WRITES) in bodies(listener)


async def test_idle_sessions_are_cleaned_up_at_each_interval(autojump_clock: MockClock) -> None:
    async with backstage() as stage:
        await stage.ask(RegisterSession("a"))
        await stage.ask(StartAutoCleanup(interval_seconds=300, max_idle_seconds=1800))

        await trio.sleep(1700)
        assert stage.loaded() == {"a"}
        await trio.sleep(2100 + 1 - autojump_clock.current_time())

        assert stage.loaded() == set()
        assert await stage.ask(GetRuntime("a")) is None


async def test_a_registered_session_is_told_once_and_is_known_until_it_is_gone() -> None:
    async with backstage() as stage:
        listener = await stage.listen()
        first = await stage.ask(RegisterSession("s"))
        assert await stage.ask(RegisterSession("s")) == first

        await stage.ask(ReleaseSession("s"))

        assert await stage.ask(GetRuntime("s")) is not None
        assert bodies(listener) == [SessionRegistered()]


# -- deleting --


async def test_a_deleted_session_is_removed_from_the_store_and_its_mail_is_refused() -> None:
    async with backstage() as stage:
        listener = await stage.listen()
        subscriber = Probe(stage.system, name="listener")
        await stage.load("s")
        await stage.deliver(Subscribe("listener"))
        deleted = stage.registry.ask(DeleteSession("s"), block=False)
        await wait_all_tasks_blocked()

        assert await code_of(stage, Deliver("s", GetSnapshot())) is ErrorCode.SESSION_NOT_FOUND
        assert stage.stored == [RemoveSession(REGISTRY_NAME, "s")]
        stage.registry.tell(SessionDeleted("s"))
        await deleted
        await wait_all_tasks_blocked()

        assert subscriber.received == (SubscriptionEnded(),)
        assert bodies(listener) == [SessionRegistered(), SessionUnregistered()]
        assert stage.loaded() == set()


# -- chat files --


async def test_many_who_open_one_file_wait_for_one_answer() -> None:
    async with backstage() as stage:
        answers = [stage.registry.ask(OpenChat("/p/a.chat.json"), block=False) for _ in range(50)]
        other = stage.registry.ask(OpenChat("/p/a.chat.json", "other"), block=False)
        await wait_all_tasks_blocked()

        stage.registry.tell(ChatOpened("/p/a.chat.json", "s"))

        assert {await answer for answer in answers} == {"s"}
        with pytest.raises(EngineError, match="is the chat s, not other"):
            await other
        assert stage.stored == [OpenChatFile(REGISTRY_NAME, "/p/a.chat.json")]
        assert await stage.ask(OpenChat("/p/a.chat.json", "s")) == "s", "it is open now"


# -- failures --


async def test_a_session_that_ends_with_a_slot_or_a_place_gives_both_back() -> None:
    async with backstage() as stage:
        await stage.load("s", "t")
        await stage.run("s")
        await stage.run("t", number=1)

        for name in ("s", "t"):
            stage.registry.tell(Passivate(name, error=FAILED_WRITES))
        await wait_all_tasks_blocked()

        status = await stage.ask(GetPoolStatus())
        assert (status.running, status.queued) == (0, 0)


async def test_a_session_that_crashes_is_reported_and_loaded_at_once_for_its_listeners() -> None:
    async with backstage() as stage:
        listener = await stage.listen()
        Probe(stage.system, name="subscriber")
        await stage.load("s")
        await stage.deliver(Subscribe("subscriber"))

        with pytest.raises((EngineError, RuntimeError, pykka.ActorDeadError)):
            await stage.deliver(AbortTurn())
        await wait_all_tasks_blocked()

        assert stage.loaded() == {"s"}
        assert stage.inherited[1].handover is None
        assert stage.inherited[1].failure is not None
        assert any(isinstance(body, SessionFailed) for body in bodies(listener))


async def test_the_listeners_of_a_session_that_crashes_again_and_again_are_told_that_it_is_over() -> None:
    async with backstage() as stage:
        subscriber = Probe(stage.system, name="subscriber")
        await stage.load("s")
        await stage.deliver(Subscribe("subscriber"))
        for _ in range(3):
            found = stage.system.find(session_name("s"))
            assert found is not None
            found.tell(AbortTurn())
            await wait_all_tasks_blocked()

        assert await code_of(stage, Deliver("s", GetSnapshot())) is ErrorCode.SESSION_INVALID
        last = subscriber.received[-1]
        assert isinstance(last, SubscriptionEnded)
        assert last.error is not None
        assert "try again" in last.error.message


async def test_a_session_hears_of_a_listener_that_is_gone() -> None:
    async with backstage() as stage:
        await stage.load("s")
        listener = Probe(stage.system, name="listener")
        await stage.deliver(Subscribe("listener"))

        await listener.ref.stop(block=False)
        await wait_all_tasks_blocked()

        assert stage.told[-1] == SubscriberEnded("listener")


async def test_when_persistence_ends_no_command_is_taken_any_more() -> None:
    async with backstage() as stage:
        await stage.load("s")
        await stage.persistence.stop(block=False)
        await wait_all_tasks_blocked()

        assert await code_of(stage, Deliver("s", GetSnapshot())) is ErrorCode.PERSISTENCE_FAILED


# -- a registry that fails --


async def test_a_registry_that_was_killed_knows_slots_queue_and_sessions_again() -> None:
    async with backstage(max_loaded=5) as stage:
        listener = await stage.listen()
        await stage.load("a", "b", "c")
        await stage.ask(RegisterSession("kept"))
        await stage.run("a")
        await stage.run("b", number=1)
        await stage.run("c", number=2)
        before: PoolStatus = await stage.ask(GetPoolStatus())

        stage.registry.kill()
        answer = stage.registry.ask(Deliver("a", GetSnapshot()), block=False)

        assert await answer == "loaded", "mail that was there is answered"
        assert await stage.ask(GetPoolStatus()) == before
        assert {runtime.session_id for runtime in await stage.ask(ListRuntimes())} == {
            "a",
            "b",
            "c",
            "kept",
        }
        first, *_ = [event for event in events(listener) if isinstance(event.body, ActorRestarted)]
        assert first.seq == 1
        stage.registry.tell(ReturnSlot("a", "task of a"))
        await wait_all_tasks_blocked()
        assert [type(message).__name__ for message in stage.told[-2:]].count("SlotGranted") == 1


async def test_a_session_that_ended_while_there_was_no_registry_is_noticed() -> None:
    async with backstage() as stage:
        await stage.load("a")
        await stage.run("a")
        session = stage.system.find(session_name("a"))
        assert session is not None
        stage.tasks.pop("a")

        session.kill()
        stage.registry.kill()
        await wait_all_tasks_blocked()

        assert (await stage.ask(GetPoolStatus())).running == 0
        assert stage.loaded() == {"a"}, "it is loaded again, so that the end of its turn is recorded"


def test_a_registry_that_is_killed_at_any_moment_loses_no_slot_and_leaves_nobody_waiting() -> None:
    async def kill_it_in_the_midst_of_work() -> None:
        async with open_seeded_system() as system:
            stage = Backstage(system)
            await stage.open(max_loaded=2)
            async with trio.open_nursery() as nursery:

                async def call(session_id: str) -> None:
                    for _ in range(5):
                        # It had been taken from the mail: the caller is told, and may ask again.
                        with contextlib.suppress(pykka.ActorDeadError):
                            await stage.deliver(GetSnapshot(), session_id)

                for name in ("a", "b", "c", "d"):
                    nursery.start_soon(call, name)
                nursery.start_soon(_kill_sometime, stage)
            await wait_all_tasks_blocked()
            status = await stage.ask(GetPoolStatus())
            assert (status.running, status.queued) == (0, 0)
            assert status.loaded == len(stage.loaded()) <= 2
            await stage.ask(CloseAll())
            assert stage.loaded() == set()

    explore(kill_it_in_the_midst_of_work, seeds=range(300))


async def _kill_sometime(stage: Backstage) -> None:
    await stage.deliver(GetSnapshot(), "a")
    stage.registry.kill()


# -- who may --


async def test_nobody_sees_or_changes_what_the_hook_does_not_allow() -> None:
    async with backstage() as stage:
        await stage.load("mine", "other")
        stage.may = lambda request: request.session_id == "mine"

        listed = await stage.ask(ListRuntimes("somebody"))

        assert [runtime.session_id for runtime in listed] == ["mine"]
        assert await code_of(stage, DeleteSession("other")) is ErrorCode.FORBIDDEN
        assert await code_of(stage, ReleaseSession("other")) is ErrorCode.FORBIDDEN
        assert await code_of(stage, GetPoolStatus()) is ErrorCode.FORBIDDEN
        assert stage.stored == []
        assert stage.loaded() == {"mine", "other"}


async def test_nothing_is_told_twice_about_the_pool() -> None:
    async with backstage() as stage:
        await stage.load("s")
        listener = await stage.listen()
        await stage.run("s")
        for _ in range(3):
            stage.registry.tell(ReturnSlot("s", "task of s"))
        await wait_all_tasks_blocked()

        told = [body.status.running for body in bodies(listener) if isinstance(body, PoolStatusChanged)]
        assert told == [1, 0]
