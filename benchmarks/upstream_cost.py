"""What does one streamed event cost the simulated endpoint?

The endpoint must be cheaper than what it is meant to load: reading an event through httpx costs about 55
microseconds, so an endpoint that costs more than a fraction of it would be the bottleneck.

Measured: user and system time of the endpoint's process, as it reports it, over the events that it sent,
with all streams running at once. Start-up is left out, requests are not: an event bears its share of them.
Beside it, in the same run, the floor: a process that does nothing but `send` as many bytes to as many
sockets at the same rate, in the same ticks, read by the same client.

Bias, in the endpoint's favour: the client never parses, and takes what there is with one `recv`. Against
it: the client is idle most of the time, so that nearly every event pays for waking it, and on loopback the
sender's system call also does the receiver's half of TCP. Endpoint and client are pinned to different cores
where there are two; what else runs on the machine shows in every figure.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import select
import socket
import subprocess
import sys
import time
import urllib.request

import msgspec
import trio

from actors.upstream.pacer import TICK_SECONDS
from actors.upstream.process import UpstreamProcess, open_upstream_process
from actors.upstream.settings import UpstreamSettings
from actors.upstream.traffic import UpstreamStatistics

TARGET_MICROSECONDS = 15.0
STREAMS = (100, 500, 2_000)
EVENTS_PER_SECOND = 20.0
_FLOOR_SECONDS = 1.5
_GRACE_SECONDS = 20.0
_CORES = sorted(os.sched_getaffinity(0))


class Row(msgspec.Struct, frozen=True):
    """One measurement. Costs are CPU microseconds per event, times are wall seconds."""

    streams: int
    events: int
    endpoint_us: float
    floor_us: float
    ratio: float
    client_us: float
    wall_seconds: float
    ideal_seconds: float


async def measure(streams: int, seconds: float) -> Row:
    """Run `streams` streams of `seconds` each, all at once."""
    tokens = round(seconds * EVENTS_PER_SECOND)
    settings = UpstreamSettings(
        ttft_seconds=0.5, tokens_per_second=EVENTS_PER_SECOND, tokens=(tokens, tokens), jitter=0.5
    )
    async with open_upstream_process(settings) as upstream:
        _pin(upstream.pid, 0)
        _pin(os.getpid(), 1)
        return await trio.to_thread.run_sync(_load, upstream, streams, settings)


def _load(upstream: UpstreamProcess, streams: int, settings: UpstreamSettings) -> Row:
    before = _statistics(upstream)
    client_before = time.thread_time()
    began = time.perf_counter()
    received_bytes = _read_all(upstream.port, streams, deadline=began + _GRACE_SECONDS + _ideal(settings))
    wall_seconds = time.perf_counter() - began
    client_seconds = time.thread_time() - client_before
    after = _statistics(upstream)

    events = after.events - before.events
    expected = streams * (settings.tokens[0] + 2)
    if events != expected:
        raise SystemExit(f"{events} events came, {expected} were due: the measurement is void")
    endpoint_us = (after.cpu_seconds - before.cpu_seconds) / events * 1e6
    floor_us = _floor_us(streams, received_bytes // events)
    return Row(
        streams=streams,
        events=events,
        endpoint_us=endpoint_us,
        floor_us=floor_us,
        ratio=endpoint_us / floor_us,
        client_us=client_seconds / events * 1e6,
        wall_seconds=wall_seconds,
        ideal_seconds=_ideal(settings),
    )


def _read_all(port: int, streams: int, deadline: float) -> int:
    """Ask for `streams` answers and read them to their ends; the bytes received."""
    poll = select.epoll()
    socks: dict[int, socket.socket] = {}
    for number in range(streams):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(_request(number))
        sock.setblocking(False)
        socks[sock.fileno()] = sock
        poll.register(sock, select.EPOLLIN)
    received = 0
    while socks:
        if time.perf_counter() > deadline:
            raise SystemExit(f"{len(socks)} of {streams} streams did not end in time")
        for number, _ in poll.poll(1.0):
            data = socks[number].recv(65_536)
            received += len(data)
            if not data:
                poll.unregister(number)
                socks.pop(number).close()
    poll.close()
    return received


def _request(number: int) -> bytes:
    body = msgspec.json.encode(
        {
            "model": "greenroom-sim",
            "stream": True,
            "messages": [{"role": "user", "content": f"question {number}"}],
        }
    )
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )


def _floor_us(streams: int, event_bytes: int) -> float:
    """CPU microseconds per event of a process that only sends, measured by itself."""
    command = [sys.executable, __file__, "--floor", str(streams), str(event_bytes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as sender:
        assert sender.stdout is not None
        _pin(sender.pid, 0)
        port = int(sender.stdout.readline())
        _read_all(port, streams, deadline=time.perf_counter() + _FLOOR_SECONDS + _GRACE_SECONDS)
        return float(sender.stdout.readline())


def _send_floor(streams: int, event_bytes: int) -> None:
    """The sender of the floor: prints its port, and after the last event its cost."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listener.getsockname()[1], flush=True)
    socks: list[socket.socket] = []
    for _ in range(streams):
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        socks.append(sock)
    data = b"x" * event_bytes
    slots = round(_FLOOR_SECONDS / TICK_SECONDS)
    per_slot = streams * EVENTS_PER_SECOND * TICK_SECONDS
    sent = 0
    spent, began = time.process_time(), time.perf_counter()
    for slot in range(slots):
        time.sleep(max(0.0, began + slot * TICK_SECONDS - time.perf_counter()))
        while sent < (slot + 1) * per_slot:
            socks[sent % streams].send(data)
            sent += 1
    spent = time.process_time() - spent
    print(spent / sent * 1e6, flush=True)
    for sock in socks:
        # The requests are unread, and closing would reset what the client has not read yet.
        sock.shutdown(socket.SHUT_WR)
    for sock in socks:
        while sock.recv(65_536):
            pass
        sock.close()


def _statistics(upstream: UpstreamProcess) -> UpstreamStatistics:
    address = upstream.base_url.removesuffix("/v1") + "/statistics"
    with urllib.request.urlopen(address, timeout=10) as reply:  # noqa: S310 - our own loopback address
        return msgspec.json.decode(reply.read(), type=UpstreamStatistics)


def _ideal(settings: UpstreamSettings) -> float:
    return settings.pace.total_seconds(settings.tokens[0] + 1)


def _pin(pid: int, core: int) -> None:
    if len(_CORES) > 1:
        os.sched_setaffinity(pid, {_CORES[core]})


def _report(rows: list[Row]) -> None:
    print(f"Python {platform.python_version()}, trio {trio.__version__}, {platform.platform()}", end="")
    print(f", {len(_CORES)} cores; {EVENTS_PER_SECOND:g} events/s a stream\n")
    print(f"{'streams':>8}{'events':>9}{'endpoint':>10}{'floor':>8}{'ratio':>7}", end="")
    print(f"{'client':>8}{'wall s':>8}{'ideal s':>9}")
    for row in rows:
        print(f"{row.streams:>8,}{row.events:>9,}{row.endpoint_us:>10.1f}{row.floor_us:>8.1f}", end="")
        print(f"{row.ratio:>7.2f}{row.client_us:>8.1f}{row.wall_seconds:>8.2f}{row.ideal_seconds:>9.2f}")
    print("\nendpoint, floor and client in CPU microseconds per event; ", end="")
    print(f"wanted: at most {TARGET_MICROSECONDS:g} for the endpoint, from 500 streams up")


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="500 streams only, in under ten seconds")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--floor", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if options.floor:
        _send_floor(*options.floor)
        return
    if options.quick:
        rows = [trio.run(measure, 500, 4.0)]
    else:
        rows = [trio.run(measure, streams, 10.0) for streams in STREAMS]
    if options.json:
        print(msgspec.json.encode(rows).decode())
    else:
        _report(rows)


if __name__ == "__main__":
    main()
