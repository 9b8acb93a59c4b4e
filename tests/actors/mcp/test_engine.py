"""MCP servers of an engine, through turns of its sessions."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio

from actors.connections import McpServer
from actors.conversation import FinishPart, FinishReason, Role, ToolCallPart, ToolResult
from actors.engine import open_engine, start_engine
from actors.errors import EngineError, ErrorCode
from actors.mcp.protocol import McpState
from actors.models.base import Emit, ModelRequest
from actors.models.scripted import Gate, Say, Script, ScriptedModel, say
from actors.records import ApprovalMode, ChatMode, ConfirmationOutcome, SessionStatus
from actors.session.protocol import NewSession
from actors.settings import EngineSettings
from actors.tools import ToolProblem, tool
from tests.actors.mcp.world import crooked, is_running

AGENT = NewSession(mode=ChatMode.AGENT)
MANY = EngineSettings(max_concurrent=100, max_loaded=200, max_queue_size=200)


def _use_echo(request: ModelRequest) -> Script:
    last = request.messages[-1].content
    if isinstance(last, ToolResult):
        return say(f"it said {last.output}")
    if not any(tool.name == "s_echo" for tool in request.tools):
        return say("there is no such tool")
    text = getattr(last, "text", "")
    return (
        Say(
            (ToolCallPart(0, "c1", "s_echo", f'{{"text": "{text}"}}'), FinishPart(FinishReason.TOOL_CALLS))
        ),
    )


def _use_die(request: ModelRequest) -> Script:
    last = request.messages[-1].content
    if isinstance(last, ToolResult):
        return say(f"{last.status}: {last.output}")
    return (Say((ToolCallPart(0, "c1", "s_die", "{}"), FinishPart(FinishReason.TOOL_CALLS))),)


async def test_a_hundred_sessions_use_one_process_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    model = ScriptedModel(otherwise=_use_echo)
    answers: dict[str, str] = {}
    async with open_engine(
        MANY, model_for=lambda _: model, mcp_servers=[crooked("family", notes)]
    ) as engine:
        (health,) = await engine.mcp_health(settled=True)
        assert health.state is McpState.READY

        async def session(number: int) -> None:
            created = await engine.create_session(AGENT)
            outcome = await engine.run_turn(created.record.session_id, f"number {number}")
            assert outcome.status is SessionStatus.COMPLETED
            answers[f"number {number}"] = outcome.answer

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(session, number)
        (health,) = await engine.mcp_health()
        assert (health.calls, health.failures) == (100, 0)
    assert answers == {f"number {number}": f"it said number {number}" for number in range(100)}
    lines = notes.read_text().splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["pid", "child"]
    assert not any(is_running(int(line.split()[1])) for line in lines[:2])
    assert sum(line.startswith("pid") for line in lines) == 1


async def test_a_server_of_the_catalog_comes_and_goes() -> None:
    model = ScriptedModel(otherwise=_use_echo)
    async with open_engine(model_for=lambda _: model) as engine:
        session_id = (await engine.create_session(AGENT)).record.session_id
        assert (await engine.run_turn(session_id, "a")).answer == "there is no such tool"
        await engine.save_mcp_server(crooked("well"))
        while not await engine.mcp_health(settled=True):
            await trio.lowlevel.checkpoint()  # the news is on its way
        assert (await engine.run_turn(session_id, "b")).answer == "it said b"
        await engine.delete_mcp_server("s")
        assert (await engine.run_turn(session_id, "c")).answer == "there is no such tool"
        assert await engine.mcp_health() == ()


async def test_a_server_is_registered_and_a_broken_one_harms_nobody() -> None:
    model = ScriptedModel(otherwise=_use_echo)
    broken = McpServer(server_id="broken", command="no-such-program")
    async with open_engine(model_for=lambda _: model, mcp_servers=[broken]) as engine:
        health = await engine.register_mcp_server(crooked("well"))
        assert health.state is McpState.READY
        session_id = (await engine.create_session(AGENT)).record.session_id
        assert (await engine.run_turn(session_id, "hello")).answer == "it said hello"
        healths = {health.server_id: health.state for health in await engine.mcp_health()}
        assert healths["s"] is McpState.READY
        assert healths["broken"] is not McpState.READY
        await engine.unregister_mcp_server("s")
        assert (await engine.run_turn(session_id, "again")).answer == "there is no such tool"


async def test_the_health_of_tools_names_what_cannot_be_called_and_which_server_is_not_there() -> None:
    @tool
    def lost() -> None: ...

    tools = [msgspec.structs.replace(lost, find_problem=lambda: "its disk is gone")]
    servers = [crooked("well"), McpServer(server_id="broken", command="no-such-program")]
    async with open_engine(tools=tools, mcp_servers=servers) as engine:
        await engine.mcp_health(settled=True)
        report = await engine.tool_health()

    assert "s_echo" in report.healthy
    assert report.broken == (ToolProblem("lost", "its disk is gone"),)
    (problem,) = report.servers
    assert problem.name == "broken"
    assert "no-such-program" in problem.reason


async def test_a_check_of_many_tools_lets_others_work() -> None:
    @tool
    def one() -> None: ...

    many = [msgspec.structs.replace(one, name=f"tool{n}", check=None) for n in range(100)]
    steps = 0

    async def work() -> None:
        nonlocal steps
        while True:
            await trio.lowlevel.checkpoint()
            steps += 1

    async with open_engine(tools=many) as engine, trio.open_nursery() as nursery:
        nursery.start_soon(work)
        report = await engine.tool_health()
        nursery.cancel_scope.cancel()

    assert len(report.healthy) == 100
    assert steps >= 100


def test_the_health_of_tools_may_be_asked_for_from_any_thread() -> None:
    with start_engine(mcp_servers=[crooked("well")]) as thread:
        thread.call(partial(thread.engine.mcp_health, settled=True))

        report = asyncio.run(thread.engine.tool_health())

    assert "s_echo" in report.healthy
    assert (report.broken, report.servers) == ((), ())


async def test_a_caller_who_may_not_learns_no_health_of_tools() -> None:
    async with open_engine(authorize=lambda request: request.action != "CheckTools") as engine:
        with pytest.raises(EngineError) as caught:
            await engine.tool_health()

    assert caught.value.code is ErrorCode.FORBIDDEN


async def test_what_a_lost_server_comes_to_is_a_result_that_the_model_reads() -> None:
    model = ScriptedModel(otherwise=_use_die)
    async with open_engine(model_for=lambda _: model, mcp_servers=[crooked("well")]) as engine:
        await engine.mcp_health(settled=True)
        new = NewSession(mode=ChatMode.AGENT, approval_mode=ApprovalMode.AUTO)
        session_id = (await engine.create_session(new)).record.session_id
        outcome = await engine.run_turn(session_id, "go")
        assert outcome.status is SessionStatus.COMPLETED
        assert "failed: The MCP server s was lost during the call" in outcome.answer
        roles = [message.role for message in (await engine.snapshot(session_id)).messages]
        assert Role.TOOL in roles


async def test_a_server_that_is_taken_away_between_the_offer_and_the_call_is_said_to_the_model() -> None:
    offered = Gate()

    class Slow(ScriptedModel):
        async def stream(self, request: ModelRequest, emit: Emit) -> None:
            assert self.calls or any(one.name == "s_die" for one in request.tools)
            await offered.pass_through()
            await super().stream(request, emit)

    model = Slow(otherwise=_use_die)
    async with open_engine(model_for=lambda _: model, mcp_servers=[crooked("well")]) as engine:
        await engine.mcp_health(settled=True)
        session_id = (await engine.create_session(AGENT)).record.session_id
        task_id = await engine.submit_turn(session_id, "go")
        await offered.reached()
        await engine.unregister_mcp_server("s")
        offered.open()
        outcome = await engine.wait_turn(session_id, task_id)

    assert outcome.status is SessionStatus.COMPLETED
    assert outcome.answer == "failed: There is no tool 's_die'; known are: none."


@pytest.mark.parametrize("way", ["taken away", "started anew"])
async def test_a_call_waits_for_a_person_while_its_server_goes(way: str) -> None:
    model = ScriptedModel(otherwise=_use_die)
    async with open_engine(model_for=lambda _: model, mcp_servers=[crooked("well")]) as engine:
        await engine.mcp_health(settled=True)
        session_id = (await engine.create_session(AGENT)).record.session_id
        waiting = await engine.run_turn(session_id, "go")
        assert waiting.status is SessionStatus.WAITING_CONFIRMATION
        if way == "taken away":
            await engine.unregister_mcp_server("s")
        else:
            await engine.register_mcp_server(crooked("well", seconds=20.0))
        await engine.confirm_tool_call(session_id, "c1", ConfirmationOutcome.APPROVED)
        outcome = await engine.wait_turn(session_id, waiting.task_id)

    assert outcome.status is SessionStatus.COMPLETED
    said = "There is no tool 's_die'" if way == "taken away" else "was lost during the call"
    assert said in outcome.answer
