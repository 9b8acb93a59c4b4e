"""Who may run now: the run slots and the queue for them. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.records import PoolStatus
from actors.registry.protocol import RequestSlot
from actors.session.protocol import AdmissionReport, SlotGranted, SlotNotice, SlotQueued, SlotRefused

__all__ = ["SlotPool"]

GONE_KEPT = 16
"""So many returned places may stand in the heap before it is rebuilt, and as many again as turns wait."""


class _Waiting:
    __slots__ = ("first", "gone", "number", "priority", "session_id", "task_id")

    def __init__(self, asked: RequestSlot, number: int) -> None:
        self.session_id = asked.session_id
        self.task_id = asked.task_id
        self.first = asked.first
        self.priority = asked.priority
        self.number = number
        self.gone = False

    def __lt__(self, other: _Waiting) -> bool:
        return (not self.first, -self.priority, self.number) < (
            not other.first,
            -other.priority,
            other.number,
        )


class SlotPool:
    """Run slots and the queue for them: larger priority first, in order of arrival inside one.

    A large priority may starve a small one for as long as there is more of it. A session has at most one
    task here: running, queued, or waiting for a person without a slot. Every method that may free a slot
    returns the grants that follow from it, as (session id, notice). A slot is taken once and returned once:
    what is not there cannot be returned. No step scans all sessions; to return a place costs O(1) on
    average.
    """

    def __init__(self, *, max_concurrent: int, max_queue_size: int) -> None:
        _check_at_least(1, "max_concurrent", max_concurrent)
        _check_at_least(0, "max_queue_size", max_queue_size)
        self._max_concurrent = max_concurrent
        self._max_queue_size = max_queue_size
        self._running: dict[str, str] = {}
        self._queued: dict[str, _Waiting] = {}
        # All that are queued, and some that do not want to be any more: taking one out costs O(n).
        self._heap: list[_Waiting] = []
        self._with_person: dict[str, str] = {}
        self._last_number = 0

    def holds(self, session_id: str) -> bool:
        """Whether the session has a slot or a place in the queue."""
        return session_id in self._running or session_id in self._queued

    def request(self, asked: RequestSlot) -> SlotNotice:
        """Take a slot, a place in the queue, or, when both are full, nothing.

        Asked again for what it has, it says so again.
        """
        session_id, task_id = asked.session_id, asked.task_id
        if self._running.get(session_id) == task_id:
            return SlotGranted(task_id)
        queued = self._queued.get(session_id)
        if queued is not None and queued.task_id == task_id:
            if asked.first and not queued.first:
                queued.gone = True
                self._enqueue(_Waiting(asked, queued.number))
            return SlotQueued(task_id, queued.number)
        assert not self.holds(session_id), "a session has one unfinished turn"
        if len(self._running) < self._max_concurrent and not self._queued:
            self._with_person.pop(session_id, None)
            self._running[session_id] = task_id
            return SlotGranted(task_id)
        if asked.admitted or len(self._queued) < self._max_queue_size:
            self._with_person.pop(session_id, None)
            self._last_number += 1
            self._enqueue(_Waiting(asked, self._last_number))
            return SlotQueued(task_id, self._last_number)
        message = (
            f"all {self._max_concurrent} run slots are taken and {len(self._queued)} turns wait already, "
            f"of {self._max_queue_size} that may: ask again when one has ended"
        )
        return SlotRefused(task_id, ErrorInfo(ErrorCode.QUEUE_FULL, message))

    def give_back(self, session_id: str, task_id: str | None = None) -> list[tuple[str, SlotGranted]]:
        """Free what a session has, be it a slot or a place; with `task_id`, only if it is that task's."""
        running = self._running.get(session_id)
        if running is not None and task_id in (None, running):
            del self._running[session_id]
        queued = self._queued.get(session_id)
        if queued is not None and task_id in (None, queued.task_id):
            del self._queued[session_id]
            queued.gone = True
            self._compact()
        if task_id in (None, self._with_person.get(session_id)):
            self._with_person.pop(session_id, None)
        return self._grant()

    def wait_for_person(self, session_id: str, task_id: str) -> None:
        """Count the turn as one that waits for a person, unless it has asked for a slot again."""
        if not self.holds(session_id):
            self._with_person[session_id] = task_id

    def set_max_concurrent(self, value: int) -> list[tuple[str, SlotGranted]]:
        """Change the limit. A lower one is reached as running turns end.

        Raises:
            EngineError: `INVALID_ARGUMENT` for a limit below 1.
        """
        _check_at_least(1, "max_concurrent", value)
        self._max_concurrent = value
        return self._grant()

    def restore(self, reports: Iterable[AdmissionReport]) -> None:
        """Fill an empty pool with what the sessions say that they have; `start` goes on from there."""
        assert not self._running, "only an empty pool is restored"
        assert not self._queued, "only an empty pool is restored"
        for report in reports:
            session_id, task_id = report.runtime.session_id, report.task_id
            if task_id is None:
                continue
            if report.has_slot:
                self._running[session_id] = task_id
            elif report.number > 0:
                self._last_number = max(self._last_number, report.number)
                asked = RequestSlot(session_id, task_id, report.priority, admitted=True)
                self._enqueue(_Waiting(asked, report.number))

    def start(self) -> list[tuple[str, SlotGranted]]:
        """Grant the slots that were free when the pool was restored."""
        return self._grant()

    def status(self, *, loaded: int) -> PoolStatus:
        return PoolStatus(
            running=len(self._running),
            queued=len(self._queued),
            waiting=len(self._with_person),
            loaded=loaded,
            max_concurrent=self._max_concurrent,
            available=max(0, self._max_concurrent - len(self._running)),
            queue_available=max(0, self._max_queue_size - len(self._queued)),
        )

    def _enqueue(self, queued: _Waiting) -> None:
        self._queued[queued.session_id] = queued
        heapq.heappush(self._heap, queued)

    def _grant(self) -> list[tuple[str, SlotGranted]]:
        grants: list[tuple[str, SlotGranted]] = []
        while self._queued and len(self._running) < self._max_concurrent:
            queued = heapq.heappop(self._heap)
            if queued.gone:
                continue
            del self._queued[queued.session_id]
            self._running[queued.session_id] = queued.task_id
            grants.append((queued.session_id, SlotGranted(queued.task_id)))
        return grants

    def _compact(self) -> None:
        if len(self._heap) > 2 * len(self._queued) + GONE_KEPT:
            self._heap = list(self._queued.values())
            heapq.heapify(self._heap)


def _check_at_least(least: int, name: str, value: int) -> None:
    if value < least:
        raise EngineError(ErrorCode.INVALID_ARGUMENT, f"{name} must be at least {least}, not {value}")
