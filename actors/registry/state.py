"""Who may run now: the run slots, the waiting queue, and which sessions are loaded. Pure."""

from __future__ import annotations

import heapq

from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.registry.protocol import PoolStatus
from actors.session.protocol import SlotGranted, SlotNotice, SlotQueued, SlotRefused

__all__ = ["SlotPool"]


class _Waiting:
    __slots__ = ("cancelled", "number", "priority", "session_id", "task_id")

    def __init__(self, session_id: str, task_id: str, priority: int, number: int) -> None:
        self.session_id = session_id
        self.task_id = task_id
        self.priority = priority
        self.number = number
        self.cancelled = False

    def __lt__(self, other: _Waiting) -> bool:
        return (-self.priority, self.number) < (-other.priority, other.number)


class SlotPool:
    """Run slots and the queue for them: larger priority first, in order of arrival inside one.

    A session has at most one task here, running or waiting. Every method that may free a slot returns the
    grants that follow from it, as (session id, notice). A slot is taken once and returned once: what is not
    there cannot be returned. No step scans all sessions.
    """

    def __init__(self, *, max_concurrent: int, max_queue_size: int) -> None:
        _check_limit(max_concurrent)
        self._max_concurrent = max_concurrent
        self._max_queue_size = max_queue_size
        self._running: dict[str, str] = {}
        self._waiting: dict[str, _Waiting] = {}
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
        if self._running.get(session_id) == task_id or task_id is None:
            self._running.pop(session_id, None)
        waiting = self._waiting.get(session_id)
        if waiting is not None and task_id in (None, waiting.task_id):
            waiting.cancelled = True
            del self._waiting[session_id]
        return self._grant()

    def set_max_concurrent(self, value: int) -> list[tuple[str, SlotGranted]]:
        """Change the limit. A lower one is reached as running turns end.

        Raises:
            EngineError: `INVALID_ARGUMENT` for a limit below 1.
        """
        _check_limit(value)
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
        while self._heap and (self._heap[0].cancelled or len(self._running) < self._max_concurrent):
            waiting = heapq.heappop(self._heap)
            if waiting.cancelled:
                continue
            del self._waiting[waiting.session_id]
            self._running[waiting.session_id] = waiting.task_id
            grants.append((waiting.session_id, SlotGranted(waiting.task_id)))
        return grants


def _check_limit(value: int) -> None:
    if value < 1:
        raise EngineError(ErrorCode.INVALID_ARGUMENT, f"max_concurrent must be at least 1, not {value}")
