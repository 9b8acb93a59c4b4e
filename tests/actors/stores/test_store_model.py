"""Random histories against the simplest store there is: a dictionary of whole texts."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from actors.conversation import Message, MessageState, Text
from actors.errors import ErrorCode
from actors.records import AppendText, DeleteMessages, PutMessage, PutSession, SessionWrite, WriteOp
from actors.stores import MemoryStore, SqliteStore, Store
from tests.actors.stores.chat_folder import ChatFolder
from tests.actors.stores.samples import answer, piece, question, record

SESSION_IDS = ("s0", "s1", "s2")
MESSAGE_IDS = ("m0", "m1", "m2")

session_ids = st.sampled_from(SESSION_IDS)
message_ids = st.sampled_from(MESSAGE_IDS)
texts = st.text(max_size=8)
operations = st.lists(
    st.one_of(
        st.builds(
            answer, message_ids, texts, state=st.sampled_from([MessageState.STREAMING, *MessageState])
        ),
        st.builds(question, message_ids, texts),
        st.builds(piece, message_ids, texts, texts),
        st.builds(piece, message_ids, texts, texts),
        st.lists(message_ids, max_size=2).map(tuple).map(DeleteMessages),
        texts,  # a new title
    ),
    max_size=5,
)


@dataclass
class Expected:
    """What a session must look like."""

    title: str = ""
    messages: dict[str, Message] = field(default_factory=dict[str, Message])
    epoch: int = 1
    writes: list[SessionWrite] = field(default_factory=list[SessionWrite])
    deleted: bool = False

    def after(self, write: SessionWrite) -> Expected | None:
        """The session after `write`; `None` if one of its texts has nowhere to go."""
        new = Expected(self.title, dict(self.messages), self.epoch, [*self.writes, write])
        for op in write.ops:
            match op:
                case PutSession(record=put):
                    new.title = put.title
                case PutMessage(message=message):
                    new.messages[message.message_id] = message
                case AppendText(message_id=message_id, text=text, thought=thought):
                    message = new.messages.get(message_id)
                    if message is None or message.state is not MessageState.STREAMING:
                        return None
                    assert isinstance(message.content, Text)
                    whole = Text(message.content.text + text, message.content.thought + thought)
                    new.messages[message_id] = answer(message_id, whole.text, thought=whole.thought).message
                case DeleteMessages(message_ids=gone):
                    for message_id in gone:
                        new.messages.pop(message_id, None)
        return new


class StoreMachine(RuleBasedStateMachine):
    """Histories of three sessions, with what a restart, a lost acknowledgement and a former owner do."""

    def __init__(self) -> None:
        super().__init__()
        self.store: Store = MemoryStore()
        self.expected: dict[str, Expected] = {}

    def ops(self, session_id: str, drawn: list[WriteOp | str]) -> tuple[WriteOp, ...]:
        return tuple(
            PutSession(record(session_id, title=op)) if isinstance(op, str) else op for op in drawn
        )

    def write(self, session_id: str, drawn: list[WriteOp | str]) -> tuple[SessionWrite, ErrorCode | None]:
        """The owner's next write and the verdict that is due; expects its effect."""
        ops = self.ops(session_id, drawn)
        session = self.expected.get(session_id)
        if session is None:
            write = SessionWrite(session_id, 1, 1, (PutSession(record(session_id)), *ops))
            session = Expected()
        elif session.deleted:
            return SessionWrite(session_id, session.epoch, len(session.writes) + 1, ops), (
                ErrorCode.SESSION_NOT_FOUND
            )
        else:
            write = SessionWrite(session_id, session.epoch, len(session.writes) + 1, ops)
        after = session.after(write)
        if after is None:
            return write, ErrorCode.SESSION_INVALID
        self.expected[session_id] = after
        return write, None

    @rule(batch=st.lists(st.tuples(session_ids, operations), max_size=4))
    def commit_next_writes(self, batch: list[tuple[str, list[WriteOp | str]]]) -> None:
        due = [self.write(session_id, drawn) for session_id, drawn in batch]

        verdicts = self.store.commit([write for write, _ in due])

        assert [error and error.code for error in verdicts] == [code for _, code in due]

    @rule(session_id=session_ids, which=st.integers(min_value=0, max_value=50))
    def commit_again(self, session_id: str, which: int) -> None:
        session = self.expected.get(session_id)
        if session is None:
            return
        write = session.writes[which % len(session.writes)]

        (error,) = self.store.commit([write])

        # A write of a former epoch is refused even if it was kept: who asks does not own the session.
        kept = None if write.epoch == session.epoch else ErrorCode.CONFLICT
        assert (error and error.code) == (ErrorCode.SESSION_NOT_FOUND if session.deleted else kept)

    @rule(session_id=session_ids, drawn=operations, gap=st.integers(min_value=2, max_value=3))
    def leave_a_gap(self, session_id: str, drawn: list[WriteOp | str], gap: int) -> None:
        session = self.expected.get(session_id)
        revision = gap + (len(session.writes) if session else 0)
        write = SessionWrite(
            session_id, session.epoch if session else 1, revision, self.ops(session_id, drawn)
        )

        (error,) = self.store.commit([write])

        assert error is not None
        there = session is not None and not session.deleted
        assert error.code is (ErrorCode.CONFLICT if there else ErrorCode.SESSION_NOT_FOUND)

    @rule(session_id=session_ids, drawn=operations, distance=st.sampled_from([-1, 1]))
    def write_as_somebody_else(self, session_id: str, drawn: list[WriteOp | str], distance: int) -> None:
        session = self.expected.get(session_id)
        if session is None:
            return
        revision = len(session.writes) + 1
        write = SessionWrite(session_id, session.epoch + distance, revision, self.ops(session_id, drawn))

        (error,) = self.store.commit([write])

        assert error is not None
        assert error.code is (ErrorCode.SESSION_NOT_FOUND if session.deleted else ErrorCode.CONFLICT)

    @rule(session_id=session_ids, rarely=st.integers(0, 4))
    def delete(self, session_id: str, rarely: int) -> None:
        if session_id not in self.there() or rarely:
            return

        self.store.delete(session_id)

        self.expected[session_id].deleted = True

    def there(self) -> dict[str, Expected]:
        return {name: session for name, session in self.expected.items() if not session.deleted}

    @rule(session_id=session_ids)
    def load(self, session_id: str) -> None:
        session = self.there().get(session_id)
        if session is None:
            return
        session.epoch += 1

        stored = self.store.load(session_id)

        assert (stored.epoch, stored.messages) == (session.epoch, tuple(session.messages.values()))

    @invariant()
    def everything_is_as_expected(self) -> None:
        for session_id, session in self.there().items():
            stored = self.store.read(session_id)
            assert stored.record.title == session.title
            assert stored.messages == tuple(session.messages.values())
            assert (stored.epoch, stored.revision) == (session.epoch, len(session.writes))

    @invariant()
    def the_listing_is_as_expected(self) -> None:
        listed = {
            row.session_id: (row.title, row.messages, row.turns) for row in self.store.list_sessions()
        }
        assert listed == {
            session_id: (
                session.title,
                len(session.messages),
                sum(message.role == "user" for message in session.messages.values()),
            )
            for session_id, session in self.there().items()
        }

    def teardown(self) -> None:
        self.store.close()


class SqliteStoreMachine(StoreMachine):
    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name, "greenroom.db")
        self.store = SqliteStore.open(self.path)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        assert [file.name for file in self.path.parent.iterdir()] == [self.path.name]
        self.store = SqliteStore.open(self.path, create=False)
        # What was deleted before may be made again now: the tombstones were the closed store's.
        self.expected = self.there()

    @rule()
    def read_beside_the_owner(self) -> None:
        reader = SqliteStore.open(self.path, read_only=True)
        for session_id in self.there():
            assert reader.read(session_id) == self.store.read(session_id)
        reader.close()

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


class ChatFileStoreMachine(StoreMachine):
    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.store = ChatFolder(self.folder.name)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        store = self.store = ChatFolder(self.folder.name)
        self.expected = self.there()
        assert {store.open(str(file)) for file in Path(self.folder.name).iterdir()} == set(self.expected)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


@pytest.mark.parametrize(
    ("machine", "examples"), [(StoreMachine, 50), (SqliteStoreMachine, 100), (ChatFileStoreMachine, 50)]
)
def test_a_store_behaves_like_a_dictionary_of_whole_texts(
    machine: type[StoreMachine], examples: int
) -> None:
    run_state_machine_as_test(  # pyright: ignore[reportUnknownMemberType] - untyped in hypothesis
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,  # a disk takes the time it takes
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
