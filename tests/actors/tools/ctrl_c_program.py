"""A program in which a tool of each kind hangs, for the test that interrupts it.

Its argument is a named pipe, which a child of the process tool holds open.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import msgspec
import trio

from actors.conversation import FinishPart, FinishReason, ToolCallPart
from actors.engine import open_engine
from actors.models.base import ModelRequest
from actors.models.scripted import Say, Script, ScriptedModel
from actors.records import ChatMode
from actors.session.protocol import NewSession
from actors.tools import Tool, ToolContext, ToolKind
from tests.actors.tools.misdeeds import hang, hang_with_child


async def hang_in_nursery(_: Mapping[str, object], __: ToolContext) -> str:
    async with trio.open_nursery() as nursery:  # its tasks are no place for a Ctrl-C either
        nursery.start_soon(trio.sleep_forever)
    return ""


TOOLS = [
    Tool(name="async", description="", function=hang_in_nursery),
    Tool(name="thread", description="", function=hang, runs=ToolKind.THREAD),
    Tool(name="process", description="", function=hang_with_child, runs=ToolKind.PROCESS),
]


async def main(pipe: str) -> None:
    arguments = msgspec.json.encode({"pipe": pipe}).decode()

    def play(_: ModelRequest) -> Script:
        calls = tuple(
            ToolCallPart(index, tool.name, tool.name, arguments) for index, tool in enumerate(TOOLS)
        )
        return (Say((*calls, FinishPart(FinishReason.TOOL_CALLS))),)

    model = ScriptedModel(otherwise=play)
    async with open_engine(model_for=lambda _: model, tools=TOOLS) as engine:
        await engine.create_session(NewSession(mode=ChatMode.AGENT), session_id="s")
        task_id = await engine.submit_turn("s", "go")
        while (await engine.statistics()).tools.running < len(TOOLS):
            await trio.lowlevel.checkpoint()
        print("all hang", flush=True)  # noqa: T201 - to the test
        await engine.wait_turn("s", task_id)


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
