"""A registry that begins anew among sessions that are loaded already. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from actors.registry.protocol import (
    Passivate,
    RegistryCommand,
    RequestSlot,
    ReturnSlot,
    SessionNotice,
    StaysLoaded,
)
from actors.session.protocol import AdmissionReport

__all__ = ["Rebuild", "SessionEnd"]


class SessionEnd(msgspec.Struct, frozen=True):
    """The actor of a session is gone."""

    session_id: str
    crashed: bool


class Rebuild:
    """Who has still to report, what the others said, and the mail that waits for the last of them.

    What a session said before its report is in its report, and thrown away: of two truths the later one
    holds. Its goodbye counts as a report, since it says no more after that: then the last that it said of
    itself is kept.
    """

    def __init__(self, session_ids: Iterable[str]) -> None:
        self._missing = set(session_ids)
        self._reports: dict[str, AdmissionReport] = {}
        self._last_notices: dict[str, SessionNotice] = {}
        self._mail: list[tuple[RegistryCommand | SessionEnd, int]] = []

    @property
    def is_done(self) -> bool:
        return not self._missing

    def reports(self) -> list[AdmissionReport]:
        """In the order of their numbers."""
        return sorted(self._reports.values(), key=lambda report: report.number)

    def mail(self) -> list[tuple[RegistryCommand | SessionEnd, int]]:
        return self._mail

    def take(self, message: RegistryCommand, request: int) -> None:
        match message:
            case AdmissionReport():
                session_id = message.runtime.session_id
                if session_id in self._missing:
                    self._reports[session_id] = message
                    self._missing.discard(session_id)
            case Passivate(session_id):
                self._missing.discard(session_id)
                notice = self._last_notices.pop(session_id, None)
                if notice is not None:
                    self._mail.append((notice, 0))
                self._mail.append((message, request))
            case RequestSlot(session_id) | ReturnSlot(session_id) | StaysLoaded(session_id):
                self._take_unless_missing(session_id, message, request)
            case SessionNotice(runtime) if runtime.session_id in self._missing:
                self._last_notices[runtime.session_id] = message
            case _:
                self._mail.append((message, request))

    def take_end(self, end: SessionEnd) -> None:
        """A session is gone. What it said before comes before that."""
        self._missing.discard(end.session_id)
        self._mail.append((end, 0))

    def _take_unless_missing(self, session_id: str, message: RegistryCommand, request: int) -> None:
        if session_id not in self._missing:
            self._mail.append((message, request))
