"""The numbered events of one session: who listens, and what a reconnect may still have."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from actors.events import Event, EventBody
from actors.session.effects import Now
from actors.session.protocol import Cursor, Handover

__all__ = ["EVENTS_KEPT", "EventLog"]

EVENTS_KEPT = 500
"""So many of the latest events serve reconnects, from the first subscription on."""


class EventLog:
    """Numbers events from 1 without a gap, over all loadings of the session.

    The present line of events began with the loading that found no handover. A cursor of an older epoch is
    as good as one of this line only if it stands just there, and the session was at rest: after a crash the
    store may know less than a subscriber has seen, or more.
    """

    __slots__ = ("_kept", "_line_epoch", "_line_seq", "epoch", "seq", "session_id", "subscribers")

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        self.epoch = 0
        self.seq = 0
        self.subscribers: dict[str, None] = {}
        self._kept: deque[Event] | None = None
        self._line_epoch = 0
        self._line_seq: int | None = None

    def begin(
        self,
        epoch: int,
        seq: int,
        subscribers: Iterable[str],
        handover: Handover | None,
        *,
        at_rest: bool = False,
    ) -> None:
        """Go on from the last incarnation, or without its handover from what was durable.

        `at_rest` says that nothing is durable of which no event up to `seq` has told.
        """
        self.epoch = epoch
        self.subscribers = dict.fromkeys(subscribers)
        if handover is not None and handover.seq < seq:
            handover = None  # the store has been told more since then, by somebody else
        if handover is None:
            self.seq = seq
            self._line_seq = seq if at_rest else None
            self._line_epoch = epoch
        else:
            self.seq = handover.seq
            self._line_epoch = handover.epoch
        events = () if handover is None else handover.events
        if events or self.subscribers:
            self._kept = deque(events, maxlen=EVENTS_KEPT)

    def hand_over(self) -> Handover:
        return Handover(self._line_epoch, self.seq, tuple(self._kept or ()))

    def publish(self, body: EventBody, task_id: str | None, now: Now) -> Event | None:
        """Number an event; None when it need not exist, since nobody listens."""
        self.seq += 1
        if self._kept is None:
            return None
        event = Event(
            session_id=self.session_id,
            epoch=self.epoch,
            seq=self.seq,
            task_id=task_id,
            at=now.at,
            body=body,
        )
        self._kept.append(event)
        return event

    def subscribe(self, subscriber: str, cursor: Cursor | None) -> tuple[Event, ...] | None:
        """Add a subscriber; the events since `cursor`, or None when they are not all there any more."""
        if self._kept is None:
            self._kept = deque(maxlen=EVENTS_KEPT)
        self.subscribers[subscriber] = None
        return None if cursor is None else self._since(cursor, self._kept)

    def _since(self, cursor: Cursor, kept: deque[Event]) -> tuple[Event, ...] | None:
        same_line = cursor.epoch >= self._line_epoch or cursor.seq == self._line_seq
        missing = self.seq - cursor.seq
        if not same_line or cursor.epoch > self.epoch or not 0 <= missing <= len(kept):
            return None
        return tuple(kept)[len(kept) - missing :]
