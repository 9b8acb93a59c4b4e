"""Which writes are committed when: throttling per session, one batch for many sessions, retries.

Pure: `decide_*` methods change the state and yield what is to be done, all of which must be done.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from actors.errors import ErrorInfo
from actors.persistence.protocol import PersistenceNotice, Save, Saved, SaveFailed
from actors.records import SessionWrite

__all__ = ["Commit", "Effect", "Notify", "PersistenceState", "Settled", "WakeAfter"]

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


class PersistenceState:
    """The writes that wait, and the batch that is being committed.

    `_waiting` is in the order in which the sessions became dirty. The throttle is the same for all, so
    that the sessions that are due are always its head: nothing scans all sessions.
    """

    def __init__(self, *, throttle_seconds: float) -> None:
        self._throttle_seconds = throttle_seconds
        self._waiting: dict[str, _Queue] = {}
        self._urgent: dict[str, None] = {}
        self._in_flight: list[Save] = []
        self._failures_in_a_row = 0
        # What each flush still waits for: the last revision that it covers, by session.
        self._flushes: dict[int, dict[str, int]] = {}

    def decide_save(self, save: Save, now: float) -> Iterator[Effect]:
        session_id = save.write.session_id
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
            yield WakeAfter(self._throttle_seconds)

    def decide_flush(self, number: int, now: float) -> Iterator[Effect]:
        """Commit everything soon, and say `Settled` then."""
        covered = {save.write.session_id: save.write.revision for save in self._in_flight}
        covered |= {
            session_id: queue.saves[-1].write.revision for session_id, queue in self._waiting.items()
        }
        yield from self._wait_for(number, covered, now)

    def decide_flush_session(self, number: int, session_id: str, now: float) -> Iterator[Effect]:
        """The same for one session."""
        saves = [save for save in self._in_flight if save.write.session_id == session_id]
        queue = self._waiting.get(session_id)
        if queue is not None:
            saves += queue.saves
        yield from self._wait_for(
            number, {save.write.session_id: save.write.revision for save in saves}, now
        )

    def _wait_for(self, number: int, covered: dict[str, int], now: float) -> Iterator[Effect]:
        if not covered:
            yield Settled(number)
            return
        self._flushes[number] = covered
        self._urgent.update(
            dict.fromkeys(session_id for session_id in covered if session_id in self._waiting)
        )
        if not self._in_flight and not self._failures_in_a_row:
            yield self._commit(now)

    def decide_woken(self, now: float) -> Iterator[Effect]:
        if self._in_flight:
            return
        if self._failures_in_a_row:
            self._urgent.update(dict.fromkeys(self._waiting))
        yield from self._go_on(now)

    def decide_committed(self, verdicts: tuple[ErrorInfo | None, ...], now: float) -> Iterator[Effect]:
        self._failures_in_a_row = 0
        saves, self._in_flight = self._in_flight, []
        settled: dict[str, tuple[Save, ErrorInfo | None]] = {}
        for save, verdict in zip(saves, verdicts, strict=True):
            session_id = save.write.session_id
            if settled.get(session_id, (save, None))[1] is None:  # the first refusal counts
                settled[session_id] = (save, verdict)
        for save, verdict in settled.values():
            yield from self._report(save, verdict)
        yield from self._settle_flushes(saves)
        yield from self._go_on(now)

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
        failed: dict[str, Save] = {}
        for save in saves:
            failed.setdefault(save.write.session_id, save)
        dropped = saves
        for session_id, save in failed.items():
            queue = self._waiting.pop(session_id, None)  # it builds on what was not stored
            self._urgent.pop(session_id, None)
            dropped = dropped + queue.saves if queue is not None else dropped
            yield from self._report(save, error)
        yield from self._settle_flushes(dropped)
        yield from self._go_on(now)

    def _report(self, save: Save, error: ErrorInfo | None) -> Iterator[Effect]:
        write = save.write
        if error is None:
            notice = Saved(write.session_id, write.epoch, write.revision)
        else:
            notice = SaveFailed(write.session_id, write.epoch, write.revision, error)
        yield Notify(save.reply_to, notice)

    def _settle_flushes(self, settled: list[Save]) -> Iterator[Effect]:
        if not self._flushes:
            return
        reached = {save.write.session_id: save.write.revision for save in settled}
        for number, covered in tuple(self._flushes.items()):
            for session_id in reached.keys() & covered.keys():
                if reached[session_id] >= covered[session_id]:
                    del covered[session_id]
            if not covered:
                del self._flushes[number]
                yield Settled(number)

    def take_rest(self) -> tuple[SessionWrite, ...]:
        """Everything that may not be stored yet, for the last commit.

        What is in flight is a part of it: if it was stored after all, it is a repeat and changes nothing.
        """
        waiting = [save for queue in self._waiting.values() for save in queue.saves]
        rest = tuple(save.write for save in [*self._in_flight, *waiting])
        self._waiting.clear()
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
        if not self._waiting:
            return
        oldest = next(iter(self._waiting.values()))
        due_in = oldest.dirty_since + self._throttle_seconds - now
        if self._urgent or due_in <= 0:
            yield self._commit(now)
        else:
            yield WakeAfter(due_in)

    def _commit(self, now: float) -> Commit:
        """Take what is urgent and what is due. A session's writes stay together and in order."""
        due: list[str] = []
        for session_id, queue in self._waiting.items():
            if queue.dirty_since + self._throttle_seconds > now:
                break
            due.append(session_id)
        batch: list[Save] = []
        for session_id in dict.fromkeys([*self._urgent, *due]):
            batch.extend(self._waiting.pop(session_id).saves)
        self._urgent.clear()
        self._in_flight = batch
        return Commit(tuple(save.write for save in batch))
