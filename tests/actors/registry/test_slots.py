"""Run slots and the queue for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from actors.errors import EngineError, ErrorCode
from actors.records import SessionRuntime, SessionStatus
from actors.registry.protocol import RequestSlot
from actors.registry.slots import SlotPool
from actors.session.protocol import AdmissionReport, SlotGranted, SlotQueued, SlotRefused

QUEUE_SIZE = 4

session_ids = st.integers(0, 9).map(lambda number: f"s{number}")


@dataclass
class Waiting:
    session_id: str
    task_id: str
    priority: int
    number: int
    first: bool = False


class PoolMachine(RuleBasedStateMachine):
    """Against a list that is sorted and counted anew each time."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = 2
        self.pool = SlotPool(max_concurrent=self.limit, max_queue_size=QUEUE_SIZE)
        self.running: dict[str, str] = {}
        self.waiting: list[Waiting] = []
        self.tasks = 0
        self.with_person: dict[str, str] = {}

    def expected_grants(self) -> list[tuple[str, str]]:
        grants: list[tuple[str, str]] = []
        self.waiting.sort(key=lambda waiting: (not waiting.first, -waiting.priority, waiting.number))
        while self.waiting and len(self.running) < self.limit:
            first = self.waiting.pop(0)
            self.running[first.session_id] = first.task_id
            grants.append((first.session_id, first.task_id))
        return grants

    def check(self, grants: list[tuple[str, SlotGranted]]) -> None:
        assert [(session_id, granted.task_id) for session_id, granted in grants] == self.expected_grants()
        assert not grants or len(self.running) <= self.limit

    @rule(session_id=session_ids, priority=st.integers(-2, 2), admitted=st.booleans(), first=st.booleans())
    def request(self, session_id: str, priority: int, admitted: bool, first: bool) -> None:
        if session_id in self.running or any(w.session_id == session_id for w in self.waiting):
            return
        self.tasks += 1
        task_id = f"t{self.tasks}"
        asked = RequestSlot(session_id, task_id, priority, admitted, first)
        notice = self.pool.request(asked)
        if len(self.running) < self.limit:
            assert notice == SlotGranted(task_id)
            self.running[session_id] = task_id
        elif admitted or len(self.waiting) < QUEUE_SIZE:
            assert isinstance(notice, SlotQueued)
            assert all(notice.number > waiting.number for waiting in self.waiting)
            self.waiting.append(Waiting(session_id, task_id, priority, notice.number, first))
        else:
            assert isinstance(notice, SlotRefused)
            assert notice.error.code is ErrorCode.QUEUE_FULL
            return
        self.with_person.pop(session_id, None)
        assert self.pool.request(asked) == notice, "asked twice is asked once"

    @rule(session_id=session_ids)
    def go_and_wait_for_a_person(self, session_id: str) -> None:
        task_id = self.running.get(session_id)
        if task_id is None:
            return
        del self.running[session_id]
        grants = self.pool.give_back(session_id, task_id)
        self.pool.wait_for_person(session_id, task_id)
        self.with_person[session_id] = task_id
        self.check(grants)

    @rule()
    def begin_anew_with_what_the_sessions_say(self) -> None:
        reports = [
            AdmissionReport(
                runtime=SessionRuntime(
                    session_id=session_id, status=SessionStatus.RUNNING, last_active_at=datetime.now(UTC)
                ),
                task_id=task_id,
                priority=0,
                number=0,
                has_slot=True,
                subscribers=(),
            )
            for session_id, task_id in self.running.items()
        ] + [
            AdmissionReport(
                runtime=SessionRuntime(
                    session_id=waiting.session_id,
                    status=SessionStatus.QUEUED,
                    last_active_at=datetime.now(UTC),
                ),
                task_id=waiting.task_id,
                priority=waiting.priority,
                number=waiting.number,
                has_slot=False,
                subscribers=(),
            )
            for waiting in self.waiting
        ]
        self.pool = SlotPool(max_concurrent=self.limit, max_queue_size=QUEUE_SIZE)
        self.pool.restore(reversed(reports))
        for waiting in self.waiting:
            waiting.first = False  # one that was confirmed asks again
        self.with_person.clear()
        assert self.pool.start() == []

    @rule(session_id=session_ids)
    def give_back_whatever_it_has(self, session_id: str) -> None:
        self.running.pop(session_id, None)
        self.with_person.pop(session_id, None)
        self.waiting = [waiting for waiting in self.waiting if waiting.session_id != session_id]
        self.check(self.pool.give_back(session_id))

    @rule(session_id=session_ids, number=st.integers(1, 30))
    def give_back_a_task(self, session_id: str, number: int) -> None:
        task_id = f"t{number}"
        if self.running.get(session_id) == task_id:
            del self.running[session_id]
        if self.with_person.get(session_id) == task_id:
            del self.with_person[session_id]
        self.waiting = [
            waiting
            for waiting in self.waiting
            if (waiting.session_id, waiting.task_id) != (session_id, task_id)
        ]
        self.check(self.pool.give_back(session_id, task_id))

    @rule(limit=st.integers(-1, 5))
    def change_limit(self, limit: int) -> None:
        if limit < 1:
            with pytest.raises(EngineError) as refusal:
                self.pool.set_max_concurrent(limit)
            assert refusal.value.code is ErrorCode.INVALID_ARGUMENT
            return
        self.limit = limit
        self.check(self.pool.set_max_concurrent(limit))

    @invariant()
    def counts_agree(self) -> None:
        status = self.pool.status(loaded=7)
        assert (status.running, status.queued, status.loaded) == (len(self.running), len(self.waiting), 7)
        assert status.max_concurrent == self.limit
        assert status.available == max(0, self.limit - len(self.running))
        assert status.waiting == len(self.with_person)
        assert status.queue_available == max(0, QUEUE_SIZE - len(self.waiting))
        assert not self.waiting or len(self.running) >= self.limit, "a slot is free and somebody waits"


def test_slots_are_granted_and_returned_as_a_sorted_list_would_have_it() -> None:
    run_state_machine_as_test(PoolMachine, settings=settings(max_examples=200, deadline=None))


def test_places_that_are_returned_while_all_slots_are_taken_leave_nothing_behind() -> None:
    pool = SlotPool(max_concurrent=1, max_queue_size=10)
    pool.request(RequestSlot("running", "t", 0))

    for number in range(10_000):
        pool.request(RequestSlot("s", f"t{number}", number % 3))
        pool.give_back("s", f"t{number}")

    assert len(pool._heap) < 100  # pyright: ignore[reportPrivateUsage] - a leak shows nowhere else


@pytest.mark.parametrize(("slots", "places"), [(0, 1), (-1, 1), (1, -1)])
def test_a_pool_without_slots_or_with_less_than_no_queue_is_not_made(slots: int, places: int) -> None:
    with pytest.raises(EngineError) as refusal:
        SlotPool(max_concurrent=slots, max_queue_size=places)

    assert refusal.value.code is ErrorCode.INVALID_ARGUMENT


def test_a_pool_without_a_queue_refuses_at_once() -> None:
    pool = SlotPool(max_concurrent=1, max_queue_size=0)

    assert isinstance(pool.request(RequestSlot("a", "t1", 0)), SlotGranted)
    assert isinstance(pool.request(RequestSlot("b", "t2", 0)), SlotRefused)
    assert pool.give_back("a", "t1") == []
    assert isinstance(pool.request(RequestSlot("b", "t3", 0)), SlotGranted)


def test_a_confirmed_turn_is_next_even_when_the_queue_is_full() -> None:
    pool = SlotPool(max_concurrent=1, max_queue_size=1)
    pool.request(RequestSlot("a", "t1", 0))
    pool.give_back("a", "t1")
    pool.wait_for_person("a", "t1")
    pool.request(RequestSlot("b", "t2", 0))
    pool.request(RequestSlot("c", "t3", 10))

    notice = pool.request(RequestSlot("a", "t1", 0, admitted=True, first=True))

    assert isinstance(notice, SlotQueued)
    assert pool.give_back("b", "t2") == [("a", SlotGranted("t1"))]


def test_numbers_go_on_above_those_that_were_restored() -> None:
    runtime = SessionRuntime(session_id="a", status=SessionStatus.QUEUED, last_active_at=datetime.now(UTC))
    pool = SlotPool(max_concurrent=1, max_queue_size=5)
    pool.restore(
        [
            AdmissionReport(
                runtime=runtime, task_id="t", priority=0, number=41, has_slot=False, subscribers=()
            )
        ]
    )
    assert pool.start() == [("a", SlotGranted("t"))]

    notice = pool.request(RequestSlot("b", "t2", 0))

    assert notice == SlotQueued("t2", 42)
