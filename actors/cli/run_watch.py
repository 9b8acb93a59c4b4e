"""Tells while a run goes on when it waits for a provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import trio

from actors.governor import CircuitStatus, ConnectionStatus
from actors.printable import one_line

__all__ = ["delay_line", "watch_connections"]

_LOOK_SECONDS = 0.5
_SILENCE_SECONDS = 10.0
"""So often a line about one connection, at most."""


async def watch_connections(
    status: Callable[[], Awaitable[Iterable[ConnectionStatus]]], warn: Callable[[str], None]
) -> None:
    """Look again and again, until cancelled, and warn of connections that let no calls through."""
    told: dict[str, float] = {}
    while True:
        await trio.sleep(_LOOK_SECONDS)
        for connection in await status():
            line = delay_line(connection)
            last = told.get(connection.connection)
            if line and (last is None or trio.current_time() - last >= _SILENCE_SECONDS):
                told[connection.connection] = trio.current_time()
                warn(line)


def delay_line(status: ConnectionStatus) -> str:
    """Why no calls go to a connection now, and for how long; "" if they do."""
    name = one_line(status.connection)
    if status.circuit is CircuitStatus.OPEN:
        why = "" if status.last_error is None else f" ({one_line(status.last_error.message)})"
        return f"{name} is down{why}: it is tried again in {_seconds(status.open_seconds)}"
    if status.cooling_seconds > 0:
        waiting = f"{status.waiting:,} call{'' if status.waiting == 1 else 's'}"
        return f"{name} is rate limited: next try in {_seconds(status.cooling_seconds)}, {waiting} waiting"
    return ""


def _seconds(seconds: float) -> str:
    return f"{max(1, round(seconds))} s"
