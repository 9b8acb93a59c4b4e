"""Counts changes of a catalog."""

from __future__ import annotations

import trio
from trio.testing import wait_all_tasks_blocked

__all__ = ["Changes"]

_LIMIT_SECONDS = 20.0
"""Where a test gives up."""


class Changes:
    """How often it was said that something has changed, and what."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self._waiting = trio.lowlevel.ParkingLot()

    @property
    def count(self) -> int:
        return len(self.said)

    def __call__(self, change: object = None) -> None:
        self.said.append(change)
        self._waiting.unpark_all()

    async def reached(self, count: int) -> int:
        """The count, once it is so large and nothing is under way that could make it larger."""
        with trio.fail_after(_LIMIT_SECONDS):
            while len(self.said) < count:
                await self._waiting.park()
        await wait_all_tasks_blocked(0.01)
        return len(self.said)
