"""Small actors for the tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from runtime import TrioActor

__all__ = ["Echo", "Obedient", "Recorder", "run_in_threads"]


class Echo(TrioActor):
    """Answers with the message."""

    def on_receive(self, message: Any) -> Any:
        return message


class Recorder(TrioActor):
    """Notes what it is told, and what happens to it, in a list of the test's."""

    def __init__(self, notes: list[Any]) -> None:
        super().__init__()
        self.notes = notes

    def on_receive(self, message: Any) -> Any:
        self.notes.append(message)


class Obedient(TrioActor):
    """Calls the functions that it is sent, with itself, and answers with what they return."""

    def on_receive(self, message: Callable[[Obedient], Any]) -> Any:
        return message(self)


async def run_in_threads(count: int, function: Callable[[int], object]) -> None:
    """Run `function(0)` to `function(count - 1)`, each in a thread, and wait for all of them."""
    limiter = trio.CapacityLimiter(count)

    def start(number: int) -> Awaitable[object]:
        return trio.to_thread.run_sync(function, number, limiter=limiter)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(start, number)
