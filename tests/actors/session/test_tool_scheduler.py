"""The scheduler of a session's tool calls alone: what runs, in which order, and by whose leave."""

from __future__ import annotations

import msgspec
import pytest

from actors.conversation import Approval, ToolCall, ToolStatus
from actors.records import ApprovalMode, CallState, ConfirmationOutcome, WorkMode
from actors.session.tool_scheduler import ToolPolicy, ToolScheduler, call_digest
from actors.tools import ToolRegistry
from tests.actors.session.scheduling import (
    NOW,
    STOPPED,
    TOOLS,
    by_mode,
    call,
    end,
    executing,
    scheduler_with,
    states,
)

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


def test_a_call_that_was_changed_takes_nobody_s_room() -> None:
    policy = by_mode(ApprovalMode.AUTO, max_parallel=1)
    (record, free) = scheduler_with(call("w", "writes"), call("v", "writes"), policy=policy).calls
    scheduler = ToolScheduler(ToolRegistry(TOOLS))
    changed = msgspec.structs.replace(record, call=call("w", "deletes"), state=CallState.SCHEDULED)
    scheduler.restore((changed, free))

    scheduler.go_on(policy, NOW)

    assert states(scheduler) == {"w": CallState.ERROR, "v": CallState.EXECUTING}


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
