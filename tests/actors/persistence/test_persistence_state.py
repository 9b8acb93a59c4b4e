"""Which writes are committed when, proved against a clock that the test turns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actors.errors import ErrorCode, ErrorInfo
from actors.persistence.protocol import Save, Saved, SaveFailed
from actors.persistence.state import (
    RETRY_DELAYS_SECONDS,
    Commit,
    Effect,
    Notify,
    PersistenceState,
    Settled,
    WakeAfter,
)
from actors.records import SessionWrite

THROTTLE = 0.5
DISK_FULL = ErrorInfo(ErrorCode.PERSISTENCE_FAILED, "disk full")
REFUSED = ErrorInfo(ErrorCode.CONFLICT, "another epoch")

session_ids = st.sampled_from(["a", "b", "c"])


class PersistenceMachine(RuleBasedStateMachine):
    """A disk that takes its time, fails for a while, or refuses a session; nobody else is harmed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.state = PersistenceState(throttle_seconds=THROTTLE)
        self.in_flight: tuple[SessionWrite, ...] | None = None
        self.wake_at: float | None = None
        self.failures = 0
        self.told: dict[str, list[Save]] = {"a": [], "b": [], "c": []}
        self.told_at: dict[tuple[str, int], float] = {}
        self.committed: dict[str, list[int]] = {"a": [], "b": [], "c": []}
        self.reported: Counter[tuple[str, int]] = Counter()
        self.broken: set[str] = set()  # sessions of which a write was refused or given up
        self.flushes: dict[int, dict[str, int]] = {}
        self.flush_number = 0
        self.paused_since: dict[str, float] = {}
        self.removed: set[str] = set()

    # -- the actor --

    def perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Commit(writes):
                    assert self.in_flight is None, "one batch at a time"
                    assert writes
                    self.in_flight = writes
                case WakeAfter(seconds):
                    self.wake_at = self.now + seconds
                case Notify(name, notice):
                    self.note(name, notice)
                case Settled(number):
                    self.check_settled(self.flushes.pop(number))

    def note(self, name: str, notice: object) -> None:
        assert isinstance(notice, Saved | SaveFailed)
        assert name == f"session/{notice.session_id}"
        pending = [
            save.write.revision
            for save in self.told[notice.session_id]
            if not self.reported[notice.session_id, save.write.revision]
        ]
        if isinstance(notice, Saved):
            settled = [revision for revision in pending if revision <= notice.revision]
            assert settled, "a second report"
            assert self.committed[notice.session_id][-1] >= notice.revision, (
                "reported before it was durable"
            )
        else:
            assert notice.revision in pending
            settled = [revision for revision in pending if self.is_lost(notice.session_id, revision)]
            if notice.session_id not in self.removed:
                self.broken.add(notice.session_id)
        for revision in settled:
            self.reported[notice.session_id, revision] += 1

    def is_lost(self, session_id: str, revision: int) -> bool:
        waiting = {
            save.write.revision
            for queues in (self.state._waiting, self.state._paused)  # pyright: ignore[reportPrivateUsage]
            for queue in queues.values()
            for save in queue.saves
            if save.write.session_id == session_id
        }
        waiting |= {write.revision for write in self.in_flight or () if write.session_id == session_id}
        return revision not in waiting

    def check_settled(self, covered: dict[str, int]) -> None:
        for session_id, revision in covered.items():
            assert self.reported[session_id, revision], "a flush ended before its writes did"

    def advance_to(self, when: float) -> None:
        self.now = when
        if self.wake_at is not None and self.wake_at <= self.now:
            self.wake_at = None
            nothing_waits = not self.state._waiting  # pyright: ignore[reportPrivateUsage]
            if self.in_flight is None and nothing_waits:
                self.failures = 0  # what failed was removed
            self.perform(self.state.decide_woken(self.now))

    # -- what happens --

    @rule(session_id=session_ids, immediate=st.sampled_from([False, False, False, True]))
    def save(self, session_id: str, immediate: bool) -> None:
        if session_id in self.broken | self.removed:
            return  # its actor has ended
        revision = len(self.told[session_id]) + 1
        save = Save(f"session/{session_id}", SessionWrite(session_id, 1, revision, ()), immediate)
        self.told[session_id].append(save)
        self.told_at[session_id, revision] = self.now
        self.perform(self.state.decide_save(save, self.now))
        if immediate and not self.failures and session_id not in self.paused_since:
            assert self.in_flight is not None, "an immediate write waits for nothing but a running batch"

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.4, 1.0]))
    def time_passes(self, seconds: float) -> None:
        end = self.now + seconds
        while self.wake_at is not None and self.wake_at <= end:
            self.advance_to(self.wake_at)
        self.now = end

    @precondition(lambda self: self.in_flight is not None)
    @rule()
    def batch_is_committed(self) -> None:
        self.finish_batch(refuse=None)

    @precondition(lambda self: self.in_flight is not None)
    @rule(session_id=session_ids, rarely=st.integers(0, 3))
    def batch_is_committed_but_for_one_session(self, session_id: str, rarely: int) -> None:
        self.finish_batch(refuse=session_id if not rarely else None)

    @precondition(lambda self: self.in_flight is not None)
    @rule(session_id=session_ids)
    def batch_is_committed_but_a_file_fails(self, session_id: str) -> None:
        self.finish_batch(refuse=None, fail=session_id)

    @rule(session_id=session_ids, rarely=st.integers(0, 3))
    def remove(self, session_id: str, rarely: int) -> None:
        if session_id in self.broken | self.removed or rarely:
            return
        self.removed.add(session_id)
        self.paused_since.pop(session_id, None)
        self.flush_number += 1
        in_flight = [write.revision for write in self.in_flight or () if write.session_id == session_id]
        self.flushes[self.flush_number] = {session_id: in_flight[-1]} if in_flight else {}
        self.perform(self.state.decide_remove(self.flush_number, session_id, self.now))

    def finish_batch(self, refuse: str | None, fail: str | None = None) -> None:
        assert self.in_flight is not None
        writes, self.in_flight = self.in_flight, None
        verdicts: list[ErrorInfo | None] = []
        refused = set(self.broken)
        for write in writes:
            if write.session_id == fail and fail not in self.broken:
                verdicts.append(DISK_FULL)
                self.paused_since[write.session_id] = self.now
                continue
            self.paused_since.pop(write.session_id, None)
            if write.session_id == refuse:
                refused.add(write.session_id)
            if write.session_id in refused:
                verdicts.append(REFUSED)
                self.reported[write.session_id, write.revision] += 0
                continue
            done = self.committed[write.session_id]
            assert write.revision == len(done) + 1, "out of order, left out or repeated"
            done.append(write.revision)
            verdicts.append(None)
        self.failures = 0
        self.perform(self.state.decide_committed(tuple(verdicts), self.now))

    @precondition(lambda self: self.in_flight is not None)
    @rule()
    def batch_fails(self) -> None:
        self.in_flight = None
        self.failures = (self.failures + 1) % (len(RETRY_DELAYS_SECONDS) + 1)
        self.perform(self.state.decide_commit_failed(DISK_FULL, self.now))

    @rule()
    def flush(self) -> None:
        self.flush_number += 1
        covered = {
            s: saves[-1].write.revision for s, saves in self.told.items() if saves and s not in self.broken
        }
        self.flushes[self.flush_number] = covered
        self.perform(self.state.decide_flush(self.flush_number, self.now))

    @rule(session_id=session_ids)
    def flush_session(self, session_id: str) -> None:
        if session_id in self.broken:
            return
        self.flush_number += 1
        saves = self.told[session_id]
        self.flushes[self.flush_number] = {session_id: saves[-1].write.revision} if saves else {}
        self.perform(self.state.decide_flush_session(self.flush_number, session_id, self.now))

    # -- what must hold --

    @invariant()
    def no_write_is_reported_twice(self) -> None:
        assert all(count <= 1 for count in self.reported.values())

    @invariant()
    def nothing_is_older_than_the_throttle_when_a_commit_is_possible(self) -> None:
        if self.in_flight is not None or self.failures:
            return
        for session_id, saves in self.told.items():
            for save in saves:
                key = (session_id, save.write.revision)
                if not self.reported[key] and session_id not in self.broken | self.paused_since.keys():
                    assert self.told_at[key] + THROTTLE > self.now
                    assert self.wake_at is not None, "nobody will ever look at it"

    def teardown(self) -> None:
        for _ in range(100):
            if self.in_flight is not None:
                self.finish_batch(refuse=None)
            if self.wake_at is not None:
                self.advance_to(self.wake_at)
        assert not self.flushes, "a flush waits for ever"
        for session_id, saves in self.told.items():
            for save in saves:
                assert session_id in self.broken or self.reported[session_id, save.write.revision] == 1


def test_writes_keep_their_order_and_each_is_reported_once() -> None:
    run_state_machine_as_test(
        PersistenceMachine, settings=settings(max_examples=200, stateful_step_count=60, deadline=None)
    )


def test_a_thousand_updates_of_one_session_in_two_seconds_cost_about_five_commits() -> None:
    state = PersistenceState(throttle_seconds=0.5)
    commits = 0
    written = 0
    wake_at = 0.0
    for number in range(1, 1_001):
        now = number * 0.002
        save = Save("session/s", SessionWrite("s", 1, number, ()), immediate=False)
        effects = list(state.decide_save(save, now))
        if wake_at and wake_at <= now:
            effects += state.decide_woken(now)
        for effect in effects:
            if isinstance(effect, WakeAfter):
                wake_at = now + effect.seconds
            elif isinstance(effect, Commit):
                commits += 1
                written += len(effect.writes)
                wake_at = 0.0
                list(state.decide_committed((None,) * len(effect.writes), now))

    assert commits <= 5
    assert written >= 700


def test_a_batch_that_never_succeeds_is_tried_seven_times_and_then_reported() -> None:
    state = PersistenceState(throttle_seconds=0.5)
    save = Save("session/s", SessionWrite("s", 1, 1, ()), immediate=True)
    assert list(state.decide_save(save, 0.0)) == [Commit((save.write,))]
    now = 0.0
    for delay in RETRY_DELAYS_SECONDS:
        assert list(state.decide_commit_failed(DISK_FULL, now)) == [WakeAfter(delay)]
        now += delay
        assert list(state.decide_woken(now)) == [Commit((save.write,))]

    last = list(state.decide_commit_failed(DISK_FULL, now))

    assert last == [Notify("session/s", SaveFailed("s", 1, 1, DISK_FULL))]


def test_what_arrived_during_the_last_failure_is_tried_at_once() -> None:
    state = PersistenceState(throttle_seconds=0.5)
    first = Save("session/a", SessionWrite("a", 1, 1, ()), immediate=True)
    second = Save("session/b", SessionWrite("b", 1, 1, ()), immediate=True)
    list(state.decide_save(first, 0.0))
    for _ in RETRY_DELAYS_SECONDS:
        list(state.decide_commit_failed(DISK_FULL, 0.0))
        list(state.decide_woken(0.0))
    list(state.decide_save(second, 0.0))

    effects = list(state.decide_commit_failed(DISK_FULL, 0.0))

    assert effects[-1] == Commit((second.write,))


def test_a_session_whose_file_fails_is_tried_again_and_keeps_nobody_waiting() -> None:
    state = PersistenceState(throttle_seconds=THROTTLE)
    failing = [Save("session/a", SessionWrite("a", 1, n, ()), immediate=True) for n in (1, 2)]
    fine = [Save("session/b", SessionWrite("b", 1, n, ()), immediate=True) for n in (1, 2)]
    list(state.decide_save(failing[0], 0.0))
    list(state.decide_save(fine[0], 0.0))
    now = 0.0
    assert list(state.decide_committed((DISK_FULL,), now)) == [Commit((fine[0].write,))]
    assert list(state.decide_save(failing[1], now)) == []
    effects = list(state.decide_committed((None,), now))
    for delay in RETRY_DELAYS_SECONDS:
        (wake,) = (effect for effect in effects if isinstance(effect, WakeAfter))
        assert wake.seconds == pytest.approx(delay)
        now += delay
        assert list(state.decide_woken(now)) == [Commit((failing[0].write, failing[1].write))]
        effects = list(state.decide_committed((DISK_FULL, REFUSED), now))

    assert effects == [Notify("session/a", SaveFailed("a", 1, 1, DISK_FULL))]
    assert list(state.decide_save(fine[1], now)) == [Commit((fine[1].write,))]
    assert list(state.decide_committed((None,), now)) == [Notify("session/b", Saved("b", 1, 2))]


def test_a_file_that_works_again_has_all_its_attempts_before_it() -> None:
    state = PersistenceState(throttle_seconds=THROTTLE)
    now = 0.0
    for revision in range(1, 10):
        save = Save("session/a", SessionWrite("a", 1, revision, ()), immediate=True)
        list(state.decide_save(save, now))
        (wake,) = state.decide_committed((DISK_FULL,), now)
        assert isinstance(wake, WakeAfter)
        assert wake.seconds == pytest.approx(RETRY_DELAYS_SECONDS[0])
        now += 1.0
        assert list(state.decide_woken(now)) == [Commit((save.write,))]
        assert list(state.decide_committed((None,), now)) == [Notify("session/a", Saved("a", 1, revision))]


def test_a_write_that_was_stored_before_the_one_that_failed_is_reported_at_once() -> None:
    state = PersistenceState(throttle_seconds=THROTTLE)
    saves = [Save("session/a", SessionWrite("a", 1, n, ()), immediate=n == 2) for n in (1, 2)]
    for save in saves:
        list(state.decide_save(save, 0.0))

    effects = list(state.decide_committed((None, REFUSED), 0.0))

    assert effects == [
        Notify("session/a", Saved("a", 1, 1)),
        Notify("session/a", SaveFailed("a", 1, 2, REFUSED)),
    ]


def test_what_waits_of_a_session_that_is_removed_is_dropped() -> None:
    state = PersistenceState(throttle_seconds=THROTTLE)
    saves = [Save("session/a", SessionWrite("a", 1, n, ()), immediate=n == 1) for n in (1, 2, 3)]
    for save in saves:
        list(state.decide_save(save, 0.0))
    assert list(state.decide_flush(1, 0.0)) == []

    (dropped,) = state.decide_remove(2, "a", 0.0)

    assert isinstance(dropped, Notify)
    assert isinstance(dropped.notice, SaveFailed)
    assert (dropped.notice.revision, dropped.notice.error.code) == (2, ErrorCode.SESSION_NOT_FOUND)
    effects = list(state.decide_committed((None,), 0.1))
    assert effects == [Notify("session/a", Saved("a", 1, 1)), Settled(1), Settled(2)]


def test_the_last_commit_holds_what_is_in_flight_and_what_waits_in_order() -> None:
    state = PersistenceState(throttle_seconds=THROTTLE)
    writes = [SessionWrite("s", 1, revision, ()) for revision in (1, 2, 3)]
    list(state.decide_save(Save("session/s", writes[0], immediate=True), now=0.0))
    for write in writes[1:]:
        list(state.decide_save(Save("session/s", write, immediate=False), now=0.0))

    assert state.take_rest() == tuple(writes)
