"""Counts what went over the wire, cheaply enough to count every event."""

from __future__ import annotations

import msgspec

__all__ = ["Traffic", "TrafficStatistics"]


class TrafficStatistics(msgspec.Struct, frozen=True):
    """What one pool has carried so far.

    `calls` counts the requests that were begun, `running` those that have not ended, `events` the
    server-sent events and `body_bytes` the decoded bytes of the answers that were received.
    """

    calls: int
    running: int
    events: int
    body_bytes: int


class Traffic(msgspec.Struct):
    """The counters behind `TrafficStatistics`; changed in place by whoever reads an answer."""

    calls: int = 0
    running: int = 0
    events: int = 0
    body_bytes: int = 0

    def statistics(self) -> TrafficStatistics:
        return TrafficStatistics(self.calls, self.running, self.events, self.body_bytes)
