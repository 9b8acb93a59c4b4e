"""What the tools of an engine find around them: threads, and the directory of their session."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import trio

from actors.models.scripted import say
from actors.records import ChatMode
from actors.session.protocol import NewSession
from actors.settings import EngineSettings
from actors.tools import Tool, ToolContext, ToolKind
from tests.actors.engine.tool_stage import call, open_box, results, wants


async def test_no_more_thread_tools_run_at_once_than_an_engine_has_threads_for() -> None:
    gate = threading.Event()
    begun: list[str] = []
    first_is_running = trio.Event()

    def wait(_: Mapping[str, object], context: ToolContext) -> str:
        begun.append(context.call_id)
        trio.from_thread.run_sync(first_is_running.set)
        gate.wait()
        return context.call_id

    tools = [Tool(name="wait", description="", function=wait, runs=ToolKind.THREAD)]
    settings = EngineSettings(tool_threads=1)
    batch = wants(*(call(f"{n}", "wait") for n in range(3)))
    async with open_box([batch], tools=tools, settings=settings) as (engine, _):
        task_id = await engine.submit_turn("s", "go")
        await first_is_running.wait()
        running = (await engine.statistics()).tools.running
        begun_meanwhile = tuple(begun)
        gate.set()
        await engine.wait_turn("s", task_id)

    assert running == 3
    assert len(begun_meanwhile) == 1
    assert sorted(begun) == ["0", "1", "2"]


async def test_a_tool_is_told_where_its_session_works() -> None:
    async def where(_: Mapping[str, object], context: ToolContext) -> str:
        await trio.lowlevel.checkpoint()
        return context.directory or "nowhere"

    sessions = {
        "one": NewSession(mode=ChatMode.AGENT, directory="/work/one"),
        "two": NewSession(mode=ChatMode.AGENT, directory="/work/two"),
        "none": NewSession(mode=ChatMode.AGENT),
    }
    tools = [Tool(name="where", description="", function=where)]
    scripts = [wants(call("c", "where")), say("over")] * len(sessions)
    told: list[str] = []
    async with open_box(scripts, tools=tools, sessions=sessions) as (engine, _):
        for session_id in sessions:
            await engine.run_turn(session_id, "go")
            told.append(results(await engine.snapshot(session_id))["c"].output)

    assert told == ["/work/one", "/work/two", "nowhere"]
