"""The persistence actor with a store that works in a thread."""

from __future__ import annotations

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
    Flush,
    ListSessions,
    LoadSession,
    ReadSession,
    Save,
    Saved,
    SessionLoaded,
)
from actors.records import PutSession, SessionRecord, SessionWrite
from actors.stores import SqliteStore, Store
from runtime import ActorRef, TrioActor, open_system
from tests.actors.persistence.difficult_stores import GatedStore

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


@asynccontextmanager
async def desk(store: Store, *, throttle_seconds: float = 0.5) -> AsyncGenerator[Desk]:
    heard: list[object] = []
    async with open_system() as system:
        system.spawn_named("listener", Listener, heard)
        yield Desk(system.spawn(PersistenceActor, store, throttle_seconds=throttle_seconds), heard)


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
