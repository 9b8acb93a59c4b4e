"""A session under random commands, notices and disasters; what must hold after every step.

The commands are in `SessionMachine`; here is everything that happens around them.
"""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from actors.conversation import (
    FinishPart,
    FinishReason,
    MessageState,
    ProviderItemPart,
    Role,
    Text,
    TextPart,
    ThoughtPart,
    ToolCallPart,
    ToolStatus,
    Usage,
    UsagePart,
)
from actors.errors import ErrorCode, ErrorInfo
from actors.events import TaskOutcome
from actors.records import ApprovalMode, ChatMode, WorkMode
from actors.session.protocol import GetSnapshot, NewSession, SessionSnapshot, SubscriberEnded, WaitTurn
from actors.session.status import BUSY
from actors.session.turn import Phase
from actors.tree import sendable
from tests.actors.session.observer import Observer, lasting
from tests.actors.session.promises import check_sendable
from tests.actors.session.world import PERMANENT, RIVALS, World

__all__ = ["SurroundedSession"]

HAS_SLOT = (Phase.READING, Phase.RUNNING, Phase.TOOLS)
HAS_SLOT_OR_PLACE = (*HAS_SLOT, Phase.ADMITTING, Phase.QUEUED)
CHANNELS = ("commit", "store", "registry", "notice", "call")
rivals = st.sampled_from(RIVALS)
work = st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=10)
tool_modes = st.dictionaries(
    st.sampled_from(("free", "risky", "writes")),
    st.sampled_from((*ApprovalMode, ApprovalMode.AUTO)),
    max_size=1,
)
new_sessions = st.builds(
    NewSession,
    model=st.just("scripted:echo"),
    # What runs nothing comes by a change: most lives begin with tools that run.
    mode=st.sampled_from((ChatMode.AGENT, ChatMode.AGENT, ChatMode.AGENT, ChatMode.CHAT)),
    approval_mode=st.sampled_from((ApprovalMode.DEFAULT, ApprovalMode.AUTO, ApprovalMode.ALWAYS_ASK)),
    max_turns=st.integers(1, 3),
    work_mode=st.sampled_from((*(WorkMode.ACT,) * 7, WorkMode.PLAN)),
    max_parallel_calls=st.integers(1, 3),
    tool_modes=tool_modes,
)
parts = st.lists(
    st.one_of(
        st.builds(TextPart, st.text("ab ", max_size=3)),
        st.builds(ThoughtPart, st.text("ab ", max_size=3)),
        st.builds(ProviderItemPart, st.just("wire"), st.sampled_from(('"one"', '"two"'))),
        st.builds(UsagePart, st.builds(Usage, st.integers(0, 3), st.integers(0, 3))),
        st.builds(FinishPart, st.sampled_from((FinishReason.STOP, FinishReason.LENGTH))),
    ),
    min_size=1,
    max_size=3,
)
tool_calls = st.lists(
    st.tuples(
        st.sampled_from(("", "call_0", "call_1", "call_2")),
        st.sampled_from(
            ("free", "free", "risky", "risky", "reads", "writes", "writes", "deletes", "unknown")
        ),
        st.sampled_from(("{}", "{}", "{}", "", '{"a": 1}', '{"a": 2}', "[1]", '{"cut')),
    ),
    min_size=1,
    max_size=4,
)


class SurroundedSession(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.may_lose = False  # the store gave up once: what was not acknowledged may be gone
        self.may_be_gone: set[str] = set()  # texts that were edited or deleted, perhaps
        self.submitted: dict[str, list[int]] = {}  # requests by text, which is as good as an id
        self.began: list[int] = []  # requests that are answered with a task id

    def task_ids(self) -> list[str]:
        answers = (self.world.answers.get(request) for request in self.began)
        return ["unknown", *(answer for answer in answers if isinstance(answer, str))]

    # -- what happens around it --

    @rule(channels=work)
    def let_work(self, channels: list[str]) -> None:
        for channel in channels:
            match channel:
                case "commit":
                    self.world.commit(1)
                case "store":
                    self.world.store_step()
                case "registry":
                    self.world.registry_step()
                case "notice":
                    self.world.notice_step()
                case _:
                    self.world.call_step()

    @rule()
    def let_all_arrive(self) -> None:
        """Everybody is quick, but the model and the tools go on."""
        moved = True
        while moved:
            world = self.world
            world.commit(4)
            moved = any((world.store_step(), world.notice_step(), world.call_step(), world.registry_step()))

    @precondition(lambda self: self.world.is_stored)
    @rule(really=st.integers(0, 9))
    def give_up_storing(self, really: int) -> None:
        if not really and self.world.to_store:
            self.may_lose = True
            self.world.give_up_storing()

    @precondition(lambda self: self.world.running_call is not None)
    @rule(said=parts)
    def say(self, said: list[TextPart | ThoughtPart]) -> None:
        self.world.say(*said)

    @precondition(lambda self: self.world.running_call is not None)
    @rule(fails=st.sampled_from((False, False, True)))
    def end_call(self, fails: bool) -> None:
        self.world.end_call(ErrorInfo(ErrorCode.NETWORK_ERROR, "cut") if fails else None)

    @precondition(lambda self: self.world.running_call is not None)
    @rule(calls=tool_calls, ends=st.booleans())
    def call_tools(self, calls: list[tuple[str, str, str]], ends: bool) -> None:
        self.world.say(
            *(
                ToolCallPart(index, call_id, name, arguments)
                for index, (call_id, name, arguments) in enumerate(calls)
            )
        )
        if ends:
            self.world.end_call()
            self.let_all_arrive()

    @precondition(lambda self: self.world.running_tools)
    @rule(data=st.data(), status=st.sampled_from(ToolStatus))
    def end_tool(self, data: st.DataObject, status: ToolStatus) -> None:
        self.world.end_tool(data.draw(st.sampled_from(sorted(self.world.running_tools))), status)

    @precondition(lambda self: self.world.leftovers)
    @rule()
    def end_leftover(self) -> None:
        self.world.end_leftover()

    @rule(fails=st.sampled_from((False, False, True)))
    def read_images_well_or_not(self, fails: bool) -> None:
        self.world.reading_fails = fails

    @precondition(lambda self: self.world.running_tools)
    @rule(data=st.data())
    def show_output(self, data: st.DataObject) -> None:
        self.world.show_output(data.draw(st.sampled_from(sorted(self.world.running_tools))))

    @rule(rival=rivals)
    def take_slot(self, rival: str) -> None:
        self.world.take_slot(rival)

    @rule(rival=rivals)
    def give_slot_back(self, rival: str) -> None:
        self.world.give_slot_back(rival)

    @rule(really=st.integers(0, 2), abort=st.booleans())
    def release(self, really: int, abort: bool) -> None:
        if not really:
            self.world.release(abort=abort)

    @rule(active=st.booleans())
    def look_at_it_or_away(self, active: bool) -> None:
        self.world.set_active(active=active)

    @rule(really=st.integers(0, 4))
    def restart_registry(self, really: int) -> None:
        if not really:
            self.world.forget()

    @precondition(lambda self: self.world.is_stored)
    @rule(really=st.integers(0, 3), fails=st.booleans())
    def crash(self, really: int, fails: bool) -> None:
        if not really:
            self.world.crash(ErrorInfo(ErrorCode.EXECUTION_FAILED, "a bug") if fails else None)

    @rule()
    def come_to_rest(self) -> None:
        self.world.run_to_rest()

    # -- somebody who comes and goes --

    @rule(name=st.sampled_from(("visitor", "guest")))
    def visit(self, name: str) -> None:
        """Come for the first time, or again with what was seen last."""
        if self.world.is_coming(name):
            return
        observer = self.world.observers.get(name)
        known = observer is not None and observer.record is not None
        self.world.subscribe(name, observer.cursor if observer is not None and known else None)

    @rule(name=st.sampled_from(("visitor", "guest")))
    def go_away(self, name: str) -> None:
        if name in self.world.subscribed and not self.world.is_coming(name):
            del self.world.subscribed[name]
            self.world.observers[name].follows = False
            self.world.step(SubscriberEnded(name))

    # -- what holds after every step --

    @invariant()
    def memory_and_store_agree(self) -> None:
        state = self.world.state
        if not state.ready or state.failure is not None:
            return
        replayed = self.world.mirror.read("s")
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
        if not state.ready or state.failure is not None:
            return
        seen: set[str | None] = {None}
        for message in state.tree:
            assert message.parent_id in seen
            seen.add(message.message_id)
        assert state.known_record().active_leaf_id in seen
        for message in state.tree:
            if message.provider_items:
                assert (message.role, message.state) == (Role.ASSISTANT, MessageState.COMPLETE)
        growing = None if state.turn is None else state.turn.answer
        assert all(
            message.state is not MessageState.STREAMING or message == growing for message in state.tree
        )

    @invariant()
    def every_branch_is_sendable(self) -> None:
        tree = self.world.state.tree
        parents = {message.parent_id for message in tree}
        for message in tree:
            if message.message_id not in parents:
                check_sendable(sendable(tree.branch(message.message_id)))

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

    @invariant()
    def slots_are_held_exactly_while_they_are_needed(self) -> None:
        world, turn = self.world, self.world.state.turn
        if turn is not None and turn.phase in HAS_SLOT:
            assert turn.granted
        if world.to_registry or world.from_registry or world.rebuild is not None or not world.state.ready:
            return
        if world.state.stopping:
            assert world.rebuild or world.pool.holds("s"), "given on before what was stopped has ended"
            return
        if turn is None:
            assert not world.pool.holds("s")
        elif turn.granted or turn.phase in HAS_SLOT_OR_PLACE:
            assert world.pool.holds("s")
        elif turn.phase is Phase.WAITING:
            assert not world.pool.holds("s"), "a slot while it waits for a person"

    @invariant()
    def accepted_questions_are_in_the_store_once(self) -> None:
        texts = self.stored_texts()
        for text, requests in self.submitted.items():
            answers = [self.world.answers.get(request) for request in requests]
            count = texts.count(text)
            assert count <= 1, "stored twice"
            if text in self.may_be_gone:
                continue
            if any(isinstance(answer, str) for answer in answers):
                assert count == 1, "acknowledged, and lost"
            elif not self.may_lose and all(isinstance(answer, ErrorInfo) for answer in answers):
                assert count == 0, "refused, and stored all the same"

    def stored_texts(self) -> list[str]:
        """What users said, in the conversation or on its way there."""
        if not self.world.is_stored:
            return []
        stored = self.world.stored()
        task = stored.record.task
        return [
            *(
                message.content.text
                for message in stored.messages
                if message.role is Role.USER and isinstance(message.content, Text)
            ),
            *(queued.question.text for queued in stored.record.queued),
            *(question.text for question in (() if task is None else task.steering)),
        ]

    @invariant()
    def folded_events_are_the_snapshot(self) -> None:
        world = self.world
        state = world.state
        quiet = state.saved_revision == state.revision and state.failure is None and state.ready
        if not quiet or world.passivated:
            return
        for observer in world.observers.values():
            if observer.follows and observer.record is not None:
                observer.check_against(state.snapshot())

    # -- in the end --

    def teardown(self) -> None:
        world = self.world
        world.run_to_rest()
        self.finish_what_waits()

        assert not world.unanswered, "somebody waits for ever"
        assert world.state.turn is None, world.state.turn.phase
        assert world.pool.status(loaded=0).running == 0
        assert world.pool.status(loaded=0).queued == 0

        before = self.snapshot()
        self.check_fresh_observer(world.observers[PERMANENT], before)
        world.release()
        world.run_to_rest()
        after = self.snapshot()
        assert after.messages == before.messages
        assert lasting(after.record) == lasting(before.record)
        for task_id, outcome in world.outcomes.items():
            self.check_outcome_survives(task_id, outcome)

    def finish_what_waits(self) -> None:
        """Nobody comes to approve what still waits for a person."""
        raise NotImplementedError

    def check_fresh_observer(self, observer: Observer, snapshot: SessionSnapshot) -> None:
        assert observer.follows
        observer.check_against(snapshot)

    def snapshot(self) -> SessionSnapshot:
        request = self.world.ask(GetSnapshot())
        self.world.run_to_rest()
        snapshot = self.world.answers[request]
        assert isinstance(snapshot, SessionSnapshot)
        return snapshot

    def check_outcome_survives(self, task_id: str, outcome: TaskOutcome) -> None:
        """Also after a reload, unless messages of the task were changed since."""
        if self.may_be_gone:
            return
        request = self.world.ask(WaitTurn(task_id))
        stored = self.world.answers[request]
        assert isinstance(stored, TaskOutcome)
        for kept in ("status", "prompt", "answer", "thought", "tool_calls", "usage", "error"):
            assert getattr(stored, kept) == getattr(outcome, kept), kept
