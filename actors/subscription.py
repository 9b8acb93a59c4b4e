"""Subscribing to events from outside the actors."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Generic, Self, TypeAlias, TypeVar, cast

import msgspec
import pykka

from actors.errors import ErrorCode, ErrorInfo
from actors.events import Event, GlobalEvent, Lagged
from actors.session.protocol import (
    Cursor,
    EncodedEvent,
    EventPublished,
    EventsLost,
    SessionSnapshot,
    SubscriptionEnded,
    SubscriptionStarted,
)
from runtime import ActorRef, Reply, Terminated, TrioActor, handles

__all__ = [
    "EncodedSubscription",
    "GlobalSubscription",
    "SubscriberActor",
    "Subscription",
    "TakeEvents",
    "TakenEvents",
]

E = TypeVar("E", Event, GlobalEvent, EncodedEvent)

_encoder = msgspec.json.Encoder()

Item: TypeAlias = Event | GlobalEvent | EncodedEvent | Lagged


class TakeEvents(msgspec.Struct, frozen=True, tag=True):
    """Answered with `TakenEvents`, at once or when something comes."""


class TakenEvents(msgspec.Struct, frozen=True):
    """What has come, in order; nothing is the end, because of `error` if there is one."""

    items: tuple[Item, ...]
    error: ErrorInfo | None = None


class SubscriberActor(TrioActor):
    """The address to which events are told: a bounded queue in front of one reader.

    When the reader does not keep up, what does not fit is left out, and a `Lagged` says how much. Without
    the actor `source` no more events can come, and they end.
    """

    def __init__(self, *, limit: int, source: ActorRef[Any]) -> None:
        super().__init__()
        self._limit = limit
        self._source = source
        self._queue: deque[Item] = deque()
        self._lagged: Lagged | None = None
        self._end: TakenEvents | None = None
        self._reader: pykka.Future[Any] | None = None

    def on_start(self) -> None:
        self.watch(self._source)

    @handles(EventPublished)
    def published(self, message: EventPublished) -> None:
        self._add(message.event)

    @handles(EncodedEvent)
    def encoded(self, message: EncodedEvent) -> None:
        self._add(message)

    @handles(EventsLost)
    def lost(self, message: EventsLost) -> None:
        self._add(message.lagged)

    @handles(SubscriptionEnded)
    def ended(self, message: SubscriptionEnded) -> None:
        if self._end is None:
            self._end = TakenEvents((), message.error)
            self._answer(self._end)

    @handles(Terminated)
    def source_ended(self, _: Terminated) -> None:
        error = ErrorInfo(ErrorCode.EXECUTION_FAILED, "the engine's registry failed: no more events come")
        self.ended(SubscriptionEnded(error))

    @handles(TakeEvents)
    def take(self, _: TakeEvents) -> TakenEvents | None:
        if self._lagged is not None:
            self._queue.append(self._lagged)
            self._lagged = None
        if self._queue:
            taken = tuple(self._queue)
            self._queue.clear()
            return TakenEvents(taken)
        if self._end is not None:
            return self._end
        self._reader = self.defer()
        return None

    def _add(self, item: Item) -> None:
        if self._answer(TakenEvents((item,))):
            return
        if len(self._queue) < self._limit and self._lagged is None:
            self._queue.append(item)
        else:
            self._lagged = _one_more(self._lagged, item)

    def _answer(self, taken: TakenEvents) -> bool:
        reader, self._reader = self._reader, None
        if reader is None:
            return False
        reader.set(taken)
        return True


def _one_more(lagged: Lagged | None, item: Item) -> Lagged:
    """How much is missed when this is left out too; of events that were lost before nobody can say."""
    before = 0 if lagged is None else lagged.missed
    more = item.missed if isinstance(item, Lagged) else 1
    return Lagged(None if before is None or more is None else before + more)


class _Reading(Generic[E]):
    """An async iterator over events, for one reader, in trio and in asyncio.

    Leaving it stops nothing but itself. Cancelling a wait loses no event.
    """

    def __init__(self, subscriber: ActorRef[SubscriberActor], first: Iterable[E] = ()) -> None:
        self._subscriber = subscriber
        self._items: deque[E | Lagged] = deque(first)
        # Kept over a cancelled wait: the events that it is answered with are told only once.
        self._asked: Reply[Any] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E | Lagged:
        while not self._items:
            await self._take()
        return self._items.popleft()

    async def _take(self) -> None:
        """
        Raises:
            StopAsyncIteration, EngineError: nothing more comes.
        """
        if self._asked is None:
            self._asked = self._subscriber.ask(TakeEvents(), block=False)
        try:
            taken: TakenEvents = await self._asked
        except pykka.ActorDeadError:
            taken = TakenEvents(())
        self._asked = None
        if not taken.items:
            if taken.error is not None:
                raise taken.error.to_exception()
            raise StopAsyncIteration
        news = [item for item in taken.items if self._is_news(item)]
        self._items.extend(cast("list[E | Lagged]", news))  # whoever made it subscribed to these

    def _is_news(self, item: Item) -> bool:  # noqa: ARG002 - for those who know better
        return True


class _Following(_Reading[E]):
    """The events of one session: from `snapshot` on, or after the cursor, when that is None.

    They go on when the session is unloaded and loaded again; after a crash there is a `Lagged` in their
    place: take a snapshot then. They end when the session is deleted or unregistered, or the engine closes,
    and with an `EngineError` when the session cannot be loaded any more.
    """

    def __init__(
        self, started: SubscriptionStarted, after: Cursor | None, subscriber: ActorRef[SubscriberActor]
    ) -> None:
        super().__init__(subscriber)
        self.snapshot: SessionSnapshot | None = started.snapshot
        self._after = _beginning(started, after)

    def _is_news(self, item: Item) -> bool:
        # One that subscribes while the session is loaded again may be told what its snapshot has already.
        return not isinstance(item, Event | EncodedEvent) or (item.epoch, item.seq) > self._after


class Subscription(_Following[Event]):
    __doc__ = _Following.__doc__

    def __init__(
        self, started: SubscriptionStarted, after: Cursor | None, subscriber: ActorRef[SubscriberActor]
    ) -> None:
        super().__init__(started, after, subscriber)
        self._items.extend(started.missed)


class EncodedSubscription(_Following[EncodedEvent]):
    """As `Subscription`, with each event as JSON that was made once for all who listen."""

    def __init__(
        self, started: SubscriptionStarted, after: Cursor | None, subscriber: ActorRef[SubscriberActor]
    ) -> None:
        super().__init__(started, after, subscriber)
        self._items.extend(
            EncodedEvent(event.epoch, event.seq, _encoder.encode(event)) for event in started.missed
        )


def _beginning(started: SubscriptionStarted, after: Cursor | None) -> tuple[int, int]:
    if started.snapshot is not None:
        return started.snapshot.epoch, started.snapshot.seq
    if started.missed:
        return started.missed[-1].epoch, started.missed[-1].seq
    assert after is not None, "a subscription begins with a snapshot or after a cursor"
    return after.epoch, after.seq


class GlobalSubscription(_Reading[GlobalEvent]):
    """The events about all sessions, from the one after `seq` on.

    A registry that failed and is back begins anew with number 1, which is `ActorRestarted`.
    """

    def __init__(self, seq: int, subscriber: ActorRef[SubscriberActor]) -> None:
        super().__init__(subscriber)
        self.seq = seq
