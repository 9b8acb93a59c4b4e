"""What a SQLite store keeps when its process or its disk gives up, and how it keeps streamed text."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from actors.conversation import MessageState
from actors.errors import EngineError, ErrorCode
from actors.records import SessionWrite
from actors.stores import SqliteStore
from actors.stores.sqlite_errors import medium_errors
from actors.stores.sqlite_log import LOG_LIMIT
from tests.actors.stores.process import child
from tests.actors.stores.samples import answer, creation, piece, text_of


def log_rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM appended").fetchone()
        return count


def test_every_acknowledged_commit_survives_kill_9(path: Path) -> None:
    for acknowledgements in (1, 2, 7, 40, 150):
        with child("write_forever", path) as writer:
            reports = [writer.report() for _ in range(acknowledgements)]
            writer.kill()
            reports += writer.reports_to_the_end()
            acknowledged = reports[-1]["revision"]
        with closing(SqliteStore.open(path, read_only=True)) as reader:
            revision = reader.read("s").revision
        with closing(SqliteStore.open(path, create=False)) as store:
            assert store.read("s").revision == revision
            # The last commit may have been durable before its acknowledgement got away.
            assert acknowledged <= revision <= acknowledged + 1
            words = "".join(f"{number} " for number in range(2, revision + 1))
            assert text_of(store, "s", "a").text == words


def test_readers_come_and_go_beside_a_busy_owner(path: Path) -> None:
    with child("write_forever", path) as writer:
        seen = writer.report()["revision"]
        for _ in range(50):
            with closing(SqliteStore.open(path, read_only=True)) as reader:
                assert len(reader.list_sessions()) == 1
                stored = reader.read("s")
            assert stored.revision >= seen
            seen = stored.revision
        writer.kill()


def test_a_commit_that_finds_no_space_changes_nothing_and_the_store_goes_on(path: Path) -> None:
    with child("run_out_of_space", path) as writer:
        failure, after_failure, small, with_space = writer.reports_to_the_end()

    assert failure["code"] == ErrorCode.PERSISTENCE_FAILED
    assert "check its space" in failure["message"]
    assert after_failure == {"text_length": len("fits")}
    assert small == {"text": "fits again"}
    assert with_space == {"text_length": len("fits again") + 1_000_000}
    with closing(SqliteStore.open(path)) as store:
        assert len(text_of(store, "s", "a").text) == len("fits again") + 1_000_000


def test_a_full_disk_is_called_a_full_disk(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(EngineError) as raised, medium_errors(path):
            connection.execute("CREATE TABLE too_much (x)")

    assert (raised.value.code, raised.value.retryable) == (ErrorCode.PERSISTENCE_FAILED, True)
    assert raised.value.message == f"{path}: the disk is full; free some space (SQLITE_FULL)"


def test_a_store_damaged_on_disk_says_so(path: Path) -> None:
    with closing(SqliteStore.open(path)) as store:
        store.commit([creation("s", answer("a", "text"))])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE messages SET body = '{'")

    with closing(SqliteStore.open(path)) as store, pytest.raises(EngineError) as raised:
        store.read("s")

    assert raised.value.code is ErrorCode.PERSISTENCE_FAILED
    assert "session s is damaged" in raised.value.message


def test_a_load_that_fails_claims_nothing(path: Path) -> None:
    with closing(SqliteStore.open(path)) as store:
        store.commit([creation("s", answer("a", "text"))])
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE messages SET body = '{' || body")
        with pytest.raises(EngineError):
            store.load("s")
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE messages SET body = substr(body, 2)")

        assert store.load("s").epoch == 2


def test_a_foreign_lock_fails_a_commit_and_the_next_attempt_succeeds(path: Path) -> None:
    with closing(SqliteStore.open(path)) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as foreign:
            foreign.execute("BEGIN IMMEDIATE")
            with pytest.raises(EngineError) as raised:
                store.commit([creation("s")])
        assert (raised.value.code, raised.value.retryable) == (ErrorCode.PERSISTENCE_FAILED, True)

        assert store.commit([creation("s")]) == (None,)


def test_a_store_may_move_from_thread_to_thread(path: Path) -> None:
    with closing(SqliteStore.open(path)) as store, ThreadPoolExecutor(1) as thread:
        assert thread.submit(store.commit, [creation("s")]).result() == (None,)
        assert store.load("s").epoch == 2
        thread.submit(store.close).result()


def test_using_a_closed_store_is_the_callers_error(path: Path) -> None:
    store = SqliteStore.open(path)
    store.close()
    with pytest.raises(sqlite3.ProgrammingError):
        store.list_sessions()


def test_one_commit_writes_one_log_row_for_each_growing_answer(path: Path) -> None:
    with closing(SqliteStore.open(path)) as store:
        store.commit([creation("s", answer("a"), answer("b"))])
        store.commit(
            [
                SessionWrite("s", 1, 2, (piece("a", "1"), piece("b", "1"), piece("a", "2"))),
                SessionWrite("s", 1, 3, (piece("a", "3"),)),
            ]
        )
        assert log_rows(path) == 2
        assert (text_of(store, "s", "a").text, text_of(store, "s", "b").text) == ("123", "1")


def test_the_log_is_empty_when_no_answer_grows(path: Path) -> None:
    with closing(SqliteStore.open(path)) as store:
        store.commit([creation("s", answer("a"), answer("b"))])
        store.commit([SessionWrite("s", 1, 2, (piece("a", "1"), piece("b", "1")))])
        store.commit([SessionWrite("s", 1, 3, (answer("b", "1", state=MessageState.COMPLETE),))])
        store.commit([SessionWrite("s", 1, 4, (answer("a", "1", state=MessageState.ABORTED),))])
        assert log_rows(path) == 0


def test_an_answer_that_is_never_finished_does_not_let_the_log_grow_for_ever(path: Path) -> None:
    sessions = 1000
    with closing(SqliteStore.open(path)) as store:
        store.commit([creation(f"s{number}", answer("a", "start ")) for number in range(sessions)])
        store.commit([creation("stuck", answer("a")), SessionWrite("stuck", 1, 2, (piece("a", "half a"),))])
        store.commit([creation("again", answer("a")), SessionWrite("again", 1, 2, (piece("a", "draft"),))])
        store.commit([SessionWrite("again", 1, 3, (answer("a", "second "), piece("a", "draft")))])
        revisions = range(2, 2 + 2 * LOG_LIMIT // sessions)
        for revision in revisions:
            store.commit(
                [
                    SessionWrite(f"s{number}", 1, revision, (piece("a", f"{revision} "),))
                    for number in range(sessions)
                ]
            )

        assert log_rows(path) <= LOG_LIMIT + sessions
        assert text_of(store, "stuck", "a").text == "half a"
        assert text_of(store, "again", "a").text == "second draft"
        assert text_of(store, "s7", "a").text == "start " + "".join(
            f"{revision} " for revision in revisions
        )
