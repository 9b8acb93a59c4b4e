"""What the registry knows and no session could tell it again. Pure."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from actors.errors import ErrorInfo
from actors.records import SessionRuntime
from actors.registry.listeners import Listeners
from actors.session.protocol import Handover

__all__ = ["SESSIONS_WITH_EVENTS", "CleanupPlan", "KnownSession", "Ledger"]

SESSIONS_WITH_EVENTS = 100
"""Of so many of the sessions that were unloaded last, and have no subscriber, the events are kept."""


class KnownSession(msgspec.Struct, frozen=True, omit_defaults=True):
    """A session that is loaded, or that somebody keeps.

    `registered`: until it is unregistered. `in_background`: to be unloaded when its turn ends. Its next
    incarnation is given the `handover` of the last one, or the `failure` that ended it.
    """

    runtime: SessionRuntime
    registered: bool = False
    in_background: bool = False
    handover: Handover | None = None
    failure: ErrorInfo | None = None


class CleanupPlan(msgspec.Struct, frozen=True):
    interval_seconds: float
    max_idle_seconds: float


class Ledger:
    """Handed from one incarnation of a registry to the next, as an ETS table is to its heir in OTP.

    Everything else is found out anew. Its values are frozen and replaced whole, so that a registry that
    fails leaves no half of one behind. `refusal` is why no command is taken any more.
    """

    def __init__(self, *, max_concurrent: int) -> None:
        self.lives = 0
        self.max_concurrent = max_concurrent
        self.known: dict[str, KnownSession] = {}
        self.listeners = Listeners()
        self.paths: dict[str, str] = {}  # of chat files, to session ids; each session has at most one
        self.path_of: dict[str, str] = {}
        self.active_id: str | None = None
        self._events: OrderedDict[str, Handover] = OrderedDict()
        self.cleanup: CleanupPlan | None = None
        self.refusal: ErrorInfo | None = None

    def runtime(self, session_id: str) -> SessionRuntime | None:
        known = self.known.get(session_id)
        return None if known is None else known.runtime

    def change(self, session_id: str, **changes: object) -> KnownSession:
        """Change what is known of a known session."""
        known = self.known[session_id] = msgspec.structs.replace(self.known[session_id], **changes)
        return known

    def keep_events(self, session_id: str, handover: Handover) -> None:
        """Keep the latest events of a session that was unloaded, for readers who come back."""
        self._events[session_id] = handover
        if len(self._events) > SESSIONS_WITH_EVENTS:
            self._events.popitem(last=False)

    def take_handover(self, session_id: str) -> Handover | None:
        """What the next incarnation of a session is given; not twice."""
        known = self.known.get(session_id)
        kept = self._events.pop(session_id, None)
        return kept if known is None or known.handover is None else known.handover

    def drop_events(self, session_id: str) -> None:
        self._events.pop(session_id, None)

    def set_path(self, path: str, session_id: str) -> None:
        """The chat file at `path` is that of the session, and no other is."""
        old_path = self.path_of.get(session_id)
        if old_path is not None:
            self.paths.pop(old_path, None)
        old_id = self.paths.get(path)
        if old_id is not None:
            self.path_of.pop(old_id, None)
        self.paths[path] = session_id
        self.path_of[session_id] = path

    def drop_path(self, session_id: str) -> None:
        path = self.path_of.pop(session_id, None)
        if path is not None:
            self.paths.pop(path, None)
