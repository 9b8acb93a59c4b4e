"""The life of one server: pure, decides what happens next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

import msgspec

from actors.connections import McpServer
from actors.mcp.naming import Naming
from actors.mcp.protocol import McpHealth, McpState, McpToolInfo
from actors.mcp.remote_tool import Listing

__all__ = [
    "OFFERED_SECONDS",
    "TRANSITIONS",
    "Connect",
    "Effect",
    "Now",
    "Offer",
    "RetryAfter",
    "ServerState",
    "Settled",
    "Withdraw",
    "WithdrawAfter",
    "backoff_seconds",
]

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 60.0
STEADY_SECONDS = 30.0
"""Who was ready for so long begins at the first delay again."""
OFFERED_SECONDS = 60.0
"""So long the tools of a lost server stay offered: most are back before anybody notices."""

TRANSITIONS: dict[McpState, frozenset[McpState]] = {
    McpState.DISCONNECTED: frozenset({McpState.CONNECTING}),
    McpState.CONNECTING: frozenset({McpState.READY, McpState.WAITING, McpState.BROKEN}),
    McpState.READY: frozenset({McpState.WAITING, McpState.BROKEN}),
    McpState.WAITING: frozenset({McpState.CONNECTING}),
    McpState.BROKEN: frozenset(),
}


class Now(msgspec.Struct, frozen=True):
    """The time: of the wall, for people, and of trio's clock, for delays."""

    wall: datetime
    seconds: float


class Connect(msgspec.Struct, frozen=True):
    """Start the program or open the connection; `attempt` tells late reports from current ones."""

    attempt: int


class Offer(msgspec.Struct, frozen=True):
    """Give these tools to models from now on, in place of those given before."""

    listing: Listing


class RetryAfter(msgspec.Struct, frozen=True):
    seconds: float


class WithdrawAfter(msgspec.Struct, frozen=True):
    """Take the tools back if the server is not ready again by then."""

    seconds: float


class Withdraw(msgspec.Struct, frozen=True):
    """Take the tools back now."""


class Settled(msgspec.Struct, frozen=True):
    """The first attempt is over: tell those who wait for it."""


Effect: TypeAlias = Connect | Offer | RetryAfter | WithdrawAfter | Withdraw | Settled


def backoff_seconds(failures: int, chance: float) -> float:
    """The delay after so many failures in a row: doubled each time, and up to a half longer by chance.

    Without that the clients of a server that comes back would all arrive at once.
    """
    delay = FIRST_DELAY_SECONDS * 2.0 ** min(failures - 1, 30)
    return min(delay, LONGEST_DELAY_SECONDS) * (1.0 + 0.5 * chance)


class ServerState:
    """What is known of one server. `chance` gives numbers from 0 to 1.

    Each `decide_` changes the state and returns what is to be done. Reports of an attempt that is not the
    current one change nothing.
    """

    def __init__(self, server: McpServer, now: Now, chance: Callable[[], float]) -> None:
        self.server = server
        self.state = McpState.DISCONNECTED
        self.attempt = 0
        self._chance = chance
        self._since = now
        self._settled = False
        self._failures_in_a_row = 0
        self._last_error = ""
        self._retry_at = 0.0
        self._tools: tuple[McpToolInfo, ...] = ()
        self._offered = False
        self._remarks: tuple[str, ...] = ()
        self._calls = 0
        self._failures = 0

    @property
    def settled(self) -> bool:
        """Whether the first attempt is over."""
        return self._settled

    def is_current(self, attempt: int) -> bool:
        return attempt == self.attempt and self.state in (McpState.CONNECTING, McpState.READY)

    def decide_connect(self, now: Now) -> list[Effect]:
        """At the start, and when the delay is over."""
        self._enter(McpState.CONNECTING, now)
        self.attempt += 1
        return [Connect(self.attempt)]

    def decide_connected(self, attempt: int, listing: Listing, now: Now) -> list[Effect]:
        if not self.is_current(attempt):
            return []
        self._enter(McpState.READY, now)
        return [Offer(listing), *self._settle()]

    def decide_listed(self, attempt: int, listing: Listing) -> list[Effect]:
        """The server has other tools than before."""
        return [Offer(listing)] if self.is_current(attempt) else []

    def decide_lost(self, attempt: int, error: str, now: Now, *, hopeless: bool = False) -> list[Effect]:
        """It could not be reached, or is gone; `hopeless`: trying again cannot help."""
        if not self.is_current(attempt):
            return []
        was_ready = self.state is McpState.READY
        if was_ready and now.seconds - self._since.seconds >= STEADY_SECONDS:
            self._failures_in_a_row = 0
        self._failures_in_a_row += 1
        self._last_error = error
        if hopeless:
            self._enter(McpState.BROKEN, now)
            return [Withdraw(), *self._settle()]
        self._enter(McpState.WAITING, now)
        delay = backoff_seconds(self._failures_in_a_row, self._chance())
        self._retry_at = now.seconds + delay
        withdrawal = [WithdrawAfter(OFFERED_SECONDS)] if was_ready else []
        return [RetryAfter(delay), *withdrawal, *self._settle()]

    def decide_grace_over(self) -> list[Effect]:
        return [] if self.state is McpState.READY else [Withdraw()]

    def offered(self, naming: Naming, remarks: tuple[str, ...]) -> None:
        """These are offered now."""
        self._tools = tuple(
            McpToolInfo(
                name=name, remote_name=tool.name, description=tool.description, read_only=tool.read_only
            )
            for name, tool in naming.tools.items()
        )
        self._remarks = (*remarks, *naming.remarks)
        self._offered = True

    def withdrawn(self) -> None:
        self._offered = False

    def count_call(self, *, failed: bool) -> None:
        self._calls += 1
        self._failures += failed

    def problem(self, seconds: float) -> str:
        """Why no tool of it can be called at this time; "" if they can."""
        if self.state is McpState.READY:
            return ""
        reason = f" (last error: {self._last_error})" if self._last_error else ""
        then = "it is not tried again" if self.state is McpState.BROKEN else "connecting"
        if self.state is McpState.WAITING:
            then = f"tries again in {max(0.0, self._retry_at - seconds):.0f} s"
        return f"The MCP server {self.server.server_id} is not connected{reason}; {then}."

    def health(self, seconds: float) -> McpHealth:
        waits = self.state is McpState.WAITING
        return McpHealth(
            server_id=self.server.server_id,
            name=self.server.name or self.server.server_id,
            state=self.state,
            since=self._since.wall,
            tools=self._tools,
            offered=self._offered,
            last_error=self._last_error,
            retry_in_seconds=max(0.0, self._retry_at - seconds) if waits else None,
            calls=self._calls,
            failures=self._failures,
            remarks=self._remarks,
        )

    def _enter(self, state: McpState, now: Now) -> None:
        assert state in TRANSITIONS[self.state], f"from {self.state} to {state}"
        self.state = state
        self._since = now

    def _settle(self) -> list[Effect]:
        if self._settled:
            return []
        self._settled = True
        return [Settled()]
