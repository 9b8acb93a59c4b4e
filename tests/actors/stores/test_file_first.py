"""Chat files beside a main store: who keeps what, and that neither harms the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.records import SessionWrite
from actors.stores import ChatFileStore, FileFirstStore, MemoryStore
from tests.actors.stores.samples import creation, question, record


class FullDisk(MemoryStore):
    """A main store that takes no writes while it is `full`."""

    full = False

    def commit(self, writes: Sequence[SessionWrite]) -> tuple[ErrorInfo | None, ...]:
        if self.full:
            raise EngineError(ErrorCode.PERSISTENCE_FAILED, "disk full")
        return super().commit(writes)


def test_a_session_stays_in_the_store_that_it_was_made_in(tmp_path: Path) -> None:
    main = MemoryStore()
    store = FileFirstStore(main, ChatFileStore((str(tmp_path),)))
    path = store.create(str(tmp_path), record("filed", minute=1))

    verdicts = store.commit(
        [
            creation("kept"),
            SessionWrite("filed", 1, 1, (question("q"),)),
            SessionWrite("nobody", 1, 2, ()),
            SessionWrite("kept", 1, 2, (question("q"),)),
        ]
    )

    assert [verdict and verdict.code for verdict in verdicts] == [
        None,
        None,
        ErrorCode.SESSION_NOT_FOUND,
        None,
    ]
    assert [summary.session_id for summary in main.list_sessions()] == ["kept"]
    assert [summary.session_id for summary in store.list_sessions()] == ["kept", "filed"]
    assert '"q"' in Path(path).read_text()
    for session_id in ("kept", "filed"):
        assert len(store.load(session_id).messages) == 1
        store.delete(session_id)
    assert (store.list_sessions(), main.list_sessions(), Path(path).exists()) == ((), (), False)


def test_a_late_write_for_a_deleted_file_does_not_end_up_in_the_main_store(tmp_path: Path) -> None:
    main = MemoryStore()
    store = FileFirstStore(main, ChatFileStore((str(tmp_path),)))
    store.create(str(tmp_path), record("s"))
    store.delete("s")

    (verdict,) = store.commit([creation("s")])

    assert verdict is not None
    assert verdict.code is ErrorCode.SESSION_NOT_FOUND
    assert main.list_sessions() == ()


def test_a_main_store_that_fails_does_not_keep_chat_files_from_being_saved(tmp_path: Path) -> None:
    main = FullDisk()
    store = FileFirstStore(main, ChatFileStore((str(tmp_path),)))
    store.create(str(tmp_path), record("filed"))
    main.full = True

    refused, stored = store.commit([creation("kept"), SessionWrite("filed", 1, 1, (question("q"),))])

    assert refused is not None
    assert refused.code is ErrorCode.PERSISTENCE_FAILED
    assert stored is None
    with pytest.raises(EngineError):
        store.commit([creation("kept")])


def test_without_project_folders_it_blocks_no_more_than_its_main_store(tmp_path: Path) -> None:
    assert not FileFirstStore(MemoryStore(), ChatFileStore()).blocking
    assert FileFirstStore(MemoryStore(), ChatFileStore((str(tmp_path),))).blocking
