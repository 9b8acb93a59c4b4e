"""Subscribing to a session's events from outside the actors."""

from __future__ import annotations

from collections import deque
from typing import Any, TypeAlias

import msgspec
import pykka

from actors.events import Event, Lagged
from actors.session.protocol import EventPublished, SessionSnapshot, SubscriptionEnded
from runtime import ActorRef, Reply, TrioActor, handles

__all__ = ["SubscriberActor", "Subscription"]

Item: TypeAlias = Event | Lagged


class _TakeEvents(msgspec.Struct, frozen=True, tag=True):
    """Answered with a tuple of what has come, at once or when something comes; empty at the end."""


class SubscriberActor(TrioActor):
    """The address to which a session tells its events: a bounded queue in front of one reader.

    When the reader does not keep up, what does not fit is left out, and a `Lagged` says how much.
    """

    def __init__(self, *, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._queue: deque[Item] = deque()
        self._missed = 0
        self._ended = False
        self._reader: pykka.Future[Any] | None = None

    @handles(EventPublished)
    def published(self, message: EventPublished) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.set((message.event,))
        elif len(self._queue) < self._limit and not self._missed:
            self._queue.append(message.event)
        else:
            self._missed += 1

    @handles(SubscriptionEnded)
    def ended(self, _: SubscriptionEnded) -> None:
        self._ended = True
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.set(())

    @handles(_TakeEvents)
    def take(self, _: _TakeEvents) -> tuple[Item, ...] | None:
        if self._missed:
            self._queue.append(Lagged(self._missed))
            self._missed = 0
        if self._queue or self._ended:
            taken = tuple(self._queue)
            self._queue.clear()
            return taken
        self._reader = self.defer()
        return None


class Subscription:
    """An async iterator over a session's events, from `snapshot` on, for trio and asyncio.

    For one reader. It ends when the session is unloaded or fails. Leaving it stops nothing but itself: the
    session runs on. Cancelling a wait loses no event.
    """

    def __init__(self, snapshot: SessionSnapshot, subscriber: ActorRef[SubscriberActor]) -> None:
        self.snapshot = snapshot
        self._subscriber = subscriber
        self._taken: deque[Item] = deque()
        # Kept over a cancelled wait: the events that it is answered with are told only once.
        self._asked: Reply[Any] | None = None

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Item:
        if not self._taken:
            self._taken.extend(await self._take())
        if not self._taken:
            raise StopAsyncIteration
        return self._taken.popleft()

    async def _take(self) -> tuple[Item, ...]:
        if self._asked is None:
            self._asked = self._subscriber.ask(_TakeEvents(), block=False)
        try:
            items: tuple[Item, ...] = await self._asked
        except pykka.ActorDeadError:
            items = ()
        self._asked = None
        return items
