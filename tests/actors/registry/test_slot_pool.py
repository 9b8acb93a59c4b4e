"""Run slots and the queue for them."""

from __future__ import annotations

from dataclasses import dataclass

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from actors.errors import EngineError, ErrorCode
from actors.registry.state import SlotPool
from actors.session.protocol import SlotGranted, SlotQueued, SlotRefused

QUEUE_SIZE = 4

session_ids = st.integers(0, 9).map(lambda number: f"s{number}")


@dataclass
class Waiting:
    session_id: str
    task_id: str
    priority: int
    number: int


class PoolMachine(RuleBasedStateMachine):
    """Against a list that is sorted and counted anew each time."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = 2
        self.pool = SlotPool(max_concurrent=self.limit, max_queue_size=QUEUE_SIZE)
        self.running: dict[str, str] = {}
        self.waiting: list[Waiting] = []
        self.tasks = 0

    def expected_grants(self) -> list[tuple[str, str]]:
        grants: list[tuple[str, str]] = []
        self.waiting.sort(key=lambda waiting: (-waiting.priority, waiting.number))
        while self.waiting and len(self.running) < self.limit:
            first = self.waiting.pop(0)
            self.running[first.session_id] = first.task_id
            grants.append((first.session_id, first.task_id))
        return grants

    def check(self, grants: list[tuple[str, SlotGranted]]) -> None:
        assert [(session_id, granted.task_id) for session_id, granted in grants] == self.expected_grants()
        assert not grants or len(self.running) <= self.limit

    @rule(session_id=session_ids, priority=st.integers(-2, 2))
    def request(self, session_id: str, priority: int) -> None:
        if session_id in self.running or any(w.session_id == session_id for w in self.waiting):
            return
        self.tasks += 1
        task_id = f"t{self.tasks}"
        notice = self.pool.request(session_id, task_id, priority)
        if len(self.running) < self.limit:
            assert notice == SlotGranted(task_id)
            self.running[session_id] = task_id
        elif len(self.waiting) < QUEUE_SIZE:
            assert isinstance(notice, SlotQueued)
            assert all(notice.number > waiting.number for waiting in self.waiting)
            self.waiting.append(Waiting(session_id, task_id, priority, notice.number))
        else:
            assert isinstance(notice, SlotRefused)
            assert notice.error.code is ErrorCode.QUEUE_FULL

    @rule(session_id=session_ids)
    def give_back_whatever_it_has(self, session_id: str) -> None:
        self.running.pop(session_id, None)
        self.waiting = [waiting for waiting in self.waiting if waiting.session_id != session_id]
        self.check(self.pool.give_back(session_id))

    @rule(session_id=session_ids, number=st.integers(1, 30))
    def give_back_a_task(self, session_id: str, number: int) -> None:
        task_id = f"t{number}"
        if self.running.get(session_id) == task_id:
            del self.running[session_id]
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
        assert status.queue_available == QUEUE_SIZE - len(self.waiting)
        assert not self.waiting or len(self.running) >= self.limit, "a slot is free and somebody waits"


def test_slots_are_granted_and_returned_as_a_sorted_list_would_have_it() -> None:
    run_state_machine_as_test(PoolMachine, settings=settings(max_examples=200, deadline=None))


def test_places_that_are_returned_while_all_slots_are_taken_leave_nothing_behind() -> None:
    pool = SlotPool(max_concurrent=1, max_queue_size=10)
    pool.request("running", "t", 0)

    for number in range(10_000):
        pool.request("s", f"t{number}", number % 3)
        pool.give_back("s", f"t{number}")

    assert len(pool._heap) < 100  # pyright: ignore[reportPrivateUsage] - a leak shows nowhere else


@pytest.mark.parametrize(("slots", "places"), [(0, 1), (-1, 1), (1, -1)])
def test_a_pool_without_slots_or_with_less_than_no_queue_is_not_made(slots: int, places: int) -> None:
    with pytest.raises(EngineError) as refusal:
        SlotPool(max_concurrent=slots, max_queue_size=places)

    assert refusal.value.code is ErrorCode.INVALID_ARGUMENT


def test_a_pool_without_a_queue_refuses_at_once() -> None:
    pool = SlotPool(max_concurrent=1, max_queue_size=0)

    assert isinstance(pool.request("a", "t1", 0), SlotGranted)
    assert isinstance(pool.request("b", "t2", 0), SlotRefused)
    assert pool.give_back("a", "t1") == []
    assert isinstance(pool.request("b", "t3", 0), SlotGranted)
