"""Sessions that crash again and again. Pure."""

from __future__ import annotations

from collections import deque

__all__ = ["CRASHES_BORNE", "CRASH_PERIOD_SECONDS", "CrashLog"]

CRASHES_BORNE = 3
"""So many crashes within the period, and a session is not loaded again until it is over."""

CRASH_PERIOD_SECONDS = 60.0


class CrashLog:
    """The crashes of the last minute. Times are of a clock that never jumps, in seconds.

    What is older is forgotten as the next ones come, so that it never grows with the number of sessions.
    """

    def __init__(self) -> None:
        self._all: deque[tuple[float, str]] = deque()
        self._by_session: dict[str, deque[float]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, session_id: str, now: float) -> None:
        self._expire(now)
        self._all.append((now, session_id))
        self._by_session.setdefault(session_id, deque()).append(now)

    def blocked_seconds(self, session_id: str, now: float) -> float | None:
        """How long the session is not to be loaded, or None when it may be."""
        self._expire(now)
        times = self._by_session.get(session_id)
        if times is None or len(times) < CRASHES_BORNE:
            return None
        return times[-CRASHES_BORNE] + CRASH_PERIOD_SECONDS - now

    def _expire(self, now: float) -> None:
        while self._all and self._all[0][0] <= now - CRASH_PERIOD_SECONDS:
            _, session_id = self._all.popleft()
            times = self._by_session[session_id]
            times.popleft()
            if not times:
                del self._by_session[session_id]
