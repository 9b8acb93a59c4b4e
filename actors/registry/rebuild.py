"""A registry that begins anew among sessions that are loaded already. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from actors.registry.protocol import (
    Passivate,
    RegistryCommand,
    RequestSlot,
    ReturnSlot,
    SessionNotice,
    StaysLoaded,
)
from actors.session.protocol import AdmissionReport

__all__ = ["Rebuild"]


class Rebuild:
    """Who has still to report, what the others said, and the mail that waits for the last of them.

    What a session said before its report is in its report, and thrown away: of two truths the later one
    holds. Only its goodbye is kept, and counts as a report, since it says no more after that.
    """

    def __init__(self, session_ids: Iterable[str]) -> None:
        self._missing = set(session_ids)
        self._reports: dict[str, AdmissionReport] = {}
        self._mail: list[tuple[RegistryCommand, int]] = []

    @property
    def is_done(self) -> bool:
        return not self._missing

    def reports(self) -> list[AdmissionReport]:
        """In the order of their numbers."""
        return sorted(self._reports.values(), key=lambda report: report.number)

    def mail(self) -> list[tuple[RegistryCommand, int]]:
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
                self._mail.append((message, request))
            case RequestSlot(session_id) | ReturnSlot(session_id) | StaysLoaded(session_id):
                self._take_unless_missing(session_id, message, request)
            case SessionNotice(runtime):
                self._take_unless_missing(runtime.session_id, message, request)
            case _:
                self._mail.append((message, request))

    def ended(self, session_id: str) -> None:
        """A session will not report any more."""
        self._missing.discard(session_id)
        self._reports.pop(session_id, None)

    def _take_unless_missing(self, session_id: str, message: RegistryCommand, request: int) -> None:
        if session_id not in self._missing:
            self._mail.append((message, request))
