"""Opening a SQLite store: whom it lets in, whom it refuses, and what it leaves behind."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from actors.errors import EngineError, ErrorCode
from actors.records import ChatMode, TaskRecord
from actors.stores import SqliteStore
from actors.stores.sqlite_schema import FORMAT
from tests.actors.stores.process import child
from tests.actors.stores.samples import creation, question


@contextmanager
def refused(path: Path, code: ErrorCode, reason: str) -> Generator[None]:
    """The block raises one clear error, and the folder is afterwards as it was."""
    before = contents(path.parent)
    with pytest.raises(EngineError) as raised:
        yield
    assert raised.value.code is code
    assert str(path) in raised.value.message
    assert reason in raised.value.message
    assert contents(path.parent) == before


def contents(folder: Path) -> dict[str, bytes | None]:
    if not folder.is_dir():
        return {}
    return {file.name: file.read_bytes() if file.is_file() else None for file in folder.iterdir()}


def make_store(path: Path, *session_ids: str) -> None:
    with closing(SqliteStore.open(path)) as store:
        store.commit([creation(session_id) for session_id in session_ids])


both_ways = pytest.mark.parametrize("read_only", [False, True])


@both_ways
def test_a_path_in_a_missing_folder_is_refused(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "nowhere" / "greenroom.db"
    with refused(path, ErrorCode.INVALID_ARGUMENT, "create it"):
        SqliteStore.open(path, read_only=read_only)


@both_ways
def test_a_folder_is_refused(path: Path, read_only: bool) -> None:
    path.mkdir()
    with refused(path, ErrorCode.INVALID_ARGUMENT, "name a file in it"):
        SqliteStore.open(path, read_only=read_only)


@both_ways
def test_a_pipe_is_refused(path: Path, read_only: bool) -> None:
    os.mkfifo(path)
    with refused(path, ErrorCode.INVALID_ARGUMENT, "not a regular file"):
        SqliteStore.open(path, read_only=read_only)


@both_ways
@pytest.mark.parametrize("content", [b"a letter to grandmother", b"SQLite format 3\x00" + b"?" * 5000])
def test_a_file_that_is_not_sqlite_is_refused_and_stays_as_it_is(
    path: Path, read_only: bool, content: bytes
) -> None:
    path.write_bytes(content)
    with refused(path, ErrorCode.INVALID_ARGUMENT, "not a SQLite file"):
        SqliteStore.open(path, read_only=read_only)


@both_ways
@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_a_foreign_database_is_refused_and_stays_as_it_is(
    path: Path, tmp_path: Path, read_only: bool, journal_mode: str
) -> None:
    original = tmp_path / "original.db"
    with closing(sqlite3.connect(original, isolation_level=None)) as foreign:
        foreign.execute(f"PRAGMA journal_mode = {journal_mode}")
        foreign.execute("CREATE TABLE recipes (name TEXT)")
        # Copied while it is open: in WAL mode with a -wal file that an ordinary open would take over.
        for file in tmp_path.glob("original.db*"):
            shutil.copy(file, path.with_name(file.name.replace("original", path.stem)))
        with refused(path, ErrorCode.INVALID_ARGUMENT, "does not belong to Greenroom"):
            SqliteStore.open(path, read_only=read_only)


@both_ways
def test_a_store_of_a_newer_version_is_refused(path: Path, read_only: bool) -> None:
    make_store(path)
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA user_version = {FORMAT + 1}")
    with refused(path, ErrorCode.INVALID_ARGUMENT, "upgrade Greenroom"):
        SqliteStore.open(path, read_only=read_only)


@both_ways
def test_a_missing_file_is_refused_when_it_is_not_to_be_made(path: Path, read_only: bool) -> None:
    with refused(path, ErrorCode.INVALID_ARGUMENT, "no such file"):
        SqliteStore.open(path, read_only=read_only, create=False)


def test_reading_never_makes_a_file(path: Path) -> None:
    with refused(path, ErrorCode.INVALID_ARGUMENT, "no such file"):
        SqliteStore.open(path, read_only=True)


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.touch()
    make_store(path, "s")
    with closing(SqliteStore.open(path, read_only=True)) as store:
        assert [summary.session_id for summary in store.list_sessions()] == ["s"]


def test_an_empty_file_is_not_a_store_to_read(path: Path) -> None:
    path.touch()
    with refused(path, ErrorCode.INVALID_ARGUMENT, "does not belong to Greenroom"):
        SqliteStore.open(path, read_only=True)


def test_a_store_that_is_not_in_wal_mode_yet_is_completed(path: Path) -> None:
    """As after a crash between making the tables and switching WAL on."""
    make_store(path, "s")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    make_store(path, "t")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_store_that_cannot_be_made_leaves_nothing_behind(path: Path) -> None:
    with child("create_without_space", path) as maker:
        assert maker.reports_to_the_end() == [{"code": ErrorCode.PERSISTENCE_FAILED}]
    assert contents(path.parent) == {}


@pytest.mark.parametrize("name", ["100%.db", "what?.db", "a#b.db", "ein Saal ü.db", ":memory:"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    make_store(tmp_path / name, "s")
    with closing(SqliteStore.open(tmp_path / name, read_only=True)) as store:
        assert len(store.list_sessions()) == 1
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_store_at_rest_is_one_file(path: Path) -> None:
    make_store(path, "s")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_another_process_that_owns_the_store_keeps_others_from_writing_but_not_from_reading(
    path: Path,
) -> None:
    make_store(path, "s")
    with child("hold", path) as owner:
        pid = owner.report()["pid"]
        with refused(path, ErrorCode.PERSISTENCE_FAILED, f"process {pid}"):
            SqliteStore.open(path)
        with closing(SqliteStore.open(path, read_only=True)) as reader:
            assert [summary.session_id for summary in reader.list_sessions()] == ["s"]
        assert owner.end() == 0
    make_store(path, "t")


def test_an_owner_that_was_killed_owns_no_longer(path: Path) -> None:
    with child("hold", path) as owner:
        owner.report()
        owner.kill()
    make_store(path, "s")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_one_process_cannot_own_a_store_twice_even_through_a_link(path: Path, tmp_path: Path) -> None:
    make_store(path)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with (
        closing(SqliteStore.open(path)),
        refused(path, ErrorCode.PERSISTENCE_FAILED, f"process {os.getpid()}"),
    ):
        SqliteStore.open(link)


def test_a_refused_second_owner_does_not_break_the_locks_of_the_first(path: Path) -> None:
    """Closing a descriptor on the file would (see `OwnerLock`); then a visitor removes the -wal file."""
    with closing(SqliteStore.open(path)) as store:
        store.commit([creation("s")])
        with pytest.raises(EngineError):
            SqliteStore.open(path)
        with child("look", path) as visitor:
            assert visitor.reports_to_the_end() == [{"sessions": ["s"]}]
        assert path.with_name(path.name + "-wal").exists()


@both_ways
def test_a_store_that_a_foreign_program_keeps_locked_is_refused_within_bounded_time(
    path: Path, read_only: bool
) -> None:
    make_store(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as foreign:
        foreign.execute("PRAGMA locking_mode = EXCLUSIVE")
        foreign.execute("BEGIN EXCLUSIVE")
        with refused(path, ErrorCode.PERSISTENCE_FAILED, "close that program"):
            SqliteStore.open(path, read_only=read_only)


def test_reading_sees_what_the_owner_commits_and_leaves_nothing_behind(path: Path) -> None:
    with (
        closing(SqliteStore.open(path)) as owner,
        closing(SqliteStore.open(path, read_only=True)) as reader,
    ):
        assert reader.list_sessions() == ()
        owner.commit([creation("s", question("q"))])
        assert reader.read("s") == owner.read("s")
        owner.close()
        assert len(reader.list_sessions()) == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_reading_changes_no_byte_of_the_file(path: Path) -> None:
    make_store(path, "s")
    before = contents(path.parent)
    with closing(SqliteStore.open(path, read_only=True)) as reader:
        reader.read("s")
    assert contents(path.parent) == before


def test_a_store_opened_for_reading_refuses_to_write(path: Path) -> None:
    make_store(path, "s")
    with closing(SqliteStore.open(path, read_only=True)) as reader:
        for attempt in (lambda: reader.load("s"), lambda: reader.commit([creation("t")])):
            with pytest.raises(EngineError) as raised:
                attempt()
            assert raised.value.code is ErrorCode.INVALID_ARGUMENT


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user can reach, unlike pytest's."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_read_only_folder_is_no_place_to_write_but_one_to_read(open_folder: Path) -> None:
    path = open_folder / "greenroom.db"
    make_store(path, "s")
    open_folder.chmod(0o555)
    before = contents(open_folder)

    with child("open_without_privileges", path) as visitor:
        writing, reading = visitor.reports_to_the_end()

    assert writing["code"] == ErrorCode.INVALID_ARGUMENT
    assert "its folder may not be written" in writing["message"]
    assert reading == {"sessions": ["s"]}
    assert contents(open_folder) == before


def test_a_read_only_folder_with_an_unfinished_log_is_not_read_without_it(open_folder: Path) -> None:
    path = open_folder / "greenroom.db"
    with child("write_forever", path) as writer:
        writer.report()
        writer.kill()
    path.with_name(path.name + "-shm").unlink()
    open_folder.chmod(0o555)

    with child("open_without_privileges", path) as visitor:
        _, reading = visitor.reports_to_the_end()

    assert reading["code"] == ErrorCode.PERSISTENCE_FAILED
    assert "-wal" in reading["message"]


def test_a_file_without_permissions_is_refused(open_folder: Path) -> None:
    path = open_folder / "greenroom.db"
    make_store(path, "s")
    open_folder.chmod(0o777)
    path.chmod(0o000)

    with child("open_without_privileges", path) as visitor:
        writing, reading = visitor.reports_to_the_end()

    assert (writing["code"], reading["code"]) == (ErrorCode.INVALID_ARGUMENT, ErrorCode.INVALID_ARGUMENT)
    assert [file.name for file in open_folder.iterdir()] == [path.name]


@pytest.mark.parametrize("read_only", [False, True])
def test_a_path_that_leads_in_a_circle_is_refused(tmp_path: Path, read_only: bool) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")

    with pytest.raises(EngineError) as caught:
        SqliteStore.open(tmp_path / "a", read_only=read_only)

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


@pytest.mark.parametrize("read_only", [False, True])
def test_a_name_that_no_file_system_takes_is_refused(tmp_path: Path, read_only: bool) -> None:
    with pytest.raises(EngineError) as caught:
        SqliteStore.open(tmp_path / ("x" * 300), read_only=read_only)

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


def test_a_session_of_an_older_release_is_read_with_the_defaults_of_what_came_since(path: Path) -> None:
    make_store(path, "s")
    moment = "2026-03-01T12:00:00Z"
    old = f'{{"session_id":"s","created_at":"{moment}","updated_at":"{moment}",'
    old += '"task":{"task_id":"t","question_id":"q","number":3}}'
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE sessions SET record = ?", (old,))

    with closing(SqliteStore.open(path)) as store:
        record = store.load("s").record

    assert (record.mode, record.max_turns, record.queued, record.version) == (ChatMode.CHAT, 20, (), 0)
    assert record.task == TaskRecord("t", "q", number=3)
