"""The scheduler of tool calls under a store that is slow and people who say anything."""

from __future__ import annotations

import hypothesis.strategies as st
import msgspec
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from actors.conversation import Approval, ToolCall, ToolStatus
from actors.records import ApprovalMode, CallRecord, CallState, ConfirmationOutcome, WorkMode
from actors.session.tool_scheduler import FINAL_CALLS, ToolPolicy, ToolScheduler, call_digest
from actors.tools import ToolRegistry
from tests.actors.session.scheduling import GROUPS, NOW, RISKY, STOPPED, TOOLS, call, executing, states


class SchedulerMachine(RuleBasedStateMachine):
    @initialize(
        mode=st.sampled_from((*ApprovalMode, ApprovalMode.DEFAULT)),
        work_mode=st.sampled_from((WorkMode.ACT, WorkMode.ACT, WorkMode.PLAN)),
        max_parallel=st.integers(1, 4),
        tool_modes=st.dictionaries(
            st.sampled_from(sorted(GROUPS)), st.sampled_from(ApprovalMode), max_size=2
        ),
        names=st.none() | st.none() | st.lists(st.sampled_from(sorted(GROUPS)), min_size=3, unique=True),
    )
    def begin(
        self,
        mode: ApprovalMode,
        work_mode: WorkMode,
        max_parallel: int,
        tool_modes: dict[str, ApprovalMode],
        names: list[str] | None,
    ) -> None:
        self.policy = ToolPolicy(
            mode=mode,
            work_mode=work_mode,
            max_parallel=max_parallel,
            tool_modes=tool_modes,
            names=None if names is None else tuple(names),
        )
        self.scheduler = ToolScheduler(ToolRegistry(TOOLS))
        self.has_slot = True
        self.asked: list[ToolCall] = []
        self.durable: tuple[CallRecord, ...] = ()
        self.written: list[tuple[CallRecord, ...]] = []
        self.begun: list[str] = []
        self.approved: set[str] = set()
        self.denied: set[str] = set()
        self.stopped: set[str] = set()
        self.ran: dict[str, int] = {}  # by digest, in this turn
        self.leftovers: dict[str, str] = {}  # names of tools that were stopped, and have not ended
        self.batches = 0

    # -- what happens --

    @precondition(lambda self: not self.scheduler.calls)
    @rule(
        calls=st.lists(
            st.tuples(
                st.sampled_from((*sorted(GROUPS), "writes", "deletes", "unheard_of")),
                st.sampled_from(("{}", "{}", "", '{"n": 1}', '{"n": 1}', '{"n": 2}', '{"n": "x"}', "[")),
            ),
            min_size=1,
            max_size=8,
        ),
        new_turn=st.sampled_from((False, False, True)),
    )
    def execute(self, calls: list[tuple[str, str]], new_turn: bool) -> None:
        self.batches += 1
        if new_turn:
            self.scheduler.begin_turn()
            self.ran = {}
        self.asked = [
            call(f"{self.batches}.{number}", name, arguments)
            for number, (name, arguments) in enumerate(calls)
        ]
        self.durable, self.written, self.begun = (), [], []
        self.approved, self.denied, self.stopped = set(), set(), set()
        self.has_slot = True
        self.scheduler.execute(self.asked, self.policy, NOW)
        self.write()

    def write(self) -> None:
        self.written.append(self.scheduler.calls)
        self.give_slot_back_to_wait()

    def give_slot_back_to_wait(self) -> None:
        """As the session does: who can do nothing but wait for a person does so without a slot."""
        if not self.scheduler.has(CallState.EXECUTING) and self.scheduler.has(CallState.AWAITING_APPROVAL):
            if self.leftovers and self.scheduler.has(CallState.SCHEDULED):
                return
            self.has_slot = False
            self.scheduler.forget_stopped()
            self.leftovers.clear()

    @rule()
    def commit(self) -> None:
        """The store takes what it was told first, and what has begun there is run."""
        if not self.written or not self.scheduler.calls:
            return
        self.durable = self.written.pop(0)
        for begun in self.scheduler.take_begun(self.durable):
            assert begun.call_id not in self.begun, "begun twice"
            record = next(one for one in self.durable if one.call == begun)
            assert record.state is CallState.EXECUTING, "begun before the store knew"
            assert begun.call_id not in self.stopped | self.denied
            self.begun.append(begun.call_id)
            digest = call_digest(begun)
            self.ran[digest] = self.ran.get(digest, 0) + 1

    @precondition(lambda self: self.has_slot and self.running())
    @rule(data=st.data(), status=st.sampled_from(ToolStatus))
    def end_one(self, data: st.DataObject, status: ToolStatus) -> None:
        call_id = data.draw(st.sampled_from(self.running()))
        assert self.scheduler.ended(call_id, status, call_id, self.policy, NOW)
        self.write()

    @rule(data=st.data())
    def end_late(self, data: st.DataObject) -> None:
        over = [one.call.call_id for one in self.scheduler.calls if one.state in FINAL_CALLS]
        call_id = data.draw(st.sampled_from(["unknown", *over]))
        before = self.scheduler.calls
        assert not self.scheduler.ended(call_id, ToolStatus.SUCCEEDED, "late", self.policy, NOW)
        assert self.scheduler.calls == before

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), outcome=st.sampled_from(ConfirmationOutcome))
    def confirm(self, data: st.DataObject, outcome: ConfirmationOutcome) -> None:
        waiting = self.waiting()
        call_id = data.draw(st.sampled_from(waiting))
        name = next(one.name for one in self.asked if one.call_id == call_id)
        let_go = {call_id}
        match outcome:
            case ConfirmationOutcome.DENIED:
                self.denied.add(call_id)
                let_go = set[str]()
            case ConfirmationOutcome.APPROVED:
                pass
            case ConfirmationOutcome.ALWAYS_TOOL:
                modes = {**self.policy.tool_modes, name: ApprovalMode.AUTO}
                self.policy = msgspec.structs.replace(self.policy, tool_modes=modes)
                let_go |= {one.call_id for one in self.asked if one.call_id in waiting and one.name == name}
            case ConfirmationOutcome.ALWAYS_SESSION:
                self.policy = msgspec.structs.replace(self.policy, all_approved=True)
                let_go |= set(waiting)
        self.scheduler.confirm(call_id, outcome, self.policy, NOW, begin=self.has_slot)
        assert set(waiting) - set(self.waiting()) == let_go | ({call_id} & self.denied)
        self.approved |= let_go
        self.write()

    @precondition(lambda self: not self.has_slot)
    @rule()
    def get_slot(self) -> None:
        if self.scheduler.may_begin(self.policy) or not self.waiting():
            self.has_slot = True
            self.scheduler.go_on(self.policy, NOW)
            self.write()

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        ids = [one.call_id for one in self.asked] if self.scheduler.calls else []
        chosen = data.draw(st.none() | st.lists(st.sampled_from(["unknown", *ids]), max_size=3))
        open_ones = {one.call.call_id for one in self.scheduler.calls if one.state not in FINAL_CALLS}
        expected = open_ones if chosen is None else open_ones & set(chosen)
        stopped = self.scheduler.cancel(chosen, self.policy, STOPPED, NOW, begin=self.has_slot)
        assert set(stopped) == expected
        for one in self.scheduler.calls:
            if one.call.call_id in expected:
                assert (one.state, one.output) == (CallState.CANCELLED, STOPPED)
        self.stopped |= expected
        if self.has_slot:
            at_work = expected & set(self.begun)
            self.leftovers |= {one.call_id: one.name for one in self.asked if one.call_id in at_work}
        assert set(self.scheduler.at_work) == set(self.leftovers)
        if stopped:
            self.write()

    @precondition(lambda self: self.scheduler.at_work)
    @rule(data=st.data())
    def end_stopped(self, data: st.DataObject) -> None:
        assert not self.scheduler.stopped("unknown")
        call_id = data.draw(st.sampled_from(self.scheduler.at_work))
        assert self.scheduler.stopped(call_id)
        self.leftovers.pop(call_id)
        if self.has_slot:
            self.scheduler.go_on(self.policy, NOW)
            self.write()

    @precondition(lambda self: not self.has_slot and self.scheduler.calls)
    @rule()
    def restart(self) -> None:
        """Another incarnation takes what the store has of a turn that waits."""
        while self.written:
            self.commit()
        self.scheduler = ToolScheduler(ToolRegistry(TOOLS))
        self.scheduler.restore(self.durable)
        self.ran = {}

    @precondition(lambda self: self.scheduler.calls)
    @rule()
    def take_results(self) -> None:
        if all(one.state in FINAL_CALLS for one in self.scheduler.calls):
            results = self.scheduler.take_results()
            assert [one.call for one in results] == self.asked
            assert all(one.ended_at is not None for one in results)

    @precondition(lambda self: self.scheduler.calls)
    @rule()
    def come_to_the_end(self) -> None:
        """When everything that begins ends, and everybody answers, all calls are over."""
        for _ in range(100):
            while self.written:
                self.commit()
            if self.running():
                assert self.scheduler.ended(self.running()[0], ToolStatus.SUCCEEDED, "", self.policy, NOW)
                self.write()
            elif waiting := self.waiting():
                self.scheduler.confirm(
                    waiting[0], ConfirmationOutcome.APPROVED, self.policy, NOW, begin=self.has_slot
                )
                self.approved.add(waiting[0])
                self.write()
                self.get_slot()
            elif not self.has_slot:
                self.get_slot()
            elif self.leftovers:
                self.scheduler.stopped(self.leftovers.popitem()[0])
                self.scheduler.go_on(self.policy, NOW)
                self.write()
            else:
                break
        assert all(one.state in FINAL_CALLS for one in self.scheduler.calls), states(self.scheduler)
        self.take_results()

    def running(self) -> list[str]:
        """What was begun, and is not over."""
        return [call_id for call_id in executing(self.scheduler) if call_id in self.begun]

    def waiting(self) -> list[str]:
        return [
            one.call.call_id for one in self.scheduler.calls if one.state is CallState.AWAITING_APPROVAL
        ]

    # -- what holds --

    @invariant()
    def no_more_are_executed_than_the_session_allows(self) -> None:
        assert len(executing(self.scheduler)) + len(self.leftovers) <= self.policy.max_parallel

    @invariant()
    def of_a_group_one_is_executed_and_all_before_it_are_over(self) -> None:
        open_groups = {GROUPS[name] for name in self.leftovers.values()}
        for one in self.scheduler.calls:
            group = GROUPS.get(one.call.name, "")
            if one.state is CallState.EXECUTING and group:
                assert group not in open_groups
            if one.state not in FINAL_CALLS:
                open_groups.add(group)

    @invariant()
    def nothing_is_begun_without_a_slot(self) -> None:
        if not self.has_slot:
            assert not executing(self.scheduler)

    @invariant()
    def there_is_always_somebody_to_wait_for(self) -> None:
        """Nothing is scheduled for ever."""
        if self.has_slot and self.scheduler.has(CallState.SCHEDULED):
            assert self.scheduler.has(CallState.EXECUTING) or self.leftovers
        if not self.has_slot and not self.waiting() and self.scheduler.has(CallState.SCHEDULED):
            assert self.scheduler.may_begin(self.policy)

    @invariant()
    def room_is_used(self) -> None:
        if self.has_slot and not self.leftovers:
            assert not self.scheduler.may_begin(self.policy)

    @invariant()
    def nothing_runs_that_was_not_allowed(self) -> None:
        for one in self.scheduler.calls:
            if one.state is not CallState.EXECUTING:
                continue
            name = one.call.name
            assert self.policy.names is None or name in self.policy.names
            assert self.policy.work_mode is WorkMode.ACT or name in ("reads", "asks")
            mode = self.policy.tool_modes.get(name, self.policy.mode)
            assert mode is not ApprovalMode.DENY
            asks = mode is ApprovalMode.ALWAYS_ASK or (mode is ApprovalMode.DEFAULT and name in RISKY)
            if asks and not self.policy.all_approved:
                assert one.call.call_id in self.approved
            assert (one.approval is Approval.APPROVED) == (one.call.call_id in self.approved)

    @invariant()
    def the_order_is_that_of_the_model(self) -> None:
        if self.scheduler.calls:
            assert [one.call for one in self.scheduler.calls] == self.asked

    @invariant()
    def no_call_is_run_over_and_over(self) -> None:
        assert all(times <= 5 for times in self.ran.values())


def test_a_scheduler_keeps_its_promises_in_every_order() -> None:
    run_state_machine_as_test(
        SchedulerMachine,
        settings=settings(
            max_examples=150,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
        ),
    )
