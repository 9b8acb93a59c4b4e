"""Whose file is it? Links, copies, moves and foreign edits of chat files that are open."""

from __future__ import annotations

import os
import shutil
import tracemalloc
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import msgspec
import pytest

from actors.conversation import Text
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.records import FileStatus, PutSession, SessionWrite, WriteOp
from actors.stores import ChatFileStore
from actors.stores.chat_document import ChatDocument, decode_document, encode_document
from tests.actors.stores.samples import answer, piece, question, record


class Desk:
    """A store of the chats in one folder, with an owner for its sessions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.forks = 0
        self.store = ChatFileStore((str(folder),), new_id=self.new_id)

    def new_id(self) -> str:
        self.forks += 1
        return f"fork {self.forks}"

    def create(self, session_id: str = "s", title: str = "") -> Path:
        path = Path(self.store.create(str(self.folder), record(session_id, title=title)))
        self.store.load(session_id)
        return path

    def write(self, *ops: WriteOp, session_id: str = "s", ahead: int = 1) -> ErrorInfo | None:
        """As the owner who loaded the session last, whatever is on disk."""
        head = self.store._open[session_id].head  # pyright: ignore[reportPrivateUsage]
        (verdict,) = self.store.commit([SessionWrite(session_id, head.epoch, head.revision + ahead, ops)])
        return verdict

    def names(self) -> list[str]:
        return sorted(str(file.relative_to(self.folder)) for file in self.folder.rglob("*.json"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def document_in(path: Path) -> ChatDocument:
    return decode_document(path.read_bytes(), path)


def ids_in(path: Path) -> list[str]:
    return [message.message_id for message in document_in(path).messages]


def edit(path: Path, title: str) -> None:
    """What a person does who opens the file in an editor."""
    document = document_in(path)
    edited = msgspec.structs.replace(
        document, session=msgspec.structs.replace(document.session, title=title)
    )
    path.write_bytes(encode_document(edited))


def refusal(call: Callable[[], object]) -> ErrorInfo:
    with pytest.raises(EngineError) as raised:
        call()
    return raised.value.info


def test_a_file_that_is_closed_and_renamed_is_the_same_session_at_its_new_path(desk: Desk) -> None:
    path = desk.create(title="Tea")
    desk.write(question("q"))
    new = path.rename(desk.folder / "about tea.chat.json")

    store = ChatFileStore((str(desk.folder),))

    assert store.open(str(new)) == "s"
    stored = store.load("s")
    assert (stored.record.title, stored.messages[0].message_id, stored.epoch) == ("Tea", "q", 3)
    assert str(desk.folder) not in new.read_text()


# -- one file, many names --


def test_links_and_detours_lead_to_one_session(desk: Desk) -> None:
    path = desk.create()
    (desk.folder / "x").mkdir()
    (desk.folder / "link.chat.json").symlink_to(path)
    (desk.folder / "folder").symlink_to(desk.folder)

    with chdir(desk.folder):
        for name in (
            "chat1.chat.json",
            "./x/../chat1.chat.json",
            "link.chat.json",
            "folder/link.chat.json",
        ):
            assert desk.store.open(name) == "s"

    assert len(desk.store.list_sessions()) == 1
    desk.write(question("q"))
    assert (desk.folder / "link.chat.json").is_symlink()
    assert ids_in(path) == ["q"]


def test_a_hard_link_leads_to_the_session_that_is_open(desk: Desk) -> None:
    path = desk.create()
    link = desk.folder / "hard.chat.json"
    link.hardlink_to(path)

    assert desk.store.open(str(link)) == "s"
    desk.write(question("q"))

    assert desk.store.open(str(link)) == "s", "the link keeps the old content, and still leads here"
    assert (ids_in(path), ids_in(link)) == (["q"], [])


def test_a_hard_link_whose_first_name_is_gone_is_where_the_session_is_now(desk: Desk) -> None:
    path = desk.create()
    link = desk.folder / "hard.chat.json"
    link.hardlink_to(path)
    path.unlink()

    assert desk.store.open(str(link)) == "s"

    assert desk.write(question("q")) is None
    assert desk.names() == ["hard.chat.json"]


# -- copies --


def test_a_copy_is_refused_with_the_path_of_the_original(desk: Desk) -> None:
    path = desk.create()
    copy = Path(shutil.copy(path, desk.folder / "copy.chat.json"))
    before = copy.read_bytes()

    error = refusal(lambda: desk.store.open(str(copy)))

    assert (error.code, error.details["owner_path"]) == (ErrorCode.CONFLICT, str(path))
    assert "fork" in error.message
    assert copy.read_bytes() == before
    assert desk.write(question("q")) is None
    assert (ids_in(path), ids_in(copy)) == (["q"], [])


def test_a_copy_that_is_forked_is_a_session_of_its_own(desk: Desk) -> None:
    path = desk.create(title="Tea")
    desk.write(question("q"))
    copy = Path(shutil.copy(path, desk.folder / "copy.chat.json"))

    forked = desk.store.fork(str(copy))

    assert (forked, desk.store.open(str(copy))) == ("fork 1", "fork 1")
    desk.store.load(forked)
    desk.write(answer("a"), session_id=forked)
    assert (ids_in(path), ids_in(copy)) == (["q"], ["q", "a"])
    assert document_in(copy).session.title == "Tea"


def test_the_original_is_not_forked_by_mistake(desk: Desk) -> None:
    path = desk.create()

    error = refusal(lambda: desk.store.fork(str(path)))

    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert "fork the copy" in error.message
    assert desk.store.open(str(path)) == "s"


# -- moves --


@pytest.mark.parametrize("new_name", ["new.chat.json", "deep/down/new.chat.json"])
def test_a_file_that_was_moved_leaves_no_ghost_and_goes_on_at_its_new_path(
    desk: Desk, new_name: str
) -> None:
    path = desk.create()
    desk.write(question("q1"))
    new = desk.folder / new_name
    new.parent.mkdir(parents=True, exist_ok=True)
    path.rename(new)

    verdict = desk.write(question("q2"))

    assert verdict is not None
    assert (verdict.code, verdict.details["file_status"]) == (ErrorCode.CONFLICT, "moved")
    assert verdict.details["moved_to"] == str(new)
    assert desk.store.file_status("s") is FileStatus.MOVED
    assert desk.names() == [new_name]
    assert refusal(lambda: desk.store.load("s")).details["file_status"] == "moved"

    assert desk.store.open(str(new)) == "s"
    assert [message.message_id for message in desk.store.load("s").messages] == ["q1"]
    assert desk.write(question("q2")) is None
    assert ids_in(new) == ["q1", "q2"]
    assert desk.store.file_status("s") is FileStatus.SAVED


def test_a_session_whose_file_is_gone_stays_in_memory_and_makes_no_ghost(desk: Desk) -> None:
    path = desk.create()
    desk.write(question("q1"))
    aside = path.read_bytes()
    path.unlink()

    verdict = desk.write(question("q2"))

    assert verdict is not None
    assert (verdict.code, verdict.details["file_status"]) == (ErrorCode.CONFLICT, "missing")
    assert desk.names() == []
    assert [message.message_id for message in desk.store.read("s").messages] == ["q1"]
    assert refusal(lambda: desk.store.open(str(path))).code is ErrorCode.SESSION_NOT_FOUND

    path.write_bytes(aside)
    assert desk.write(question("q2")) is None
    assert ids_in(path) == ["q1", "q2"]


def test_a_folder_that_was_renamed_takes_its_chats_along(desk: Desk) -> None:
    (desk.folder / "old").mkdir()
    path = Path(desk.store.create(str(desk.folder / "old"), record("s")))
    (desk.folder / "old").rename(desk.folder / "new")

    verdict = desk.write(question("q"))

    assert verdict is not None
    assert verdict.details["moved_to"] == str(desk.folder / "new" / path.name)
    assert desk.names() == ["new/chat1.chat.json"]


def test_files_that_were_swapped_are_not_written_over(desk: Desk) -> None:
    a, b = desk.create("a"), desk.create("b")
    aside = a.rename(desk.folder / "aside.chat.json")
    b.rename(a)
    aside.rename(b)
    before = {path: path.read_bytes() for path in (a, b)}

    for session_id, now_at in (("a", b), ("b", a)):
        verdict = desk.write(question("q"), session_id=session_id)
        assert verdict is not None
        assert verdict.details["moved_to"] == str(now_at)
    assert {path: path.read_bytes() for path in (a, b)} == before

    assert (desk.store.open(str(a)), desk.store.open(str(b))) == ("b", "a")
    for session_id, now_at in (("a", b), ("b", a)):
        assert desk.write(question(f"of {session_id}"), session_id=session_id) is None
        assert ids_in(now_at) == [f"of {session_id}"]


def test_another_chat_that_took_the_place_is_a_session_of_its_own(desk: Desk, tmp_path: Path) -> None:
    path = desk.create()
    path.rename(desk.folder / "new.chat.json")
    other = ChatFileStore((str(tmp_path),))
    assert other.create(str(tmp_path), record("other")) == str(path)

    assert desk.store.open(str(path)) == "other"

    assert desk.write(question("q"), session_id="other") is None
    verdict = desk.write(question("q"))
    assert verdict is not None
    assert verdict.details["file_status"] == "moved"


# -- foreign edits --


def test_an_edit_of_an_idle_session_is_what_the_next_load_gives(desk: Desk) -> None:
    path = desk.create(title="mine")
    edit(path, "theirs")

    assert desk.store.read("s").record.title == "theirs"
    stored = desk.store.load("s")

    assert (stored.record.title, stored.epoch) == ("theirs", 3)
    assert desk.write(question("q")) is None
    assert (document_in(path).session.title, ids_in(path)) == ("theirs", ["q"])


def test_an_old_version_that_is_put_back_is_an_edit_like_any_other(desk: Desk) -> None:
    path = Path(desk.store.create(str(desk.folder), record("s")))
    old = path.read_bytes()
    desk.store.load("s")
    desk.write(question("q1"))
    path.write_bytes(old)

    verdict = desk.write(question("q2"))

    assert verdict is not None
    assert verdict.details["file_status"] == "conflict"
    assert path.read_bytes() == old


def test_an_edit_while_somebody_writes_keeps_both_versions(desk: Desk) -> None:
    path = desk.create(title="mine")
    desk.write(question("q1"))
    edit(path, "theirs")
    theirs = path.read_bytes()

    verdict = desk.write(question("q2"))

    assert verdict is not None
    assert (verdict.code, verdict.details["file_status"]) == (ErrorCode.CONFLICT, "conflict")
    copy = desk.folder / "chat1.conflict-1.chat.json"
    assert verdict.details["conflict_copy"] == str(copy)
    assert path.read_bytes() == theirs
    assert (document_in(copy).session.title, ids_in(copy)) == ("mine", ["q1", "q2"])
    assert desk.store.file_status("s") is FileStatus.CONFLICT

    assert desk.write(question("q2")) is not None
    assert desk.names() == ["chat1.chat.json", "chat1.conflict-1.chat.json"], "one conflict, one copy"

    assert desk.store.load("s").record.title == "theirs"
    assert desk.write(question("q3")) is None
    edit(path, "theirs again")
    desk.write(question("q4"))
    assert ids_in(desk.folder / "chat1.conflict-2.chat.json") == ["q1", "q3", "q4"]


def test_looking_at_an_edit_does_not_approve_it(desk: Desk) -> None:
    path = desk.create(title="mine")
    edit(path, "theirs")

    desk.store.read("s")
    desk.store.open(str(path))

    verdict = desk.write(PutSession(record("s", title="mine again")))
    assert verdict is not None
    assert verdict.details["file_status"] == "conflict"
    assert document_in(path).session.title == "theirs"


def test_an_edit_of_the_same_length_and_time_is_noticed(desk: Desk) -> None:
    path = desk.create(title="mine")
    status = path.stat()
    edit(path, "ours")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert path.stat().st_size == status.st_size
    assert desk.write(question("q")) is not None


def test_a_file_that_was_only_touched_or_put_back_is_no_conflict(desk: Desk) -> None:
    path = desk.create()
    os.utime(path)
    assert desk.write(question("q1")) is None

    shutil.copy(path, desk.folder / "aside")
    path.unlink()
    (desk.folder / "aside").rename(path)
    assert desk.write(question("q2")) is None

    assert ids_in(path) == ["q1", "q2"]


def test_an_edit_that_broke_the_file_is_kept_and_refused(desk: Desk) -> None:
    path = desk.create()
    path.write_text("{")

    for call in (
        lambda: desk.store.load("s"),
        lambda: desk.store.read("s"),
        lambda: desk.store.open(str(path)),
    ):
        assert refusal(call).code is ErrorCode.SESSION_INVALID
    verdict = desk.write(question("q"))

    assert verdict is not None
    assert verdict.details["file_status"] == "conflict"
    assert path.read_text() == "{"
    assert ids_in(desk.folder / "chat1.conflict-1.chat.json") == ["q"]


def test_an_old_version_that_is_loaded_is_above_every_epoch_that_was_given_out(desk: Desk) -> None:
    path = Path(desk.store.create(str(desk.folder), record("s")))
    old = path.read_bytes()
    for _ in range(3):
        desk.store.load("s")
    path.write_bytes(old)

    assert desk.store.load("s").epoch == 5


def test_another_process_that_loads_the_session_fences_this_one_off(desk: Desk) -> None:
    path = desk.create()
    other = ChatFileStore((str(desk.folder),))
    other.open(str(path))
    assert other.load("s").epoch == 3

    verdict = desk.write(question("q"))

    assert verdict is not None
    assert verdict.code is ErrorCode.CONFLICT
    assert ids_in(path) == []
    assert desk.store.load("s").epoch == 4


# -- deletion --


def test_a_deleted_session_takes_its_file_along_and_nothing_brings_it_back(desk: Desk) -> None:
    path = desk.create()

    desk.store.delete("s")

    assert desk.names() == []
    (verdict,) = desk.store.commit([SessionWrite("s", 2, 1, (question("late"),))])
    assert verdict is not None
    assert verdict.code is ErrorCode.SESSION_NOT_FOUND
    assert desk.names() == []
    assert refusal(lambda: desk.store.open(str(path))).code is ErrorCode.SESSION_NOT_FOUND


def test_a_file_that_its_user_put_back_is_out_of_reach_for_the_old_owner(desk: Desk) -> None:
    path = desk.create()
    aside = path.read_bytes()
    for _ in range(5):
        desk.store.load("s")
    desk.store.delete("s")
    path.write_bytes(aside)

    assert desk.store.open(str(path)) == "s"

    (verdict,) = desk.store.commit([SessionWrite("s", 7, 1, (question("late"),))])
    assert verdict is not None
    assert verdict.code is ErrorCode.CONFLICT
    assert desk.store.load("s").epoch == 9


def test_deleting_a_session_leaves_the_file_of_another_that_took_its_place(desk: Desk) -> None:
    path = desk.create()
    path.unlink()
    other = ChatFileStore((str(desk.folder),))
    assert other.create(str(desk.folder), record("other")) == str(path)

    desk.store.delete("s")

    assert document_in(path).session.session_id == "other"


def test_a_file_that_was_moved_is_not_deleted_by_its_old_path(desk: Desk) -> None:
    path = desk.create()
    new = path.rename(desk.folder / "new.chat.json")

    assert refusal(lambda: desk.store.delete("s")).details["moved_to"] == str(new)

    desk.store.open(str(new))
    desk.store.delete("s")
    assert desk.names() == []


# -- a disk that fails --


def test_a_file_that_cannot_be_written_harms_no_other(desk: Desk) -> None:
    path = desk.create()
    folder = desk.folder / "broken"
    folder.mkdir()
    desk.store.create(str(folder), record("broken"))
    aside = desk.folder.with_name(f"{desk.folder.name} aside")
    folder.rename(aside)
    folder.symlink_to(aside)  # now it is outside the project
    writes = [
        SessionWrite("broken", 1, 1, (question("q"),)),
        SessionWrite("s", 2, 1, (question("q"),)),
    ]

    refused, stored = desk.store.commit(writes)

    assert refused is not None
    assert refused.details["file_status"] == "dirty"
    assert desk.store.file_status("broken") is FileStatus.DIRTY
    assert stored is None
    assert ids_in(path) == ["q"]

    folder.unlink()
    aside.rename(folder)
    assert desk.store.commit(writes) == (None, None)
    assert desk.store.file_status("broken") is FileStatus.SAVED


def test_a_write_that_failed_and_is_in_the_file_nevertheless_is_not_somebody_elses(
    desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = desk.folder / "in"
    folder.mkdir()
    path = Path(desk.store.create(str(folder), record("s")))
    write = SessionWrite("s", 1, 1, (question("q"),))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    twin = Path(shutil.copy(path, elsewhere))
    other = ChatFileStore((str(elsewhere),))
    other.open(str(twin))
    other.commit([write])

    aside = folder.rename(elsewhere / "in")
    folder.symlink_to(aside)
    (verdict,) = desk.store.commit([write])
    assert verdict is not None
    folder.unlink()
    aside.rename(folder)
    path.write_bytes(twin.read_bytes())

    assert desk.store.commit([write]) == (None,)
    assert desk.names() == ["in/chat1.chat.json"]
    assert ids_in(path) == ["q"]


def test_every_write_of_one_commit_is_in_the_file_and_it_is_written_once(desk: Desk) -> None:
    path = desk.create()
    writes = [
        SessionWrite("s", 2, 1, (answer("a"),)),
        SessionWrite("s", 2, 2, (piece("a", "one "),)),
        SessionWrite("s", 2, 2, (piece("a", "one "),)),
        SessionWrite("s", 2, 3, (piece("ghost", "boo"),)),
        SessionWrite("s", 2, 3, (piece("a", "two"),)),
    ]

    verdicts = desk.store.commit(writes)

    assert [verdict and verdict.code for verdict in verdicts] == [
        None,
        None,
        None,
        ErrorCode.SESSION_INVALID,
        None,
    ]
    assert document_in(path).revision == 3
    inode = path.stat().st_ino
    assert desk.store.commit(writes[:3]) == (None, None, None)
    assert path.stat().st_ino == inode, "a repeat writes nothing"


def unload(store: ChatFileStore, folder: Path, number: int) -> None:
    """Make a chat with a megabyte of text, as a session leaves it that is unloaded."""
    new = record(f"s{number}")
    store.create(str(folder), new)
    said = question("m", f"{number:02}" * 500_000)
    resting = msgspec.structs.replace(new, at_rest=True, active_leaf_id="m")
    assert store.commit([SessionWrite(f"s{number}", 1, 1, (said, PutSession(resting)))]) == (None,)


def test_a_chat_that_was_unloaded_is_in_its_file_and_not_in_memory(tmp_path: Path) -> None:
    store = ChatFileStore((str(tmp_path),))
    tracemalloc.start()
    try:
        for number in range(20):
            unload(store, tmp_path, number)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 2_000_000
    assert [summary.messages for summary in store.list_sessions()] == [1] * 20
    assert store.read("s7").messages[0].content == Text("07" * 500_000)
    assert store.load("s7").epoch == 2
