"""Who may run now: the run slots and the queue for them. Pure."""

from __future__ import annotations

import heapq

from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.registry.protocol import PoolStatus
from actors.session.protocol import SlotGranted, SlotNotice, SlotQueued, SlotRefused

__all__ = ["SlotPool"]

GONE_KEPT = 16
"""So many returned places may stand in the heap before it is rebuilt, and as many again as turns wait."""


class _Waiting:
    __slots__ = ("gone", "number", "priority", "session_id", "task_id")

    def __init__(self, session_id: str, task_id: str, priority: int, number: int) -> None:
        self.session_id = session_id
        self.task_id = task_id
        self.priority = priority
        self.number = number
        self.gone = False

    def __lt__(self, other: _Waiting) -> bool:
        return (-self.priority, self.number) < (-other.priority, other.number)


class SlotPool:
    """Run slots and the queue for them: larger priority first, in order of arrival inside one.

    A session has at most one task here, running or waiting. Every method that may free a slot returns the
    grants that follow from it, as (session id, notice). A slot is taken once and returned once: what is not
    there cannot be returned. No step scans all sessions, a returned place costs O(1) on average.
    """

    def __init__(self, *, max_concurrent: int, max_queue_size: int) -> None:
        _check_at_least(1, "max_concurrent", max_concurrent)
        _check_at_least(0, "max_queue_size", max_queue_size)
        self._max_concurrent = max_concurrent
        self._max_queue_size = max_queue_size
        self._running: dict[str, str] = {}
        self._waiting: dict[str, _Waiting] = {}
        # All that wait, and some of those that did not want to any more: taking one out costs O(n).
        self._heap: list[_Waiting] = []
        self._last_number = 0

    def request(self, session_id: str, task_id: str, priority: int) -> SlotNotice:
        """Take a slot, a place in the queue, or, when both are full, nothing."""
        self._last_number += 1
        if len(self._running) < self._max_concurrent and not self._waiting:
            self._running[session_id] = task_id
            return SlotGranted(task_id)
        if len(self._waiting) < self._max_queue_size:
            waiting = _Waiting(session_id, task_id, priority, self._last_number)
            self._waiting[session_id] = waiting
            heapq.heappush(self._heap, waiting)
            return SlotQueued(task_id, waiting.number)
        message = (
            f"all {self._max_concurrent} run slots are taken and {len(self._waiting)} turns wait already"
        )
        return SlotRefused(task_id, ErrorInfo(ErrorCode.QUEUE_FULL, message))

    def give_back(self, session_id: str, task_id: str | None = None) -> list[tuple[str, SlotGranted]]:
        """Free what a session has, be it a slot or a place; with `task_id`, only if it is that task's."""
        running = self._running.get(session_id)
        if running is not None and task_id in (None, running):
            del self._running[session_id]
        waiting = self._waiting.get(session_id)
        if waiting is not None and task_id in (None, waiting.task_id):
            del self._waiting[session_id]
            waiting.gone = True
            self._compact()
        return self._grant()

    def set_max_concurrent(self, value: int) -> list[tuple[str, SlotGranted]]:
        """Change the limit. A lower one is reached as running turns end.

        Raises:
            EngineError: `INVALID_ARGUMENT` for a limit below 1.
        """
        _check_at_least(1, "max_concurrent", value)
        self._max_concurrent = value
        return self._grant()

    def status(self, *, loaded: int) -> PoolStatus:
        return PoolStatus(
            running=len(self._running),
            queued=len(self._waiting),
            loaded=loaded,
            max_concurrent=self._max_concurrent,
            available=max(0, self._max_concurrent - len(self._running)),
            queue_available=max(0, self._max_queue_size - len(self._waiting)),
        )

    def _grant(self) -> list[tuple[str, SlotGranted]]:
        grants: list[tuple[str, SlotGranted]] = []
        while self._waiting and len(self._running) < self._max_concurrent:
            waiting = heapq.heappop(self._heap)
            if waiting.gone:
                continue
            del self._waiting[waiting.session_id]
            self._running[waiting.session_id] = waiting.task_id
            grants.append((waiting.session_id, SlotGranted(waiting.task_id)))
        return grants

    def _compact(self) -> None:
        if len(self._heap) > 2 * len(self._waiting) + GONE_KEPT:
            self._heap = list(self._waiting.values())
            heapq.heapify(self._heap)


def _check_at_least(least: int, name: str, value: int) -> None:
    if value < least:
        raise EngineError(ErrorCode.INVALID_ARGUMENT, f"{name} must be at least {least}, not {value}")
