"""Who listens to which session. Pure."""

from __future__ import annotations

__all__ = ["Listeners"]


class Listeners:
    """Subscribers by session, in the order in which they came, and sessions by subscriber."""

    def __init__(self) -> None:
        self._by_session: dict[str, dict[str, None]] = {}
        self._by_name: dict[str, dict[str, None]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    @property
    def session_ids(self) -> tuple[str, ...]:
        """The sessions that somebody listens to."""
        return tuple(self._by_session)

    def has(self, session_id: str) -> bool:
        return session_id in self._by_session

    def of(self, session_id: str) -> tuple[str, ...]:
        return tuple(self._by_session.get(session_id, ()))

    def add(self, session_id: str, name: str) -> bool:
        """Whether the subscriber is a new one, to be watched."""
        is_new = name not in self._by_name
        self._by_session.setdefault(session_id, {})[name] = None
        self._by_name.setdefault(name, {})[session_id] = None
        return is_new

    def remove(self, session_id: str, name: str) -> None:
        """Forget that a subscriber listens to this session, if it does."""
        sessions = self._by_name.get(name, {})
        if session_id in sessions:
            self._leave(session_id, name)
            del sessions[session_id]
            if not sessions:
                del self._by_name[name]

    def ended(self, name: str) -> tuple[str, ...]:
        """Forget a subscriber; the sessions that it listened to."""
        session_ids = tuple(self._by_name.pop(name, ()))
        for session_id in session_ids:
            self._leave(session_id, name)
        return session_ids

    def drop(self, session_id: str) -> tuple[str, ...]:
        """Forget who listens to a session: it is gone. Who they were."""
        names = tuple(self._by_session.pop(session_id, ()))
        for name in names:
            sessions = self._by_name[name]
            del sessions[session_id]
            if not sessions:
                del self._by_name[name]
        return names

    def _leave(self, session_id: str, name: str) -> None:
        names = self._by_session[session_id]
        del names[name]
        if not names:
            del self._by_session[session_id]
