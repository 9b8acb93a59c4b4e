"""The persistence actor with a store that works in a thread."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.errors import EngineError, ErrorCode
from actors.persistence.actor import PersistenceActor
from actors.persistence.protocol import (
    ChatOpened,
    ChatRefused,
    CreateChatFile,
    Flush,
    ForkChatFile,
    ListSessions,
    LoadSession,
    OpenChatFile,
    ReadSession,
    RemoveSession,
    Save,
    Saved,
    SaveFailed,
    SessionDeleted,
    SessionLoaded,
)
from actors.records import PutSession, SessionRecord, SessionWrite
from actors.stores import ChatFileStore, FileFirstStore, MemoryStore, SqliteStore, Store
from runtime import ActorRef, TrioActor, open_system
from tests.actors.persistence.difficult_stores import FailingFiles, GatedStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Listener(TrioActor):
    def __init__(self, heard: list[object]) -> None:
        super().__init__()
        self._heard = heard

    def on_receive(self, message: object) -> None:
        self._heard.append(message)


class Desk:
    def __init__(self, persistence: ActorRef[PersistenceActor], heard: list[object]) -> None:
        self.persistence = persistence
        self.heard = heard

    def save(self, session_id: str, revision: int, *, title: str = "", immediate: bool = True) -> None:
        record = SessionRecord(session_id=session_id, created_at=NOW, updated_at=NOW, title=title)
        write = SessionWrite(session_id, 1, revision, (PutSession(record),))
        self.persistence.tell(Save("listener", write, immediate))

    async def ask(self, message: object) -> object:
        return await self.persistence.ask(message, block=False)

    async def settle(self) -> None:
        """Wait until the store has done what was told before: it does one thing after the other.

        The tasks that queue for it may overtake each other once, while they are being started.
        """
        for _ in range(2):
            await self.ask(ListSessions())


@asynccontextmanager
async def desk(store: Store, *, throttle_seconds: float = 0.5) -> AsyncGenerator[Desk]:
    heard: list[object] = []
    async with open_system() as system:
        system.spawn_named("listener", Listener, heard)
        yield Desk(system.spawn(PersistenceActor, store, throttle_seconds=throttle_seconds), heard)


@asynccontextmanager
async def desk_with_files(folder: Path) -> AsyncGenerator[Desk]:
    async with desk(FileFirstStore(MemoryStore(), ChatFileStore((str(folder),)))) as at:
        yield at


async def test_what_comes_during_a_commit_shares_the_next_one() -> None:
    store = GatedStore()
    store.hold()
    async with desk(store) as at:
        for number in range(50):
            at.save(f"s{number}", 1)
        await wait_all_tasks_blocked()
        store.let_go()
        await at.ask(Flush())

        assert at.heard == [Saved(f"s{number}", 1, 1) for number in range(50)]
        assert store.commits == 2


async def test_a_flush_waits_for_throttled_writes_and_does_not_wait_for_the_throttle() -> None:
    async with desk(GatedStore(), throttle_seconds=1_000.0) as at:
        at.save("s", 1, immediate=False)
        await wait_all_tasks_blocked()
        assert at.heard == []

        with trio.fail_after(5):
            await at.ask(Flush())

        assert at.heard == [Saved("s", 1, 1)]


async def test_a_load_comes_after_what_was_told_before() -> None:
    async with desk(GatedStore(), throttle_seconds=1_000.0) as at:
        at.save("s", 1)
        at.save("s", 2, title="the last word", immediate=False)
        at.persistence.tell(LoadSession("listener", "s"))
        await at.ask(Flush())
        await at.ask(ListSessions())  # the store does one thing after the other

        loaded = at.heard[-1]
        assert isinstance(loaded, SessionLoaded)
        assert (loaded.stored.record.title, loaded.stored.revision) == ("the last word", 2)


async def test_an_unknown_session_is_an_answer_and_no_failure() -> None:
    async with desk(GatedStore()) as at:
        for _ in range(2):
            with pytest.raises(EngineError) as refusal:
                await at.ask(ReadSession("nobody"))
            assert refusal.value.code is ErrorCode.SESSION_NOT_FOUND


async def test_what_waits_when_the_actor_stops_is_stored_and_the_store_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "greenroom.db"
    async with desk(SqliteStore.open(path), throttle_seconds=1_000.0) as at:
        at.save("s", 1, title="kept", immediate=False)
        await wait_all_tasks_blocked()

    reopened = SqliteStore.open(path)
    assert reopened.read("s").record.title == "kept"
    reopened.close()


def record(session_id: str) -> SessionRecord:
    return SessionRecord(session_id=session_id, created_at=NOW, updated_at=NOW)


async def test_a_removed_session_is_gone_and_no_write_that_was_on_its_way_brings_it_back() -> None:
    store = GatedStore()
    async with desk(store) as at:
        at.save("s", 1)
        await at.ask(Flush())
        store.hold()
        at.save("s", 2)
        at.save("s", 3, immediate=False)
        at.persistence.tell(RemoveSession("listener", "s"))
        await wait_all_tasks_blocked()
        store.let_go()
        await at.settle()
        at.save("s", 3)
        await at.ask(Flush())

        assert await at.ask(ListSessions()) == ()
        assert at.heard[0] == Saved("s", 1, 1)
        dropped, *others, late = at.heard[1:]
        assert others == [Saved("s", 1, 2), SessionDeleted("s")]
        for notice in (dropped, late):
            assert isinstance(notice, SaveFailed)
            assert (notice.revision, notice.error.code) == (3, ErrorCode.SESSION_NOT_FOUND)


async def test_removing_an_unknown_session_says_so() -> None:
    async with desk(MemoryStore()) as at:
        at.persistence.tell(RemoveSession("listener", "nobody"))
        await at.ask(Flush())

        (notice,) = at.heard
        assert isinstance(notice, SessionDeleted)
        assert notice.error is not None
        assert notice.error.code is ErrorCode.SESSION_NOT_FOUND


async def test_a_chat_file_is_made_opened_written_and_removed(tmp_path: Path) -> None:
    async with desk_with_files(tmp_path) as at:
        path = str(await at.ask(CreateChatFile(directory=str(tmp_path), record=record("s"), new_task=True)))
        assert path == str(tmp_path / "task1" / "chat1.chat.json")
        at.persistence.tell(OpenChatFile("listener", path))
        at.save("s", 1, title="Tea")
        await at.settle()

        assert {ChatOpened(path, "s"), Saved("s", 1, 1)} == set(at.heard)
        assert '"title": "Tea"' in await trio.Path(path).read_text()

        at.persistence.tell(RemoveSession("listener", "s"))
        await at.settle()
        assert at.heard[-1] == SessionDeleted("s")
        assert not await trio.Path(path).exists()


async def test_twenty_chats_made_at_once_have_twenty_files(tmp_path: Path) -> None:
    made: list[object] = []

    async def make(at: Desk, number: int) -> None:
        made.append(await at.ask(CreateChatFile(directory=str(tmp_path), record=record(f"s{number}"))))

    async with desk_with_files(tmp_path) as at:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(make, at, number)

        assert set(made) == {str(tmp_path / f"chat{number}.chat.json") for number in range(1, 21)}


async def test_fifty_threads_that_open_one_file_get_one_session(tmp_path: Path) -> None:
    path = ChatFileStore((str(tmp_path),)).create(str(tmp_path), record("s"))
    (tmp_path / "link.chat.json").symlink_to(path)
    names = [path, str(tmp_path / "link.chat.json")]

    async with desk_with_files(tmp_path) as at:

        async def open_it(number: int) -> None:
            message = OpenChatFile("listener", names[number % 2])
            await trio.to_thread.run_sync(at.persistence.tell, message)

        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(open_it, number)
        await at.settle()

        assert len(at.heard) == 50
        assert set(at.heard) == {ChatOpened(name, "s") for name in names}
        assert len(await at.ask(ListSessions())) == 1  # pyright: ignore[reportArgumentType]


async def test_a_copy_is_refused_until_it_is_forked(tmp_path: Path) -> None:
    async with desk_with_files(tmp_path) as at:
        path = await at.ask(CreateChatFile(directory=str(tmp_path), record=record("s")))
        copy = shutil.copy(str(path), tmp_path / "copy.chat.json")
        at.persistence.tell(OpenChatFile("listener", str(copy)))
        await at.settle()

        (refused,) = at.heard
        assert isinstance(refused, ChatRefused)
        assert (refused.path, refused.error.details["owner_path"]) == (str(copy), path)

        session_id = await at.ask(ForkChatFile(str(copy)))
        at.persistence.tell(OpenChatFile("listener", str(copy)))
        await at.settle()
        assert at.heard[-1] == ChatOpened(str(copy), str(session_id))


async def test_without_project_folders_chat_files_are_refused_with_the_way_to_configure_them() -> None:
    async with desk(MemoryStore()) as at:
        at.persistence.tell(OpenChatFile("listener", "/a.chat.json"))
        with pytest.raises(EngineError) as raised:
            await at.ask(CreateChatFile(directory="/", record=record("s")))
        await at.ask(Flush())

        assert "`project_roots`" in raised.value.message
        (refused,) = at.heard
        assert isinstance(refused, ChatRefused)
        assert refused.error.code is ErrorCode.INVALID_ARGUMENT


@pytest.mark.usefixtures("autojump_clock")
async def test_a_session_whose_medium_fails_is_written_when_it_works_again() -> None:
    store = FailingFiles()
    async with desk(store) as at:
        store.failing.add("s")
        at.save("s", 1, title="Tea")
        at.save("other", 1)
        await wait_all_tasks_blocked()
        assert at.heard == [Saved("other", 1, 1)]

        store.failing.clear()
        await at.ask(Flush())

        assert at.heard[1:] == [Saved("s", 1, 1)]
        assert store.read("s").record.title == "Tea"
