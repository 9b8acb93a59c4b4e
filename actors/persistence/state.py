"""Which writes are committed when: throttling per session, one batch for many sessions, retries.

Pure: `decide_*` methods change the state and yield what is to be done, all of which must be done.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from actors.errors import ErrorCode, ErrorInfo
from actors.persistence.protocol import PersistenceNotice, Save, Saved, SaveFailed
from actors.records import SessionWrite

__all__ = ["Commit", "Effect", "Notify", "PersistenceState", "Settled", "WakeAfter"]

_RIPE = 0.9
"""A commit takes along who is due within a tenth of the throttle: with many sessions there would be one for
every few of them, and each hands the interpreter's lock to the store's thread and back."""

RETRY_DELAYS_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


class Commit(msgspec.Struct, frozen=True):
    """Commit these writes in one transaction, then report the verdicts."""

    writes: tuple[SessionWrite, ...]


class WakeAfter(msgspec.Struct, frozen=True):
    """Call `decide_woken` when so much time has passed. A newer one replaces it."""

    seconds: float


class Notify(msgspec.Struct, frozen=True):
    """Tell an actor."""

    name: str
    notice: PersistenceNotice


class Settled(msgspec.Struct, frozen=True):
    """Everything that the flush with this number waited for is durable or has failed."""

    number: int


Effect: TypeAlias = Commit | WakeAfter | Notify | Settled


class _Queue:
    """The writes of one session that wait."""

    __slots__ = ("dirty_since", "saves")

    def __init__(self, dirty_since: float) -> None:
        self.dirty_since = dirty_since
        self.saves: list[Save] = []


class _Pause:
    """The writes of one session whose medium fails while that of others works."""

    __slots__ = ("due", "saves")

    def __init__(self, due: float, saves: list[Save]) -> None:
        self.due = due
        self.saves = saves


class PersistenceState:
    """The writes that wait, and the batch that is being committed.

    `_waiting` is in the order in which the sessions became dirty. The throttle is the same for all, so
    that the sessions that are due are always its head: nothing scans all sessions. A session is waiting or
    paused, never both; the heap of pauses may name sessions that are paused no more.
    """

    def __init__(self, *, throttle_seconds: float) -> None:
        self._throttle_seconds = throttle_seconds
        self._waiting: dict[str, _Queue] = {}
        self._urgent: dict[str, None] = {}
        self._in_flight: list[Save] = []
        self._failures_in_a_row = 0
        self._paused: dict[str, _Pause] = {}
        self._pauses: list[tuple[float, str]] = []
        self._failures_of: dict[str, int] = {}
        # What each flush still waits for: the last revision that it covers, by session.
        self._flushes: dict[int, dict[str, int]] = {}

    def decide_save(self, save: Save, now: float) -> Iterator[Effect]:
        session_id = save.write.session_id
        pause = self._paused.get(session_id)
        if pause is not None:
            pause.saves.append(save)
            return
        queue = self._waiting.get(session_id)
        first = not self._waiting
        if queue is None:
            queue = self._waiting[session_id] = _Queue(now)
        queue.saves.append(save)
        if save.immediate:
            self._urgent[session_id] = None
        if self._in_flight or self._failures_in_a_row:
            return  # the end of the batch, or of the pause, looks at everything again
        if save.immediate:
            yield self._commit(now)
        elif first:
            yield from self._go_on(now)

    def decide_flush(self, number: int, now: float) -> Iterator[Effect]:
        """Commit everything soon, and say `Settled` then."""
        covered = {save.write.session_id: save.write.revision for save in self._in_flight}
        for queues in (self._waiting, self._paused):
            covered |= {session_id: queue.saves[-1].write.revision for session_id, queue in queues.items()}
        yield from self._wait_for(number, covered, now)

    def decide_flush_session(self, number: int, session_id: str, now: float) -> Iterator[Effect]:
        """The same for one session."""
        revision = self._last_in_flight(session_id)
        queue = self._waiting.get(session_id) or self._paused.get(session_id)
        if queue is not None:
            revision = queue.saves[-1].write.revision
        yield from self._wait_for(number, {} if revision is None else {session_id: revision}, now)

    def decide_remove(self, number: int, session_id: str, now: float) -> Iterator[Effect]:
        """Drop what waits of a session that is to be deleted; `Settled` when nothing of it is in flight."""
        self._failures_of.pop(session_id, None)
        dropped = self._take_waiting(session_id)
        revision = self._last_in_flight(session_id)
        if dropped:
            yield self._failed(dropped[0], _deleted(session_id))
            yield from self._settle_flushes({session_id: dropped[-1].write.revision}, but_for=revision)
        yield from self._wait_for(number, {} if revision is None else {session_id: revision}, now)

    def _wait_for(self, number: int, covered: dict[str, int], now: float) -> Iterator[Effect]:
        if not covered:
            yield Settled(number)
            return
        self._flushes[number] = covered
        self._urgent.update(
            dict.fromkeys(session_id for session_id in covered if session_id in self._waiting)
        )
        if self._urgent and not self._in_flight and not self._failures_in_a_row:
            yield self._commit(now)

    def decide_woken(self, now: float) -> Iterator[Effect]:
        if self._in_flight:
            return
        if self._failures_in_a_row:
            self._urgent.update(dict.fromkeys(self._waiting))
        if not self._waiting:
            self._failures_in_a_row = 0  # what failed was removed meanwhile
        yield from self._go_on(now)

    def decide_committed(self, verdicts: tuple[ErrorInfo | None, ...], now: float) -> Iterator[Effect]:
        """A verdict that a retry may change pauses its session only; the others are final."""
        self._failures_in_a_row = 0
        batch, self._in_flight = self._in_flight, []
        stored: dict[str, Save] = {}
        refused: dict[str, tuple[ErrorInfo, list[Save]]] = {}
        for save, verdict in zip(batch, verdicts, strict=True):
            session_id = save.write.session_id
            if session_id in refused:  # the first refusal counts
                refused[session_id][1].append(save)
            elif verdict is not None:
                refused[session_id] = (verdict, [save])
            else:
                stored[session_id] = save
        for session_id, save in stored.items():
            self._failures_of.pop(session_id, None)
            yield Notify(save.reply_to, Saved(session_id, save.write.epoch, save.write.revision))
        yield from self._settle_flushes({s: save.write.revision for s, save in stored.items()})
        for session_id, (error, saves) in refused.items():
            if error.retryable and self._pause(session_id, saves, now):
                continue
            self._failures_of.pop(session_id, None)
            if error.retryable:
                saves.extend(self._take_waiting(session_id))  # it builds on what was not stored
            yield self._failed(saves[0], error)
            yield from self._settle_flushes({session_id: saves[-1].write.revision})
        yield from self._go_on(now)

    def _pause(self, session_id: str, saves: list[Save], now: float) -> bool:
        """Try a session's writes again a little later; False if that was done often enough."""
        attempt = self._failures_of.get(session_id, 0)
        if attempt == len(RETRY_DELAYS_SECONDS):
            return False
        self._failures_of[session_id] = attempt + 1
        due = now + RETRY_DELAYS_SECONDS[attempt]
        self._paused[session_id] = _Pause(due, saves + self._take_waiting(session_id))
        heapq.heappush(self._pauses, (due, session_id))
        return True

    def _take_waiting(self, session_id: str) -> list[Save]:
        self._urgent.pop(session_id, None)
        queue = self._waiting.pop(session_id, None) or self._paused.pop(session_id, None)
        return [] if queue is None else queue.saves

    def _last_in_flight(self, session_id: str) -> int | None:
        revisions = [s.write.revision for s in self._in_flight if s.write.session_id == session_id]
        return revisions[-1] if revisions else None

    def decide_commit_failed(self, error: ErrorInfo, now: float) -> Iterator[Effect]:
        """The medium failed and nothing of the batch is stored: try again a little later, then give up."""
        saves, self._in_flight = self._in_flight, []
        attempt = self._failures_in_a_row
        if attempt < len(RETRY_DELAYS_SECONDS):
            self._put_back(saves)
            self._failures_in_a_row = attempt + 1
            yield WakeAfter(RETRY_DELAYS_SECONDS[attempt])
            return
        self._failures_in_a_row = 0
        failed: dict[str, list[Save]] = {}
        for save in saves:
            failed.setdefault(save.write.session_id, []).append(save)
        for session_id, its_saves in failed.items():
            self._failures_of.pop(session_id, None)
            its_saves.extend(self._take_waiting(session_id))  # it builds on what was not stored
            yield self._failed(its_saves[0], error)
        yield from self._settle_flushes({s: saves[-1].write.revision for s, saves in failed.items()})
        yield from self._go_on(now)

    def _failed(self, save: Save, error: ErrorInfo) -> Notify:
        write = save.write
        return Notify(save.reply_to, SaveFailed(write.session_id, write.epoch, write.revision, error))

    def _settle_flushes(self, reached: dict[str, int], *, but_for: int | None = None) -> Iterator[Effect]:
        """These revisions are durable or have failed, `but_for` one that is still in flight."""
        if not self._flushes:
            return
        for number, covered in tuple(self._flushes.items()):
            for session_id in reached.keys() & covered.keys():
                if but_for is not None:
                    covered[session_id] = min(covered[session_id], but_for)
                elif reached[session_id] >= covered[session_id]:
                    del covered[session_id]
            if not covered:
                del self._flushes[number]
                yield Settled(number)

    def take_rest(self) -> tuple[SessionWrite, ...]:
        """Everything that may not be stored yet, for the last commit.

        What is in flight is a part of it: if it was stored after all, it is a repeat and changes nothing.
        """
        queues = [*self._waiting.values(), *self._paused.values()]
        waiting = [save for queue in queues for save in queue.saves]
        rest = tuple(save.write for save in [*self._in_flight, *waiting])
        self._waiting.clear()
        self._paused.clear()
        self._urgent.clear()
        return rest

    def _put_back(self, saves: list[Save]) -> None:
        """What was not stored goes before what came meanwhile, per session and as the oldest of all."""
        older: dict[str, _Queue] = {}
        for save in saves:
            session_id = save.write.session_id
            if session_id not in older:
                older[session_id] = _Queue(-math.inf)
            older[session_id].saves.append(save)
        for session_id, queue in self._waiting.items():
            if session_id in older:
                older[session_id].saves.extend(queue.saves)
            else:
                older[session_id] = queue
        self._waiting = older

    def _go_on(self, now: float) -> Iterator[Effect]:
        self._resume(now)
        wake_at = self._pauses[0][0] if self._pauses else math.inf
        if self._waiting:
            oldest = next(iter(self._waiting.values()))
            wake_at = min(wake_at, oldest.dirty_since + self._throttle_seconds)
            if self._urgent or oldest.dirty_since + self._throttle_seconds <= now:
                yield self._commit(now)
                return
        if wake_at < math.inf:
            yield WakeAfter(wake_at - now)

    def _resume(self, now: float) -> None:
        """Let the sessions go on whose pause is over; they are the youngest of those that wait."""
        while self._pauses:
            due, session_id = self._pauses[0]
            pause = self._paused.get(session_id)
            is_current = pause is not None and pause.due == due
            if is_current and due > now:
                return
            heapq.heappop(self._pauses)
            if pause is not None and is_current:
                del self._paused[session_id]
                queue = self._waiting[session_id] = _Queue(now)
                queue.saves = pause.saves
                self._urgent[session_id] = None

    def _commit(self, now: float) -> Commit:
        """Take what is urgent and what is due. A session's writes stay together and in order."""
        due: list[str] = []
        for session_id, queue in self._waiting.items():
            if queue.dirty_since + _RIPE * self._throttle_seconds > now:
                break
            due.append(session_id)
        batch: list[Save] = []
        for session_id in dict.fromkeys([*self._urgent, *due]):
            batch.extend(self._waiting.pop(session_id).saves)
        self._urgent.clear()
        self._in_flight = batch
        return Commit(tuple(save.write for save in batch))


def _deleted(session_id: str) -> ErrorInfo:
    return ErrorInfo(
        ErrorCode.SESSION_NOT_FOUND,
        f"session {session_id} is being deleted; what waited to be written is dropped",
        {"session_id": session_id},
    )
