"""What the registry owns."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import datetime

import msgspec

from actors.access import AccessRequest, Authorize, forbidden
from actors.errors import ErrorCode, ErrorInfo
from actors.events import PoolStatusChanged
from actors.records import PoolStatus, SessionRuntime
from actors.registry.crashes import CRASH_PERIOD_SECONDS, CRASHES_BORNE, CrashLog
from actors.registry.effects import Effect, Refused
from actors.registry.feed import GlobalFeed
from actors.registry.ledger import Ledger
from actors.registry.protocol import OpenChat, RegistryCommand, RegistryStatistics
from actors.registry.rebuild import Rebuild, SessionEnd
from actors.registry.seats import Seats
from actors.registry.slots import SlotPool
from actors.session.protocol import SessionCommand

__all__ = ["CLOSING", "RegistryState"]

CLOSING = ErrorInfo(ErrorCode.SESSION_INVALID, "the engine is closing: it takes no more commands")


class RegistryState:
    """Everything that the registry knows. `ledger` is what it keeps when it fails; the rest begins anew.

    `deleting` has who waits for the end of which session, `opening` who waits for which file. `closers`
    wait until nothing is loaded any more. `unloaded` are the registered sessions without a seat, by when
    they left it. `mail` is what waited for a rebuild that is over.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        max_queue_size: int,
        max_loaded: int,
        authorize: Authorize,
        now: Callable[[], datetime],
    ) -> None:
        self.ledger = ledger
        self.max_loaded = max_loaded
        self.pool = SlotPool(max_concurrent=ledger.max_concurrent, max_queue_size=max_queue_size)
        self.seats = Seats()
        self.feed = GlobalFeed(now)
        self.crash_log = CrashLog()
        self.rebuild: Rebuild | None = None
        self.mail: deque[tuple[RegistryCommand | SessionEnd, int]] = deque()
        self.unloaded: OrderedDict[str, float] = OrderedDict()
        self.deleting: dict[str, list[int]] = {}
        self.opening: dict[str, list[tuple[OpenChat, int]]] = {}
        self.closers: list[int] = []
        self.loads = 0
        self.evictions = 0
        self.crashes = 0
        self._authorize = authorize
        self._told_status: PoolStatus | None = None

    # -- refusals --

    def forbids(self, principal: str, command: object, session_id: str | None = None) -> ErrorInfo | None:
        """Why the principal may not do this; with the session's owner and project if it is known."""
        runtime = None if session_id is None else self.ledger.runtime(session_id)
        request = AccessRequest(
            principal=principal,
            action=type(command).__name__,
            session_id=session_id,
            owner_id=None if runtime is None else runtime.owner_id,
            project_id=None if runtime is None else runtime.project_id,
        )
        return forbidden(self._authorize, request)

    def cannot_load(self, session_id: str, now: float) -> ErrorInfo | None:
        """Why commands for this session are refused, or None."""
        if self.ledger.refusal is not None:
            return self.ledger.refusal
        if session_id in self.deleting:
            return ErrorInfo(ErrorCode.SESSION_NOT_FOUND, f"session {session_id} is being deleted")
        seconds = self.crash_log.blocked_seconds(session_id, now)
        if seconds is None or session_id in self.seats:
            return None
        return ErrorInfo(
            ErrorCode.SESSION_INVALID,
            f"session {session_id} failed {CRASHES_BORNE} times within {CRASH_PERIOD_SECONDS:.0f} s: "
            f"it is not loaded for the next {seconds:.0f} s; then try again, or read what is stored of it",
            {"retry_after_seconds": seconds},
        )

    def hold(self, session_id: str, command: SessionCommand, request: int) -> list[Effect]:
        """Keep a command for the next incarnation: this one is dead, and its end will be noticed."""
        seat = self.seats.find(session_id)
        if seat is None:
            return [Refused(request, self.ledger.refusal or CLOSING)]  # it could not even be started
        seat.held.append((command, request))
        return []

    # -- what is told --

    def runtime(self, session_id: str) -> SessionRuntime:
        """Of a known session."""
        runtime = self.ledger.known[session_id].runtime
        return msgspec.structs.replace(runtime, is_loaded=session_id in self.seats)

    def pool_status(self) -> PoolStatus:
        return self.pool.status(loaded=len(self.seats))

    def note_pool_status(self) -> None:
        """From here on changes of it are told."""
        self._told_status = self.pool.status(loaded=0)

    def publish_pool_status(self) -> list[Effect]:
        """Tell everybody, if the pool is another one than before."""
        if not self.feed.is_wanted:
            return []
        status = self.pool.status(loaded=0)
        if status == self._told_status:
            return []
        self._told_status = status
        return self.feed.publish(None, PoolStatusChanged(self.pool_status()))

    def statistics(self) -> RegistryStatistics:
        return RegistryStatistics(
            known=len(self.ledger.known),
            loaded=len(self.seats),
            over_cap=max(0, self.seats.staying - self.max_loaded),
            loads=self.loads,
            evictions=self.evictions,
            crashes=self.crashes,
            global_events=self.feed.seq,
        )
