"""Whatever a session can be, the store gives it back: `load(save(s)) == s`."""

from __future__ import annotations

import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import hypothesis.strategies as st
import msgspec
from hypothesis import given, settings

from actors.conversation import Message
from actors.records import PutMessage, PutSession, SessionRecord, SessionWrite
from actors.stores import ChatFileStore, MemoryStore, SqliteStore, Store
from actors.stores.chat_document import ChatDocument, decode_document, encode_document

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)  # halves of pairs are refused
zones = st.sampled_from([UTC, timezone(timedelta(hours=-7)), timezone(timedelta(hours=5, minutes=45))])
plain: dict[object, st.SearchStrategy[object]] = {
    str: texts,
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=12),
    datetime: st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=zones),  # noqa: DTZ001
    NoneType: st.none(),
    Any: st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
        max_leaves=4,
    ),
}


def any_of(kind: Any) -> st.SearchStrategy[Any]:
    """Every value of a type, with all of its fields: `builds` would leave those out that have a default."""
    if kind in plain:
        return plain[kind]
    if get_origin(kind) in {Union, UnionType}:
        return st.one_of(*(any_of(member) for member in get_args(kind)))
    if get_origin(kind) is tuple:
        return st.lists(any_of(get_args(kind)[0]), max_size=2).map(tuple)
    if get_origin(kind) is dict:
        keys, values = map(any_of, get_args(kind))
        return st.dictionaries(keys, values, max_size=2)
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    return st.builds(kind, **{field.name: any_of(field.type) for field in msgspec.structs.fields(kind)})


messages: st.SearchStrategy[list[Message]] = st.lists(
    any_of(Message).map(lambda message: msgspec.structs.replace(message, parent_id=None)),
    unique_by=lambda message: message.message_id,
    max_size=4,
)
records: st.SearchStrategy[SessionRecord] = any_of(SessionRecord).map(
    lambda record: msgspec.structs.replace(record, session_id="s", active_leaf_id=None)
)


@st.composite
def sessions(draw: st.DrawFn) -> tuple[SessionRecord, tuple[Message, ...]]:
    """A record of any kind with a conversation of any shape, in any order."""
    drawn = draw(messages)
    for place in range(1, len(drawn)):
        parent = draw(st.none() | st.sampled_from(drawn[:place]))
        drawn[place] = msgspec.structs.replace(drawn[place], parent_id=parent and parent.message_id)
    record = draw(records)
    if record.task is not None:  # its question is in the conversation
        asked = draw(st.sampled_from(drawn)) if drawn else None
        task = msgspec.structs.replace(record.task, question_id=asked.message_id) if asked else None
        record = msgspec.structs.replace(record, task=task)
    return record, tuple(draw(st.permutations(drawn)))


@given(sessions(), st.integers(1, 2**53), st.integers(0, 2**53))
@settings(max_examples=200, deadline=None)
def test_a_chat_file_says_everything(
    session: tuple[SessionRecord, tuple[Message, ...]], epoch: int, revision: int
) -> None:
    record, conversation = session
    document = ChatDocument(
        schema_version=1, epoch=epoch, revision=revision, session=record, messages=conversation
    )

    assert decode_document(encode_document(document), Path("s.chat.json")) == document


def give_back(store: Store, session: tuple[SessionRecord, tuple[Message, ...]]) -> None:
    record, conversation = session
    puts = [PutMessage(message) for message in conversation]
    assert store.commit([SessionWrite("s", 1, 1, (PutSession(record), *puts))]) == (None,)
    stored = store.load("s")
    assert (stored.record, stored.messages) == session


@given(sessions())
@settings(max_examples=30, deadline=None)
def test_every_store_gives_back_every_session(session: tuple[SessionRecord, tuple[Message, ...]]) -> None:
    give_back(MemoryStore(), session)
    with tempfile.TemporaryDirectory() as folder:
        with closing(SqliteStore.open(Path(folder, "greenroom.db"))) as store:
            give_back(store, session)
        record, conversation = session
        files = ChatFileStore((folder,))
        path = files.create(folder, msgspec.structs.replace(record, task=None))
        puts = (PutSession(record), *(PutMessage(message) for message in conversation))
        assert files.commit([SessionWrite("s", 1, 1, puts)]) == (None,)
        fresh = ChatFileStore((folder,))
        assert fresh.open(path) == "s"
        stored = fresh.load("s")
        assert (stored.record, stored.messages) == session
