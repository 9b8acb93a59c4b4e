"""Random lives of a registry among sessions that are loaded, evicted, crash, and are deleted."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from actors.errors import ErrorCode, ErrorInfo
from actors.events import SessionRegistered, SessionStatusChanged, SessionUnregistered
from actors.records import SessionStatus
from actors.registry.loading import is_settled
from actors.registry.protocol import (
    CleanUpIdle,
    DeleteSession,
    Deliver,
    RegisterSession,
    ReleaseSession,
    SetActiveSession,
    SetMaxConcurrent,
    SubscribeAll,
    UnregisterSession,
)
from actors.session.protocol import AbortTurn, GetSnapshot, SubmitTurn
from tests.actors.registry.world import FakeSession, World

ids = st.integers(0, 5).map(lambda number: f"s{number}")


class RegistryMachine(RuleBasedStateMachine):
    @initialize(slots=st.integers(1, 3), places=st.integers(0, 3), cap=st.integers(1, 4))
    def open(self, slots: int, places: int, cap: int) -> None:
        self.world = World(slots=slots, places=places, cap=cap)
        self.world.stored.update(f"s{number}" for number in range(5))
        self.world.subscribers.add("global-subscriber/one")
        self.world.ask(SubscribeAll("global-subscriber/one"))

    # -- what callers do --

    @rule(session_id=ids, priority=st.integers(0, 2))
    def submit(self, session_id: str, priority: int) -> None:
        self.world.ask(Deliver(session_id, SubmitTurn(text="?", priority=priority)))

    @rule(session_id=ids, touch=st.booleans())
    def look(self, session_id: str, touch: bool) -> None:
        self.world.ask(Deliver(session_id, GetSnapshot(), touch))

    @rule(session_id=ids)
    def abort(self, session_id: str) -> None:
        self.world.ask(Deliver(session_id, AbortTurn()))

    @rule(session_id=ids)
    def register(self, session_id: str) -> None:
        self.world.ask(RegisterSession(session_id))

    @rule(session_id=ids, force=st.booleans(), background=st.booleans())
    def unregister(self, session_id: str, force: bool, background: bool) -> None:
        self.world.ask(UnregisterSession(session_id=session_id, force=force, keep_in_background=background))

    @rule(session_id=ids | st.none())
    def activate(self, session_id: str | None) -> None:
        self.world.ask(SetActiveSession(session_id))

    @rule(session_id=ids)
    def release(self, session_id: str) -> None:
        self.world.ask(ReleaseSession(session_id))

    @rule(session_id=ids)
    def delete(self, session_id: str) -> None:
        self.world.ask(DeleteSession(session_id))

    @rule(session_id=ids)
    def bring_back(self, session_id: str) -> None:
        if session_id not in self.world.sessions:
            self.world.stored.add(session_id)

    @rule(value=st.integers(-1, 4))
    def change_limit(self, value: int) -> None:
        self.world.ask(SetMaxConcurrent(value))

    @rule(seconds=st.sampled_from([0.0, 1.0, 30.0]))
    def clean_up(self, seconds: float) -> None:
        self.world.ask(CleanUpIdle(seconds))

    # -- what happens --

    def session(self, session_id: str) -> FakeSession | None:
        session = self.world.sessions.get(session_id)
        return session if session is not None and session.alive else None

    @rule(session_id=ids)
    def finish(self, session_id: str) -> None:
        session = self.session(session_id)
        if session is not None and session.is_running:
            session.end_turn(SessionStatus.COMPLETED)

    @rule(session_id=ids)
    def need_a_person(self, session_id: str) -> None:
        session = self.session(session_id)
        if session is not None and session.is_running:
            session.wait_for_person()

    @rule(session_id=ids)
    def crash(self, session_id: str) -> None:
        session = self.session(session_id)
        if session is not None:
            session.die(crashed=True)

    @rule()
    def crash_the_registry(self) -> None:
        self.world.crash_registry()

    @rule(seconds=st.sampled_from([1.0, 20.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @rule(choices=st.lists(st.integers(0, 30), max_size=6))
    def let_some_mail_arrive(self, choices: list[int]) -> None:
        for choice in choices:
            self.world.step(choice)

    @rule()
    def let_all_mail_arrive(self) -> None:
        world = self.world
        world.settle()
        state = world.state
        live = {session_id for session_id, session in world.sessions.items() if session.alive}
        running = {session_id for session_id in live if world.sessions[session_id].is_running}

        assert not world.open, f"not answered: {[world.asked[request] for request in world.open]}"
        assert state.rebuild is None
        assert set(state.seats) == live
        status = state.pool_status()
        assert status.running == len(running), "slots in use are the running sessions"
        assert not status.queued or status.available == 0, "a slot is free and somebody waits"
        for session in world.sessions.values():
            assert not session.is_asking, "a turn got no answer about its slot"
        unsettled = {session_id for session_id in live if not self.may_go(session_id)}
        # The active one stays, and the one that was just loaded while all others were in use.
        assert len(live) <= max(world.cap, len(unsettled) + 2), "sessions above the cap stay"
        for session_id in live:
            assert state.ledger.known[session_id].runtime == world.sessions[session_id].runtime()
        for session_id, known in state.ledger.known.items():
            assert (
                session_id in live
                or known.registered
                or known.runtime.unread_count
                or known.runtime.status is SessionStatus.WAITING_CONFIRMATION
                or known.failure is not None
                or state.ledger.active_id == session_id
            ), "a session is known for no reason"
        assert state.ledger.active_id is None or state.ledger.active_id in state.ledger.known
        assert not state.deleting

    def may_go(self, session_id: str) -> bool:
        return is_settled(self.world.sessions[session_id].runtime())

    @invariant()
    def a_slot_is_taken_once(self) -> None:
        if not hasattr(self, "world") or self.world.state.rebuild is not None:
            return
        for session_id, session in self.world.sessions.items():
            if session.alive and session.is_running:
                assert self.world.state.pool.holds(session_id), "a session runs without a slot"

    @invariant()
    def events_are_numbered_without_a_gap_and_never_repeat_a_status(self) -> None:
        if not hasattr(self, "world"):
            return
        seq = 0
        told: dict[str, SessionStatus | None] = {}
        for event in self.world.heard:
            assert event.seq in (seq + 1, 1)
            seq = event.seq
            match event.body:
                case SessionRegistered():
                    assert event.session_id is not None
                    assert event.session_id not in told, "registered twice"
                    told[event.session_id] = None
                case SessionUnregistered():
                    assert event.session_id in told
                    del told[event.session_id]
                case SessionStatusChanged(status):
                    assert event.session_id in told
                    assert told[event.session_id] is not status
                    told[event.session_id] = status
                case _:
                    pass

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.let_all_mail_arrive()


def test_whatever_happens_slots_are_the_running_sessions_and_every_request_is_answered_once() -> None:
    run_state_machine_as_test(
        RegistryMachine,
        settings=settings(
            max_examples=150, stateful_step_count=60, deadline=None, report_multiple_bugs=False
        ),
    )


def test_a_session_that_fails_three_times_in_a_minute_is_refused_until_it_is_over() -> None:
    world = World(slots=1, places=1, cap=3)
    world.stored.add("s")
    for _ in range(3):
        request = world.ask(Deliver("s", SubmitTurn(text="?")))
        world.settle()
        assert world.answers[request] == "s"
        world.sessions["s"].die(crashed=True)
        world.settle()

    refused = world.ask(Deliver("s", GetSnapshot()))
    world.now += 61
    taken = world.ask(Deliver("s", GetSnapshot()))
    world.settle()

    refusal = world.answers[refused]
    assert isinstance(refusal, ErrorInfo)
    assert refusal.code is ErrorCode.SESSION_INVALID
    assert world.answers[taken] == "s"
    assert world.state.pool_status().running == 0
