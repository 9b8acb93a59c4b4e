"""The sessions of one chat, by the numbers under which the user finds them again."""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Iterable
from typing import Self

from actors.cli.arguments import positive
from actors.cli.chat.refused import Refused
from actors.cli.chat.setup import Setup
from actors.conversation import Message, Text
from actors.printable import one_line
from actors.records import ChatMode, SessionRecord

__all__ = ["OpenSession", "OpenSessions", "short_id"]

_ID_SHOWN = 8
_LABEL_SHOWN = 50


def short_id(session_id: str) -> str:
    """As much of an id as people read; the status line shows the same."""
    return one_line(session_id[:_ID_SHOWN])


class OpenSession:
    """A session that this chat has begun or gone to. `is_stored` is False until something is said in it."""

    def __init__(
        self, session_id: str, model: str, setup: Setup, *, is_stored: bool, label: str = ""
    ) -> None:
        self.session_id = session_id
        self.model = model
        self.setup = setup
        self.is_stored = is_stored
        self.label = ""
        self.name(label)

    @classmethod
    def stored(cls, record: SessionRecord, messages: Iterable[Message]) -> Self:
        """One that the store has, called by its title or its first question."""
        texts = (message.content.text for message in messages if isinstance(message.content, Text))
        label = record.title or next(texts, "")
        return cls(record.session_id, record.model, Setup.of(record), is_stored=True, label=label)

    @property
    def has_tools(self) -> bool:
        """Whether its turns run tools."""
        return self.setup.mode is ChatMode.AGENT

    def name_if_nameless(self, text: str) -> None:
        if not self.label:
            self.name(text)

    def name(self, text: str) -> None:
        """Take the beginning of a title, or of the first question, as what the session is called."""
        text = one_line(text)
        self.label = text if len(text) <= _LABEL_SHOWN else text[: _LABEL_SHOWN - 1] + "…"


class OpenSessions:
    """Numbered from 1 in the order in which they were opened. One of them is the current one."""

    def __init__(self, first: OpenSession) -> None:
        self._sessions = [first]
        self.current = first

    def __len__(self) -> int:
        return len(self._sessions)

    def numbered(self) -> tuple[tuple[int, OpenSession], ...]:
        return tuple(enumerate(self._sessions, 1))

    def number_of(self, session_id: str) -> int:
        return next(number for number, session in self.numbered() if session.session_id == session_id)

    def find(self, session_id: str) -> OpenSession | None:
        return next((session for session in self._sessions if session.session_id == session_id), None)

    def at(self, number: str) -> OpenSession:
        """
        Raises:
            Refused: it is no number of a session of this chat.
        """
        try:
            index = positive(number) - 1
        except argparse.ArgumentTypeError:
            index = len(self)
        if index >= len(self):
            raise Refused(f"this chat has no session {number}, it has {len(self)}; /sessions lists them")
        return self._sessions[index]

    def open(self, session: OpenSession) -> None:
        """Add a session at the end, and make it the current one."""
        self._sessions.append(session)
        self.current = session

    def begin(self, model: str, setup: Setup) -> None:
        """Another session with nothing in it, unless the current one is that already."""
        if self.current.is_stored:
            self.open(OpenSession(str(uuid.uuid4()), model, setup, is_stored=False))
