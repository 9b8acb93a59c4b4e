"""Threads for tools, apart from all others: one that hangs starves nobody."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import trio

from actors.errors import EngineError, ErrorCode
from runtime import run_blocking

__all__ = ["ToolThreads", "ToolTimeoutError"]


class ToolTimeoutError(Exception):
    """The time limit of a tool is over; not what a tool raises itself."""


class ToolThreads:
    """At most `limit` threads at a time, and beside them those that were left alone.

    A thread cannot be stopped. One whose call is cancelled, or whose time is up, is left alone: it takes no
    place any more, what it returns is dropped, and it counts as `left` until it ends. Where `most_left` of
    them are, no new one is started. Belongs to trio's thread.
    """

    def __init__(self, limit: int, most_left: int) -> None:
        self._places = trio.CapacityLimiter(limit)
        self._most_left = most_left
        self.left = 0
        self.left_so_far = 0

    async def run(self, function: Callable[[], str], timeout_seconds: float) -> str:
        """Call it in a thread; the time begins when there is a place for it.

        Raises:
            ToolTimeoutError: the time is up.
            EngineError: `QUEUE_FULL` when too many threads were left alone.
        """
        if self.left >= self._most_left:
            raise EngineError(
                ErrorCode.QUEUE_FULL,
                f"The tool was not called: {self.left} threads of earlier calls do not end. Restart the"
                " program, and have such tools run in a process.",
            )
        call = _Call(self, function)
        await self._places.acquire_on_behalf_of(call)
        try:
            with trio.move_on_after(timeout_seconds):
                return await run_blocking(call.run, limiter=call.thread)
            raise ToolTimeoutError
        finally:
            self._places.release_on_behalf_of(call)
            call.leave()


class _Call:
    def __init__(self, threads: ToolThreads, function: Callable[[], str]) -> None:
        self._threads = threads
        self._function = function
        self._trio_token = trio.lowlevel.current_trio_token()
        self._left = False
        self._over = False
        # Given back when the thread has ended, whoever waits for it: so it tells whether there is one.
        self.thread = trio.CapacityLimiter(1)

    def run(self) -> str:
        try:
            return self._function()
        finally:
            with contextlib.suppress(trio.RunFinishedError):
                self._trio_token.run_sync_soon(self._end)

    def leave(self) -> None:
        if self.thread.borrowed_tokens and not self._over:
            self._left = True
            self._threads.left += 1
            self._threads.left_so_far += 1

    def _end(self) -> None:
        self._over = True
        self._threads.left -= self._left
