"""What an endpoint has done so far."""

from __future__ import annotations

import time
from collections import Counter

import msgspec

from actors.upstream.faults import Fault

__all__ = ["Traffic", "UpstreamStatistics"]


class UpstreamStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot, as `GET /statistics` serves it.

    A stream is a paced answer. `streams_abandoned` counts those whose client went away before the end.
    `events` counts server-sent events other than `[DONE]`, and `bytes` all bytes of paced answers, at the
    moment when they are handed to the socket. `cpu_seconds` is user and system time of the whole process.
    """

    requests: int
    connections: int
    streams_running: int
    streams_peak: int
    streams_completed: int
    streams_abandoned: int
    events: int
    bytes: int
    faults: dict[Fault, int]
    cpu_seconds: float


class Traffic:
    """The counters behind the snapshot. Each has one writer; all live on one thread."""

    __slots__ = (
        "bytes",
        "connections",
        "events",
        "faults",
        "requests",
        "streams_abandoned",
        "streams_completed",
        "streams_peak",
        "streams_running",
    )

    def __init__(self) -> None:
        self.requests = 0
        self.connections = 0
        self.streams_running = 0
        self.streams_peak = 0
        self.streams_completed = 0
        self.streams_abandoned = 0
        self.events = 0
        self.bytes = 0
        self.faults: Counter[Fault] = Counter()

    def statistics(self) -> UpstreamStatistics:
        return UpstreamStatistics(
            requests=self.requests,
            connections=self.connections,
            streams_running=self.streams_running,
            streams_peak=self.streams_peak,
            streams_completed=self.streams_completed,
            streams_abandoned=self.streams_abandoned,
            events=self.events,
            bytes=self.bytes,
            faults=dict(self.faults),
            cpu_seconds=time.process_time(),
        )
