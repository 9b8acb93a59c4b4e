"""The events about all sessions, and who gets them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from actors.events import GlobalBody, GlobalEvent
from actors.registry.effects import Effect, TellSubscribers
from actors.session.protocol import EventPublished, SubscriptionEnded

__all__ = ["GlobalFeed"]


class GlobalFeed:
    """Numbers the events from 1, in the life of one registry. Without subscribers nothing is numbered."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._subscribers: dict[str, None] = {}
        self.seq = 0

    @property
    def is_wanted(self) -> bool:
        """Whether an event would reach anybody; else it need not be made."""
        return bool(self._subscribers)

    def add(self, name: str) -> None:
        self._subscribers[name] = None

    def remove(self, name: str) -> None:
        self._subscribers.pop(name, None)

    def publish(self, session_id: str | None, body: GlobalBody) -> list[Effect]:
        if not self._subscribers:
            return []
        self.seq += 1
        event = GlobalEvent(seq=self.seq, at=self._now(), session_id=session_id, body=body)
        return [TellSubscribers(tuple(self._subscribers), EventPublished(event))]

    def end(self) -> list[Effect]:
        """There are no more events."""
        names = tuple(self._subscribers)
        self._subscribers.clear()
        return [TellSubscribers(names, SubscriptionEnded())] if names else []
