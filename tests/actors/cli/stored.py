"""What a chat has left in its store."""

from __future__ import annotations

from pathlib import Path

from actors.conversation import Text
from actors.records import StoredSession
from actors.stores import SqliteStore
from actors.tree import ConversationTree

__all__ = ["only_session_in", "said_in", "sessions_in", "texts_in"]


def sessions_in(path: Path) -> list[StoredSession]:
    store = SqliteStore.open(path, read_only=True)
    try:
        return [store.read(summary.session_id) for summary in store.list_sessions()]
    finally:
        store.close()


def only_session_in(path: Path) -> StoredSession:
    (session,) = sessions_in(path)
    return session


def said_in(session: StoredSession) -> list[tuple[str, str, str]]:
    """The visible branch: who said what, and how complete it is."""
    said: list[tuple[str, str, str]] = []
    for message in ConversationTree(session.messages).branch(session.record.active_leaf_id):
        assert isinstance(message.content, Text)
        said.append((message.role, message.content.text, message.state))
    return said


def texts_in(session: StoredSession) -> list[str]:
    """What is said in the visible branch."""
    return [text for _, text, _ in said_in(session)]
