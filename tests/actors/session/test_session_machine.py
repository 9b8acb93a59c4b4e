"""Random lives of a session: whatever is slow, refused, aborted or broken, its promises hold."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actors.conversation import MessageState, Role, Text, TextPart, ThoughtPart, ToolCallPart
from actors.errors import ErrorCode, ErrorInfo
from actors.events import TaskOutcome
from actors.session.protocol import (
    AbortTurn,
    GetSnapshot,
    ResumeTurn,
    SessionSnapshot,
    SubmitTurn,
    Subscribe,
    SubscriberEnded,
    WaitTurn,
)
from actors.session.status import BUSY
from actors.session.turn import Phase
from tests.actors.session.world import RIVALS, World

rivals = st.sampled_from(RIVALS)
parts = st.lists(
    st.one_of(
        st.builds(TextPart, st.text("ab ", max_size=3)),
        st.builds(ThoughtPart, st.text("ab ", max_size=3)),
        st.builds(ToolCallPart, st.integers(0, 1), st.just("call"), st.just("tool"), st.just("{}")),
    ),
    min_size=1,
    max_size=3,
)


class SessionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.submitted: dict[int, str] = {}
        self.may_lose = False  # the store gave up once: what was not acknowledged may be gone

    @initialize()
    def begin_with_a_subscriber(self) -> None:
        self.world.run_to_rest()
        self.world.ask(Subscribe("subscriber"))

    def task_ids(self) -> list[str]:
        return ["unknown", *self.world.requested]

    @rule(priority=st.integers(-1, 1))
    def submit(self, priority: int) -> None:
        text = f"question {len(self.submitted)}"
        request = self.world.ask(SubmitTurn(text=text, priority=priority))
        self.submitted[request] = text

    @rule()
    def resume(self) -> None:
        self.world.ask(ResumeTurn())

    @rule(data=st.data())
    def wait(self, data: st.DataObject) -> None:
        self.world.ask(WaitTurn(data.draw(st.sampled_from(self.task_ids()))))

    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        task_id = data.draw(st.sampled_from([None, None, *self.task_ids()]))
        could_answer = self.world.state.ready and not self.world.leaving
        request = self.world.ask(AbortTurn(task_id))
        assert not could_answer or request not in self.world.unanswered, "an abort is answered at once"

    @rule()
    def look(self) -> None:
        self.world.ask(GetSnapshot())

    @rule()
    def subscribe(self) -> None:
        self.world.ask(Subscribe("subscriber"))

    @rule()
    def lose_subscriber(self) -> None:
        self.world.step(SubscriberEnded("subscriber"))

    @rule()
    def let_registry_work(self) -> None:
        self.world.registry_step()

    @rule()
    def hear_registry(self) -> None:
        self.world.notice_step()

    @rule()
    def hear_store(self) -> None:
        self.world.store_step()

    @rule(count=st.integers(1, 4))
    def commit(self, count: int) -> None:
        self.world.commit(count)

    @precondition(lambda self: self.world.history)
    @rule(really=st.integers(0, 4))
    def give_up_storing(self, really: int) -> None:
        if not really and self.world.to_store:
            self.may_lose = True
            self.world.give_up_storing()

    @precondition(lambda self: self.world.running_call is not None)
    @rule(said=parts)
    def say(self, said: list[TextPart | ThoughtPart | ToolCallPart]) -> None:
        self.world.say(*said)

    @precondition(lambda self: self.world.running_call is not None)
    @rule(fails=st.booleans())
    def end_call(self, fails: bool) -> None:
        self.world.end_call(ErrorInfo(ErrorCode.NETWORK_ERROR, "cut") if fails else None)

    @rule()
    def hear_call(self) -> None:
        self.world.call_step()

    @rule(rival=rivals)
    def take_slot(self, rival: str) -> None:
        self.world.take_slot(rival)

    @rule(rival=rivals)
    def give_slot_back(self, rival: str) -> None:
        self.world.give_slot_back(rival)

    @rule(really=st.integers(0, 3))
    def release(self, really: int) -> None:
        if not really:
            self.world.release()

    @precondition(lambda self: self.world.history)
    @rule(really=st.integers(0, 4))
    def crash(self, really: int) -> None:
        if not really:
            self.world.crash()

    @rule()
    def come_to_rest(self) -> None:
        self.world.run_to_rest()

    @invariant()
    def memory_and_store_agree(self) -> None:
        state = self.world.state
        if self.world.store_gave_up or not state.ready:
            return
        replayed = self.world.replayed()
        assert replayed is not None
        assert replayed.record == state.record
        assert replayed.revision == state.revision
        in_memory = {message.message_id: message for message in state.tree}
        running = state.turn.streamed_answer() if state.turn is not None else None
        if running is not None:
            in_memory[running.message_id] = running
        assert {message.message_id: message for message in replayed.messages} == in_memory

    @invariant()
    def tree_is_well_formed(self) -> None:
        state = self.world.state
        if not state.ready:
            return
        seen: set[str | None] = {None}
        for message in state.tree:
            assert message.parent_id in seen
            seen.add(message.message_id)
        record = state.known_record()
        assert record.active_leaf_id in seen
        roles = [message.role for message in state.tree.branch(record.active_leaf_id)]
        assert all(role in (Role.USER, Role.ASSISTANT) for role in roles)

    @invariant()
    def at_most_one_turn_is_unfinished(self) -> None:
        state = self.world.state
        if not state.ready or state.failure is not None:
            return
        record = state.known_record()
        assert (record.status in BUSY) == (record.task is not None)
        if state.turn is None or state.turn.phase in (Phase.ADMITTING, Phase.SETTLING):
            assert record.task is None
        else:
            assert record.task is not None
            assert record.task.task_id == state.turn.task_id
        assert all(message.state is not MessageState.STREAMING for message in state.tree)

    @invariant()
    def slots_are_returned_at_most_once(self) -> None:
        world = self.world
        assert all(count == 1 for count in world.requested.values())
        assert all(count == 1 for count in world.returned.values())
        assert world.returned.keys() <= world.requested.keys()

    @invariant()
    def accepted_questions_are_in_the_store_once(self) -> None:
        texts = [
            message.content.text
            for message in (self.world.stored().messages if self.world.history else ())
            if message.role is Role.USER and isinstance(message.content, Text)
        ]
        assert len(texts) == len(set(texts))
        for request, text in self.submitted.items():
            answer = self.world.answers.get(request)
            if isinstance(answer, str):
                assert text in texts
            elif isinstance(answer, ErrorInfo) and not self.may_lose:
                assert text not in texts, "refused, and stored all the same"

    def teardown(self) -> None:
        world = self.world
        world.run_to_rest()

        assert not world.unanswered, "somebody waits for ever"
        assert world.state.turn is None
        assert world.pool.status(loaded=0).running == 0
        assert world.pool.status(loaded=0).queued == 0
        for task_id in world.requested:
            assert world.returned[task_id] or world.refused[task_id]

        before = self.snapshot()
        world.release()
        world.run_to_rest()
        assert self.snapshot().messages == before.messages
        for task_id, outcome in world.outcomes.items():
            self.check_outcome_survives(task_id, outcome)

    def snapshot(self) -> SessionSnapshot:
        request = self.world.ask(GetSnapshot())
        self.world.run_to_rest()
        snapshot = self.world.answers[request]
        assert isinstance(snapshot, SessionSnapshot)
        return snapshot

    def check_outcome_survives(self, task_id: str, outcome: TaskOutcome) -> None:
        request = self.world.ask(WaitTurn(task_id))
        stored = self.world.answers[request]
        assert isinstance(stored, TaskOutcome)
        for kept in ("status", "prompt", "answer", "thought", "tool_calls", "usage", "error"):
            assert getattr(stored, kept) == getattr(outcome, kept)


def test_a_session_keeps_its_promises_in_every_life() -> None:
    run_state_machine_as_test(
        SessionMachine,
        settings=settings(
            max_examples=100,
            stateful_step_count=60,
            deadline=None,
            suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
        ),
    )
