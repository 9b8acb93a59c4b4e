"""The scheduler of a session's tool calls alone: what runs, in which order, and by whose leave."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import hypothesis.strategies as st
import msgspec
import pytest
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
from actors.session.effects import Now
from actors.session.tool_scheduler import FINAL_CALLS, ToolPolicy, ToolScheduler, call_digest
from actors.tools import Tool, ToolContext, ToolRegistry

NOW = Now(datetime(2026, 1, 1, tzinfo=UTC), 0.0)
STOPPED = "stopped"


async def _never(_: Mapping[str, object], __: ToolContext) -> str:
    raise AssertionError("pure logic runs no tools")


def make_tool(
    name: str, *, group: str = "", needs_confirmation: bool = False, read_only: bool = False
) -> Tool:
    return Tool(
        name=name,
        description="",
        function=_never,
        group=group,
        needs_confirmation=needs_confirmation,
        read_only=read_only,
        parameters={"type": "object", "properties": {"n": {"type": "integer"}}},
    )


TOOLS = (
    make_tool("free"),
    make_tool("risky", needs_confirmation=True),
    make_tool("reads", read_only=True),
    make_tool("writes", group="files"),
    make_tool("deletes", group="files", needs_confirmation=True),
    make_tool("asks", group="web", needs_confirmation=True, read_only=True),
)
GROUPS = {tool.name: tool.group for tool in TOOLS}
RISKY = frozenset(tool.name for tool in TOOLS if tool.needs_confirmation)


def call(call_id: str, name: str, arguments: str = "{}") -> ToolCall:
    return ToolCall(call_id, name, arguments)


def scheduler_with(
    *calls: ToolCall, policy: ToolPolicy | None = None, tools: tuple[Tool, ...] = TOOLS
) -> ToolScheduler:
    scheduler = ToolScheduler(ToolRegistry(tools))
    scheduler.execute(calls, policy or by_mode(ApprovalMode.DEFAULT), NOW)
    return scheduler


def by_mode(
    mode: ApprovalMode, *, max_parallel: int = 10, work_mode: WorkMode = WorkMode.ACT
) -> ToolPolicy:
    return ToolPolicy(mode=mode, max_parallel=max_parallel, work_mode=work_mode)


def states(scheduler: ToolScheduler) -> dict[str, CallState]:
    return {record.call.call_id: record.state for record in scheduler.calls}


def executing(scheduler: ToolScheduler) -> list[str]:
    return [call_id for call_id, state in states(scheduler).items() if state is CallState.EXECUTING]


def end(scheduler: ToolScheduler, call_id: str, policy: ToolPolicy | None = None) -> None:
    policy = policy or by_mode(ApprovalMode.DEFAULT)
    assert scheduler.ended(call_id, ToolStatus.SUCCEEDED, f"of {call_id}", policy, NOW)


# -- what may run --


@pytest.mark.parametrize(
    ("mode", "safe", "risky"),
    [
        (ApprovalMode.DEFAULT, CallState.EXECUTING, CallState.AWAITING_APPROVAL),
        (ApprovalMode.AUTO, CallState.EXECUTING, CallState.EXECUTING),
        (ApprovalMode.ALWAYS_ASK, CallState.AWAITING_APPROVAL, CallState.AWAITING_APPROVAL),
        (ApprovalMode.DENY, CallState.CANCELLED, CallState.CANCELLED),
    ],
)
def test_a_mode_says_which_call_runs_waits_or_is_refused(
    mode: ApprovalMode, safe: CallState, risky: CallState
) -> None:
    calls = (call("s", "free"), call("r", "risky"), call("u", "unheard_of"))

    by_session = scheduler_with(*calls, policy=by_mode(mode))
    by_tool = scheduler_with(
        *calls,
        policy=ToolPolicy(mode=ApprovalMode.AUTO, tool_modes={"free": mode, "risky": mode}),
    )

    for scheduler in (by_session, by_tool):
        assert states(scheduler) == {"s": safe, "r": risky, "u": CallState.ERROR}


@pytest.mark.parametrize("mode", list(ApprovalMode))
@pytest.mark.parametrize("override", list(ApprovalMode))
def test_what_is_said_of_one_tool_is_said_of_no_other(mode: ApprovalMode, override: ApprovalMode) -> None:
    overridden = scheduler_with(
        call("1", "risky"), call("2", "asks"), policy=ToolPolicy(mode=mode, tool_modes={"risky": override})
    )

    alone = [
        scheduler_with(call("1", "risky"), policy=by_mode(override)),
        scheduler_with(call("2", "asks"), policy=by_mode(mode)),
    ]
    assert states(overridden) == states(alone[0]) | states(alone[1])


@pytest.mark.parametrize("mode", list(ApprovalMode))
def test_a_session_that_approves_everything_asks_nobody_and_still_denies(mode: ApprovalMode) -> None:
    policy = ToolPolicy(mode=mode, all_approved=True)
    scheduler = scheduler_with(call("1", "free"), call("2", "risky"), policy=policy)

    expected = CallState.CANCELLED if mode is ApprovalMode.DENY else CallState.EXECUTING
    assert set(states(scheduler).values()) == {expected}


def test_the_model_is_told_of_what_it_may_call_and_of_nothing_else() -> None:
    scheduler = ToolScheduler(ToolRegistry(TOOLS))
    forbidding = ToolPolicy(mode=ApprovalMode.DEFAULT, tool_modes={"risky": ApprovalMode.DENY})

    def names(policy: ToolPolicy) -> list[str]:
        return [tool.name for tool in scheduler.available(policy)]

    assert names(forbidding) == ["asks", "deletes", "free", "reads", "writes"]
    assert names(by_mode(ApprovalMode.DENY)) == []
    assert names(by_mode(ApprovalMode.AUTO, work_mode=WorkMode.PLAN)) == ["asks", "reads"]
    listed = ToolPolicy(mode=ApprovalMode.AUTO, names=("reads", "writes", "unheard_of"))
    assert names(listed) == ["reads", "writes"]
    assert names(msgspec.structs.replace(listed, work_mode=WorkMode.PLAN)) == ["reads"]


@pytest.mark.parametrize(
    ("made", "policy", "said"),
    [
        (call("c", "unheard_of"), by_mode(ApprovalMode.AUTO), "There is no tool 'unheard_of'"),
        (
            call("c", "free"),
            ToolPolicy(mode=ApprovalMode.AUTO, names=("reads",)),
            "There is no tool 'free'; known are: reads.",
        ),
        (
            call("c", "writes"),
            by_mode(ApprovalMode.AUTO, work_mode=WorkMode.PLAN),
            "writes changes things, and this is plan mode",
        ),
        (call("c", "free", '{"n": "x"}'), by_mode(ApprovalMode.AUTO), "do not fit the schema of 'free'"),
        (call("c", "free", '{"n"'), by_mode(ApprovalMode.AUTO), "not a JSON object"),
        (call("c", "risky", "[]"), by_mode(ApprovalMode.DEFAULT), "not a JSON object"),
    ],
)
def test_a_call_that_cannot_be_run_is_over_at_once_and_the_model_learns_why(
    made: ToolCall, policy: ToolPolicy, said: str
) -> None:
    (record,) = scheduler_with(made, policy=policy).calls

    assert record.state is CallState.ERROR
    assert record.approval is Approval.NOT_NEEDED
    assert said in record.output


def test_the_same_call_again_and_again_is_not_run_for_ever_and_a_new_turn_begins_anew() -> None:
    scheduler = ToolScheduler(ToolRegistry(TOOLS))
    policy = by_mode(ApprovalMode.AUTO, max_parallel=1_000)
    ran = 0
    for number in range(20):
        scheduler.execute((call(f"{number}", "free", '{"n": 1}'),), policy, NOW)
        ran += len(executing(scheduler))

    assert ran == 5
    (refused,) = scheduler.calls
    assert refused.state is CallState.ERROR
    assert "with the same arguments" in refused.output
    scheduler.execute((call("other", "free", '{"n": 2}'),), policy, NOW)
    assert executing(scheduler) == ["other"]
    scheduler.begin_turn()
    scheduler.execute((call("again", "free", '{"n": 1}'),), policy, NOW)
    assert executing(scheduler) == ["again"]


# -- in which order --


def test_a_limit_of_one_runs_calls_one_after_the_other() -> None:
    policy = by_mode(ApprovalMode.AUTO, max_parallel=1)
    scheduler = scheduler_with(*(call(f"{n}", "free") for n in range(3)), policy=policy)

    ran: list[list[str]] = []
    while running := executing(scheduler):
        ran.append(running)
        end(scheduler, running[0], policy)

    assert ran == [["0"], ["1"], ["2"]]


def test_of_a_group_one_runs_at_a_time_and_others_run_beside_it() -> None:
    policy = by_mode(ApprovalMode.AUTO)
    scheduler = scheduler_with(
        call("w1", "writes"), call("f", "free"), call("w2", "writes"), call("d", "deletes"), policy=policy
    )

    assert executing(scheduler) == ["w1", "f"]
    end(scheduler, "w1", policy)
    assert executing(scheduler) == ["f", "w2"]
    end(scheduler, "w2", policy)
    assert executing(scheduler) == ["f", "d"]


def test_a_group_waits_for_its_call_that_waits_for_a_person() -> None:
    policy = by_mode(ApprovalMode.DEFAULT)
    scheduler = scheduler_with(call("d", "deletes"), call("w", "writes"), call("f", "free"))
    assert executing(scheduler) == ["f"]
    end(scheduler, "f")
    assert not scheduler.may_begin(policy)

    scheduler.confirm("d", ConfirmationOutcome.APPROVED, policy, NOW, begin=True)
    assert executing(scheduler) == ["d"]
    end(scheduler, "d")
    assert executing(scheduler) == ["w"]


@pytest.mark.parametrize("how", ["denied", "cancelled"])
def test_a_group_goes_on_when_the_call_that_it_waited_for_is_not_to_be(how: str) -> None:
    policy = by_mode(ApprovalMode.DEFAULT)
    scheduler = scheduler_with(call("d", "deletes"), call("w", "writes"))

    if how == "denied":
        scheduler.confirm("d", ConfirmationOutcome.DENIED, policy, NOW, begin=False)
    else:
        scheduler.cancel(("d",), policy, STOPPED, NOW, begin=False)

    assert executing(scheduler) == []
    assert scheduler.may_begin(policy)
    scheduler.go_on(policy, NOW)
    assert executing(scheduler) == ["w"]


def test_results_are_in_the_order_of_the_calls() -> None:
    scheduler = scheduler_with(*(call(f"{n}", "free") for n in range(5)))
    for call_id in ("3", "0", "4", "1", "2"):
        end(scheduler, call_id)

    results = scheduler.take_results()

    assert [record.output for record in results] == ["of 0", "of 1", "of 2", "of 3", "of 4"]
    assert scheduler.calls == ()


# -- by whose leave --


@pytest.mark.parametrize(
    ("outcome", "let_go", "policy"),
    [
        (ConfirmationOutcome.APPROVED, {"r1"}, by_mode(ApprovalMode.DEFAULT)),
        (
            ConfirmationOutcome.ALWAYS_TOOL,
            {"r1", "r2"},
            ToolPolicy(mode=ApprovalMode.DEFAULT, tool_modes={"risky": ApprovalMode.AUTO}),
        ),
        (
            ConfirmationOutcome.ALWAYS_SESSION,
            {"r1", "r2", "a"},
            ToolPolicy(mode=ApprovalMode.DEFAULT, all_approved=True),
        ),
    ],
)
def test_an_outcome_lets_go_what_it_says(
    outcome: ConfirmationOutcome, let_go: set[str], policy: ToolPolicy
) -> None:
    scheduler = scheduler_with(call("r1", "risky"), call("a", "asks"), call("r2", "risky"))

    scheduler.confirm("r1", outcome, policy, NOW, begin=True)

    assert set(executing(scheduler)) == let_go
    approved = {record.call.call_id for record in scheduler.calls if record.approval is Approval.APPROVED}
    assert approved == let_go


def test_what_a_person_denies_does_not_run_and_the_others_wait_on() -> None:
    scheduler = scheduler_with(call("r1", "risky"), call("r2", "risky"))

    scheduler.confirm("r1", ConfirmationOutcome.DENIED, by_mode(ApprovalMode.DEFAULT), NOW, begin=True)

    assert states(scheduler) == {"r1": CallState.CANCELLED, "r2": CallState.AWAITING_APPROVAL}
    assert scheduler.calls[0].approval is Approval.DENIED


@pytest.mark.parametrize("changed", [call("r", "risky", '{"n": 2}'), call("r", "deletes", '{"n": 1}')])
def test_an_approved_call_that_was_changed_since_is_not_run(changed: ToolCall) -> None:
    policy = by_mode(ApprovalMode.DEFAULT)
    first = scheduler_with(call("r", "risky", '{"n": 1}'))
    (record,) = first.calls
    second = ToolScheduler(ToolRegistry(TOOLS))
    second.restore((msgspec.structs.replace(record, call=changed),))

    second.confirm("r", ConfirmationOutcome.APPROVED, policy, NOW, begin=True)

    (refused,) = second.calls
    assert refused.state is CallState.ERROR
    assert "not the call that was approved" in refused.output
    assert second.take_begun(second.calls) == ()


def test_digests_tell_name_and_arguments_apart() -> None:
    digests = {
        call_digest(call("1", name, arguments))
        for name, arguments in (("a", "b"), ("ab", ""), ("a", "b "), ("a", ""), ("", "ab"))
    }

    assert len(digests) == 5


# -- once --


def test_a_call_is_begun_once_and_only_when_the_store_knows() -> None:
    scheduler = scheduler_with(call("1", "free"), call("2", "free"))
    durable = scheduler.calls

    assert scheduler.take_begun(()) == ()
    assert [begun.call_id for begun in scheduler.take_begun(durable[:1])] == ["1"]
    assert [begun.call_id for begun in scheduler.take_begun(durable)] == ["2"]
    assert scheduler.take_begun(durable) == ()


def test_a_call_that_was_stopped_before_the_store_knew_is_never_begun() -> None:
    scheduler = scheduler_with(call("1", "free"), call("2", "free"))
    durable = scheduler.calls

    stopped = scheduler.cancel(("1", "unknown"), by_mode(ApprovalMode.DEFAULT), STOPPED, NOW, begin=True)

    assert stopped == ("1",)
    assert [begun.call_id for begun in scheduler.take_begun(durable)] == ["2"]
    assert not scheduler.ended("1", ToolStatus.SUCCEEDED, "late", by_mode(ApprovalMode.DEFAULT), NOW)
    assert scheduler.calls[0].output == STOPPED


def test_what_is_stopped_makes_room_for_what_waits() -> None:
    policy = by_mode(ApprovalMode.AUTO, max_parallel=1)
    scheduler = scheduler_with(call("1", "free"), call("2", "free"), policy=policy)

    scheduler.cancel(("1",), policy, STOPPED, NOW, begin=True)

    assert executing(scheduler) == ["2"]


def test_one_registry_serves_many_schedulers_that_know_nothing_of_each_other() -> None:
    registry = ToolRegistry(TOOLS)
    one, other = ToolScheduler(registry), ToolScheduler(registry)
    one.execute((call("c", "risky"),), by_mode(ApprovalMode.AUTO), NOW)
    other.execute((call("c", "risky"),), by_mode(ApprovalMode.ALWAYS_ASK), NOW)

    end(one, "c")

    assert states(one) == {"c": CallState.SUCCESS}
    assert states(other) == {"c": CallState.AWAITING_APPROVAL}


# -- in every order --


class SchedulerMachine(RuleBasedStateMachine):
    """The store is as slow as chance will have it, and people say anything."""

    @initialize(
        mode=st.sampled_from((*ApprovalMode, ApprovalMode.DEFAULT)),
        work_mode=st.sampled_from((WorkMode.ACT, WorkMode.ACT, WorkMode.PLAN)),
        max_parallel=st.integers(1, 4),
        tool_modes=st.dictionaries(
            st.sampled_from(sorted(GROUPS)), st.sampled_from(ApprovalMode), max_size=2
        ),
        names=st.none() | st.lists(st.sampled_from(sorted(GROUPS)), min_size=3, unique=True),
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
        self.batches = 0

    # -- what happens --

    @precondition(lambda self: not self.scheduler.calls)
    @rule(
        calls=st.lists(
            st.tuples(
                st.sampled_from((*sorted(GROUPS), "writes", "deletes", "unheard_of")),
                st.sampled_from(("{}", "", '{"n": 1}', '{"n": 2}', '{"n": "x"}', "[", "null")),
            ),
            min_size=1,
            max_size=8,
        ),
        new_turn=st.booleans(),
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
            self.has_slot = False

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
        if stopped:
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
            else:
                break
        assert all(one.state in FINAL_CALLS for one in self.scheduler.calls), states(self.scheduler)

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
        assert len(executing(self.scheduler)) <= self.policy.max_parallel

    @invariant()
    def of_a_group_one_is_executed_and_all_before_it_are_over(self) -> None:
        open_groups: set[str] = set()
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
            assert self.scheduler.has(CallState.EXECUTING)
        if not self.has_slot and not self.waiting() and self.scheduler.has(CallState.SCHEDULED):
            assert self.scheduler.may_begin(self.policy)

    @invariant()
    def room_is_used(self) -> None:
        if self.has_slot:
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
