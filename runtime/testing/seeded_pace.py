"""The order in which actors run, decided by a seed."""

from __future__ import annotations

import itertools
import random
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from runtime.scheduler import MESSAGES_PER_SLICE, Pace, ReadyQueue

if TYPE_CHECKING:
    from runtime.cell import Cell
    from runtime.scheduler import Scheduler

__all__ = ["SeededPace"]

_TURN_ENDS_WITH = 1 / 8
_BEYOND_EVERY_TURN_SECONDS = 60.0


class SeededPace(Pace):
    """Draws which of the ready actors is next, how long its slice is, and when trio's tasks get their turn.

    It reads no clock. With `open_system(pace=...)` alone it decides about actors; the rest of trio is
    decided in `run_seeded` only. For one system.
    """

    messages_per_check = 1  # a turn may end after any slice

    def __init__(self, seed: int | str) -> None:
        self._random = random.Random(f"pace of {seed}")  # noqa: S311 - reproducible, as it should be
        self._seconds = 0.0
        self._queue: _SeededQueue | None = None

    @property
    def fingerprint(self) -> int:
        """What has been decided so far, in a number: the same in two runs means the same order."""
        return 0 if self._queue is None else self._queue.fingerprint

    def ready_queue(self, scheduler: Scheduler) -> ReadyQueue:
        assert self._queue is None, "a SeededPace is for one system"
        self._queue = _SeededQueue(scheduler, self._random)
        return self._queue

    def tie_breaks(self) -> Iterator[int]:
        draw = self._random.getrandbits
        return (draw(32) << 64 | number for number in itertools.count())

    def clock(self) -> float:  # pyright: ignore[reportIncompatibleMethodOverride] - called as pace.clock()
        self._seconds += _BEYOND_EVERY_TURN_SECONDS if self._random.random() < _TURN_ENDS_WITH else 0.0
        return self._seconds


class _SeededQueue:
    def __init__(self, scheduler: Scheduler, chance: random.Random) -> None:
        self._scheduler = scheduler
        self._draw = chance.random
        self._cells: list[Cell] = []
        self.fingerprint = 0

    def __len__(self) -> int:
        return len(self._cells)

    def append(self, cell: Cell, /) -> None:
        self._cells.append(cell)

    def popleft(self) -> Cell:
        cells = self._cells
        index = int(self._draw() * len(cells))
        cells[index], cells[-1] = cells[-1], cells[index]
        cell = cells.pop()
        # As often one message as many: what can come in between is the point.
        messages = 1 if self._draw() < 0.5 else 1 + int(self._draw() * MESSAGES_PER_SLICE)
        self._scheduler.messages_per_slice = messages
        decided = f"{len(cells)} {index} {messages} {cell.actor_class.__name__}"
        self.fingerprint = zlib.crc32(decided.encode(), self.fingerprint)
        return cell
