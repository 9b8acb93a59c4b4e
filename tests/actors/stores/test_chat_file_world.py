"""Random users of one folder beside the engine: what they do to their files is never undone."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import hypothesis.strategies as st
import msgspec
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from actors.errors import EngineError, ErrorCode
from actors.records import SessionWrite, StoredSession
from actors.stores import ChatFileStore
from actors.stores.chat_document import ChatDocument, decode_document, encode_document
from tests.actors.stores.samples import question, record

names = st.sampled_from([f"{name}.chat.json" for name in ("chat1", "chat2", "c", "d")])
REFUSALS = {ErrorCode.SESSION_NOT_FOUND, ErrorCode.CONFLICT}

session_ids = st.sampled_from(["s0", "s1"])


class ChatFolderWorld(RuleBasedStateMachine):
    """Two sessions and four places, with people who move, copy, edit, swap and remove files.

    The engine writes messages, never titles, and people edit titles: so the engine must leave at every
    path the session and the title that people put there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.numbers = count(1)
        self.store = ChatFileStore((str(self.folder),))
        self.loaded: dict[str, StoredSession] = {}
        self.acknowledged: dict[str, list[str]] = {}
        for number in range(2):
            self.store.create(str(self.folder), record(f"s{number}", title=f"t{number}"))

    def files(self) -> dict[str, ChatDocument]:
        return {file.name: decode_document(file.read_bytes(), file) for file in self.folder.iterdir()}

    @contextmanager
    def nothing_of_others_is_touched(self) -> Generator[None]:
        before = self.files()
        yield
        after = self.files()
        for name, document in before.items():
            if ".conflict-" not in name:
                assert after[name].session.session_id == document.session.session_id
                assert after[name].session.title == document.session.title
        assert all(".conflict-" in name for name in after.keys() - before.keys()), "a ghost"

    # -- the engine --

    @rule(session_id=session_ids)
    def load(self, session_id: str) -> None:
        with self.nothing_of_others_is_touched():
            try:
                stored = self.store.load(session_id)
            except EngineError as error:
                if error.code not in REFUSALS:
                    raise
                return
        self.loaded[session_id] = stored
        self.acknowledged[session_id] = [message.message_id for message in stored.messages]

    @rule(session_id=session_ids)
    def write(self, session_id: str) -> None:
        stored = self.loaded.get(session_id)
        if stored is None:
            return
        message_id = f"m{next(self.numbers)}"
        write = SessionWrite(session_id, stored.epoch, stored.revision + 1, (question(message_id),))
        with self.nothing_of_others_is_touched():
            (verdict,) = self.store.commit([write])
        if verdict is None:
            self.acknowledged[session_id].append(message_id)
            self.loaded[session_id] = msgspec.structs.replace(stored, revision=stored.revision + 1)
            assert self.acknowledged[session_id] in [
                [message.message_id for message in document.messages]
                for document in self.files().values()
                if document.session.session_id == session_id
            ]
        else:
            del self.loaded[session_id]  # its owner gives up, as a session does

    @rule(name=names)
    def open(self, name: str) -> None:
        with self.nothing_of_others_is_touched():
            try:
                session_id = self.store.open(str(self.folder / name))
            except EngineError as error:
                if error.code not in REFUSALS:
                    raise
                return
        assert (
            decode_document((self.folder / name).read_bytes(), self.folder).session.session_id == session_id
        )

    @rule()
    def start_again(self) -> None:
        self.store = ChatFileStore((str(self.folder),))
        self.loaded.clear()

    # -- people --

    @rule(name=names, new_name=names)
    def move(self, name: str, new_name: str) -> None:
        if (self.folder / name).exists():
            (self.folder / name).replace(self.folder / new_name)

    @rule(name=names, new_name=names)
    def copy(self, name: str, new_name: str) -> None:
        if (self.folder / name).exists() and name != new_name:
            (self.folder / new_name).unlink(missing_ok=True)
            shutil.copy(self.folder / name, self.folder / new_name)

    @rule(name=names, new_name=names)
    def link(self, name: str, new_name: str) -> None:
        if (self.folder / name).exists() and not (self.folder / new_name).exists():
            (self.folder / new_name).hardlink_to(self.folder / name)

    @rule(name=names, other=names)
    def swap(self, name: str, other: str) -> None:
        if (self.folder / name).exists() and (self.folder / other).exists() and name != other:
            (self.folder / name).rename(self.folder / "aside")
            (self.folder / other).rename(self.folder / name)
            (self.folder / "aside").rename(self.folder / other)

    @rule(name=names)
    def edit(self, name: str) -> None:
        path = self.folder / name
        if path.exists():
            document = decode_document(path.read_bytes(), path)
            titled = msgspec.structs.replace(document.session, title=f"t{next(self.numbers)}")
            path.write_bytes(encode_document(msgspec.structs.replace(document, session=titled)))

    @rule(name=names)
    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    def teardown(self) -> None:
        self.temporary.cleanup()


def test_what_people_do_to_their_files_is_never_undone() -> None:
    run_state_machine_as_test(  # pyright: ignore[reportUnknownMemberType] - untyped in hypothesis
        ChatFolderWorld, settings=settings(max_examples=200, stateful_step_count=30, deadline=None)
    )
