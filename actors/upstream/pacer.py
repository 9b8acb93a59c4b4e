"""One task that sends what is due, for all streams.

A task per stream that sleeps and sends would cost a wake-up per event, several times what the event
itself costs. Streams wait here in a timing wheel instead (Varghese and Lauck, 1987): a slot per tick holds
all streams that are due by then, one wake-up serves it, and a stream leaves it in constant time.
"""

from __future__ import annotations

import heapq
import math
import socket
from collections.abc import Iterator

import trio

from actors.upstream.beat import Beat
from actors.upstream.traffic import Traffic

__all__ = ["TICK_SECONDS", "PacedStream", "Pacer"]

TICK_SECONDS = 0.004
"""How late a beat may come by design.

Shorter ticks cost more wake-ups for the same events, longer ones send them in bursts that a client would
have to queue.
"""

_BATCH_BYTES = 65_536
_SENDS_PER_CHECKPOINT = 64


class PacedStream:
    """An answer on its way to one socket.

    `over` is cancelled when nothing more will be sent: the answer is complete (`completed`) or the
    connection is broken. The socket is non-blocking and stays its owner's to close.
    """

    __slots__ = ("beats", "completed", "due", "events", "over", "sock", "tick", "wire")

    def __init__(self, sock: socket.socket, beats: Iterator[Beat]) -> None:
        self.sock = sock
        self.over = trio.CancelScope()
        self.completed = False
        # None once the stream has left the pacer; until then it yields what follows the beat that waits:
        self.beats: Iterator[Beat] | None = beats
        self.due = 0.0
        self.events = 0
        self.wire = b""
        # The slot that holds the stream; meaningless while it is being served or its socket is full.
        self.tick = -1


class Pacer:
    """Sends the beats of many streams on time, never early and, on an idle machine, within two ticks.

    Sends never block: a stream whose socket is full gets a task that waits for it, and holds at most one
    batch (about 64 KiB) meanwhile. Beats that are due together leave in one send, so an endpoint that
    runs late catches up with fewer system calls.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        # A slot is in both or in neither. Dicts serve as ordered sets: who came first is served first.
        self._slots: dict[int, dict[PacedStream, None]] = {}
        self._ticks: list[int] = []
        self._served_tick = -1
        self._nap = trio.CancelScope()

    def add(self, stream: PacedStream) -> None:
        """Begin `stream` now; `stream.over` tells when it ends."""
        assert stream.beats is not None
        first = next(stream.beats, None)
        assert first is not None, "an answer has at least one beat"
        self._traffic.streams_running += 1
        self._traffic.streams_peak = max(self._traffic.streams_peak, self._traffic.streams_running)
        wait, stream.events, stream.wire = first
        stream.due = trio.current_time() + wait
        self._schedule(stream)

    def discard(self, stream: PacedStream) -> None:
        """Forget `stream` at once, if it is still here: its client has gone."""
        if stream.beats is None:
            return
        slot = self._slots.get(stream.tick)
        if slot is not None:
            slot.pop(stream, None)
        self._traffic.streams_abandoned += 1
        self._end(stream)

    async def run(self) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as drains:
            sends = 0
            while True:
                await self._sleep_until_due()
                now = trio.current_time()
                while self._ticks and self._ticks[0] * TICK_SECONDS <= now:
                    self._served_tick = heapq.heappop(self._ticks)
                    for stream in self._slots.pop(self._served_tick):
                        # A checkpoint lets clients of this very slot go away.
                        if stream.beats is not None:
                            self._send_due(stream, now, drains)
                        sends += 1
                        if sends % _SENDS_PER_CHECKPOINT == 0:
                            await trio.lowlevel.checkpoint()

    async def _sleep_until_due(self) -> None:
        deadline = self._ticks[0] * TICK_SECONDS if self._ticks else math.inf
        with trio.CancelScope(deadline=deadline) as self._nap:
            await trio.sleep_forever()

    def _schedule(self, stream: PacedStream) -> None:
        if stream.due == math.inf:
            return
        # Never the tick being served, so that a stream without waits cannot hold the loop.
        tick = stream.tick = max(math.ceil(stream.due / TICK_SECONDS), self._served_tick + 1)
        slot = self._slots.get(tick)
        if slot is None:
            self._slots[tick] = {stream: None}
            heapq.heappush(self._ticks, tick)
            self._nap.deadline = min(self._nap.deadline, tick * TICK_SECONDS)
        else:
            slot[stream] = None

    def _send_due(self, stream: PacedStream, now: float, drains: trio.Nursery) -> None:
        assert stream.beats is not None
        data, events, due = stream.wire, stream.events, stream.due
        batch = [data]
        batch_bytes = len(data)
        ended = True
        for wait, count, wire in stream.beats:
            due += wait
            if due > now or batch_bytes >= _BATCH_BYTES:
                stream.due, stream.events, stream.wire = due, count, wire
                ended = False
                break
            batch.append(wire)
            batch_bytes += len(wire)
            events += count
        if len(batch) > 1:
            data = b"".join(batch)
        self._traffic.events += events
        self._traffic.bytes += batch_bytes
        try:
            sent = stream.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.discard(stream)
            return
        if sent < batch_bytes:
            drains.start_soon(self._drain, stream, data[sent:], ended)
        elif ended:
            self._complete(stream)
        else:
            self._schedule(stream)

    async def _drain(self, stream: PacedStream, rest: bytes, ended: bool) -> None:  # noqa: FBT001 - start_soon
        """Send `rest` as the client takes it, then give the stream its place back."""
        view = memoryview(rest)
        while view:
            try:
                await trio.lowlevel.wait_writable(stream.sock)
                view = view[stream.sock.send(view) :]
            except BlockingIOError:
                continue
            except (OSError, trio.ClosedResourceError):
                self.discard(stream)
                return
        if stream.beats is None:
            return
        if ended:
            self._complete(stream)
        else:
            self._schedule(stream)

    def _complete(self, stream: PacedStream) -> None:
        stream.completed = True
        self._traffic.streams_completed += 1
        self._end(stream)

    def _end(self, stream: PacedStream) -> None:
        self._traffic.streams_running -= 1
        stream.beats = None
        stream.wire = b""
        stream.over.cancel()
