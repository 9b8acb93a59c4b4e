"""What a session lets its tools do: by its modes, by what people have said, and by whose turn it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from trio.testing import wait_all_tasks_blocked

from actors.agents import AgentDefinition
from actors.catalog import MemoryAgentService
from actors.conversation import Approval, SystemControl, ToolStatus
from actors.engine import Engine
from actors.errors import ErrorCode
from actors.models.base import ModelRequest
from actors.models.scripted import say
from actors.records import ApprovalMode, ChatMode, ConfirmationOutcome, SessionStatus, WorkMode
from actors.session.protocol import NewSession, SessionChanges
from actors.settings import EngineSettings
from tests.actors.engine.tool_stage import (
    AGENT,
    Toolbox,
    awaiting,
    call,
    open_box,
    results,
    sent_results,
    wants,
)
from tests.actors.session.stage import code_of, refusal_of

RISKY = wants(call("c", "risky"))
WAITS = SessionStatus.WAITING_CONFIRMATION
DONE = SessionStatus.COMPLETED


def names(request: ModelRequest) -> list[str]:
    return [tool.name for tool in request.tools]


async def confirm(engine: Engine, outcome: ConfirmationOutcome, session_id: str = "s") -> SessionStatus:
    """Decide of the one call that waits; how its turn ends."""
    (waiting,) = await awaiting(engine, session_id)
    task_id = await engine.confirm_tool_call(session_id, waiting.call.call_id, outcome)
    return (await engine.wait_turn(session_id, task_id)).status


async def test_a_tool_that_is_always_approved_is_asked_for_no_more_and_others_still_are(
    tmp_path: Path,
) -> None:
    box = Toolbox()
    modes = {"quick": ApprovalMode.ALWAYS_ASK}
    new = NewSession(mode=ChatMode.AGENT, tool_modes=modes)
    settings = EngineSettings(store=str(tmp_path / "chats.db"))
    async with open_box(
        [RISKY, say("once"), RISKY], settings=settings, sessions={"s": new}, tools=box.tools
    ) as (engine, _):
        assert (await engine.run_turn("s", "go")).status is WAITS
        assert await confirm(engine, ConfirmationOutcome.ALWAYS_TOOL) is DONE
        assert (await engine.run_turn("s", "again")).status is DONE
        record = (await engine.snapshot("s")).record
        assert record.tool_modes == {**modes, "risky": ApprovalMode.AUTO}

    scripts = [RISKY, say("thrice"), wants(call("q", "quick"))]
    async with open_box(scripts, settings=settings, sessions={}, tools=box.tools) as (engine, _):
        assert (await engine.run_turn("s", "after a restart")).status is DONE
        assert (await engine.run_turn("s", "and another tool?")).status is WAITS

    assert box.runs == [("s", "c")] * 3


async def test_a_session_in_which_everything_is_approved_asks_no_more_until_it_gets_another_mode() -> None:
    box = Toolbox()
    sessions = {"s": AGENT, "other": AGENT}
    ask_all = NewSession(mode=ChatMode.AGENT, approval_mode=ApprovalMode.ALWAYS_ASK)
    scripts = [RISKY, say("one"), wants(call("q", "quick"), call("r", "risky")), say("both"), RISKY]
    scripts.append(wants(call("q2", "quick")))
    async with open_box(scripts, tools=box.tools, sessions={**sessions, "s": ask_all}) as (engine, _):
        await engine.run_turn("s", "go")
        assert await confirm(engine, ConfirmationOutcome.ALWAYS_SESSION) is DONE
        await engine.release_session("s")

        assert (await engine.run_turn("s", "again")).status is DONE
        assert (await engine.run_turn("other", "and here?")).status is WAITS
        await engine.update_session("s", SessionChanges(approval_mode=ApprovalMode.ALWAYS_ASK))
        assert (await engine.run_turn("s", "and now?")).status is WAITS

    assert sorted(box.runs) == [("s", "c"), ("s", "q"), ("s", "r")]


async def test_what_waits_beside_it_is_let_go_with_an_outcome_that_says_so() -> None:
    box = Toolbox()
    batch = wants(call("1", "risky"), call("2", "risky"))
    async with open_box([batch], tools=box.tools) as (engine, model):
        waiting = await engine.run_turn("s", "go")
        await engine.confirm_tool_call("s", "2", ConfirmationOutcome.ALWAYS_TOOL)
        assert (await engine.wait_turn("s", waiting.task_id)).status is DONE

    assert sorted(box.runs) == [("s", "1"), ("s", "2")]
    assert sent_results(model.requests[1]) == ["1", "2"]


async def test_who_comes_late_with_more_than_was_said_is_told_so() -> None:
    async with open_box([RISKY], tools=Toolbox().tools) as (engine, _):
        await engine.run_turn("s", "go")
        assert await confirm(engine, ConfirmationOutcome.APPROVED) is DONE

        for late in (ConfirmationOutcome.ALWAYS_TOOL, ConfirmationOutcome.ALWAYS_SESSION):
            assert await code_of(engine.confirm_tool_call("s", "c", late)) is ErrorCode.CONFLICT
        record = (await engine.snapshot("s")).record

    assert (record.tool_modes, record.all_approved) == ({}, False)


@pytest.mark.parametrize("outcome", [ConfirmationOutcome.ALWAYS_TOOL, ConfirmationOutcome.ALWAYS_SESSION])
async def test_an_outcome_said_twice_is_answered_alike(outcome: ConfirmationOutcome) -> None:
    async with open_box([RISKY], tools=Toolbox().tools) as (engine, _):
        waiting = await engine.run_turn("s", "go")
        answers = {await engine.confirm_tool_call("s", "c", outcome)}
        await engine.wait_turn("s", waiting.task_id)
        answers.add(await engine.confirm_tool_call("s", "c", outcome))

    assert answers == {waiting.task_id}


async def test_a_person_approves_the_call_that_they_saw_and_no_other() -> None:
    box = Toolbox()
    async with open_box([RISKY], tools=box.tools) as (engine, _):
        waiting = await engine.run_turn("s", "go")
        (seen,) = waiting.pending_calls
        allow = ConfirmationOutcome.APPROVED

        refused = await refusal_of(engine.confirm_tool_call("s", "c", allow, digest="of another one"))
        assert refused.code is ErrorCode.CONFLICT
        assert "'c'" in refused.message
        assert box.runs == []
        await engine.confirm_tool_call("s", "c", allow, digest=seen.digest)
        assert (await engine.wait_turn("s", waiting.task_id)).status is DONE


@pytest.mark.parametrize("state", ["free", "stopped", "over"])
async def test_a_call_that_waits_for_nobody_takes_no_decision(state: str) -> None:
    box = Toolbox()
    asked = wants(call("f", "held"), call("r", "risky"))
    async with open_box([asked], tools=box.tools) as (engine, _):
        task_id = await engine.submit_turn("s", "go")
        await wait_all_tasks_blocked()
        call_id = "r" if state == "stopped" else "f"
        if state == "stopped":
            await engine.cancel_tool_calls("s", ["r"])
        if state == "over":
            await engine.abort_turn("s")
            await engine.wait_turn("s", task_id)

        refused = await refusal_of(engine.confirm_tool_call("s", call_id, ConfirmationOutcome.APPROVED))

        assert refused.code is ErrorCode.CONFLICT
        assert "waits for nobody" in refused.message
        await engine.abort_turn("s")


async def test_one_registry_serves_sessions_that_allow_different_things() -> None:
    box = Toolbox()

    def session(mode: ApprovalMode) -> NewSession:
        return NewSession(mode=ChatMode.AGENT, approval_mode=mode)

    sessions = {mode.value: session(mode) for mode in (ApprovalMode.AUTO, ApprovalMode.DENY)}
    sessions["asks"] = session(ApprovalMode.DEFAULT)
    async with open_box(
        [RISKY, say("ran"), RISKY, say("denied"), RISKY], tools=box.tools, sessions=sessions
    ) as (
        engine,
        model,
    ):
        assert (await engine.run_turn("auto", "go")).answer == "ran"
        assert (await engine.run_turn("deny", "go")).answer == "denied"
        assert (await engine.run_turn("asks", "go")).status is WAITS
        denied = results(await engine.snapshot("deny"))["c"]

    assert box.runs == [("auto", "c")]
    assert denied.status is ToolStatus.CANCELLED
    assert denied.approval is Approval.DENIED
    assert names(model.requests[0]) == names(model.requests[-1]) != []
    assert names(model.requests[2]) == [], "a forbidden tool is not offered"


async def test_one_forbidden_tool_is_not_offered_and_the_others_are() -> None:
    new = NewSession(mode=ChatMode.AGENT, tool_modes={"risky": ApprovalMode.DENY})
    async with open_box(sessions={"s": new}, tools=Toolbox().tools) as (engine, model):
        await engine.run_turn("s", "go")

    assert names(model.requests[0]) == ["first", "held", "quick", "reads", "second", "slow"]


async def test_plan_mode_offers_what_changes_nothing_says_so_and_refuses_the_rest() -> None:
    box = Toolbox()
    new = NewSession(mode=ChatMode.AGENT, work_mode=WorkMode.PLAN, system_prompt="Be kind.")
    both = wants(call("1", "quick"), call("2", "reads"))
    async with open_box(
        [both, say("the plan"), both, say("done")], sessions={"s": new}, tools=box.tools
    ) as (
        engine,
        model,
    ):
        await engine.run_turn("s", "plan it")
        planned = results(await engine.snapshot("s"))
        changed = await engine.update_session("s", SessionChanges(work_mode=WorkMode.ACT))
        await engine.run_turn("s", "do it")

    plan, act = model.requests[0], model.requests[2]
    assert names(plan) == ["reads"]
    assert "quick" in names(act)
    assert plan.system_prompt.startswith("Be kind.\n\nYou are in plan mode.")
    assert act.system_prompt == "Be kind."
    assert box.runs[0] == ("s", "2")
    assert sorted(box.runs[1:]) == [("s", "1"), ("s", "2")]
    assert planned["1"].status is ToolStatus.FAILED
    assert "this is plan mode" in planned["1"].output
    assert changed.branch[-1].content == SystemControl("work_mode", "plan", "act")


async def test_an_agent_is_offered_its_own_tools_and_may_call_no_other() -> None:
    box = Toolbox()
    agents = MemoryAgentService([AgentDefinition(agent_id="reader", tools=("reads", "risky"))])
    both = wants(call("1", "quick"), call("2", "reads"))
    async with open_box([both], tools=box.tools, catalog=agents) as (engine, model):
        outcome = await engine.run_turn("s", "go", executor_id="reader")
        refused = results(await engine.snapshot("s"))["1"]
        await engine.run_turn("s", "and you?")

    assert outcome.status is DONE
    assert names(model.requests[0]) == ["reads", "risky"]
    assert len(names(model.requests[-1])) == len(box.tools)
    assert refused.output == "There is no tool 'quick'; known are: reads, risky."
    assert box.runs == [("s", "2")]


async def test_a_chat_offers_no_tools_and_runs_none() -> None:
    box = Toolbox()
    async with open_box([wants(call("1", "quick"))], sessions={"s": NewSession()}, tools=box.tools) as (
        engine,
        model,
    ):
        outcome = await engine.run_turn("s", "go")

    assert (outcome.status, names(model.requests[0]), box.runs) == (DONE, [], [])


async def test_an_agent_that_may_run_nothing_runs_nothing_whatever_its_session_allows() -> None:
    bound = AgentDefinition(agent_id="bound", approval_mode=ApprovalMode.DENY)
    new = NewSession(mode=ChatMode.AGENT, tool_modes={"risky": ApprovalMode.AUTO})
    box = Toolbox()
    async with open_box(
        [RISKY, say("no")],
        sessions={"s": new},
        tools=box.tools,
        catalog=MemoryAgentService(agents=[bound]),
    ) as (engine, model):
        outcome = await engine.run_turn("s", "go", executor_id="bound")
        assert outcome.status is DONE
    assert names(model.requests[0]) == []
    assert box.runs == []
