"""One tool call in its task: whatever the tool does, its session hears of one end."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.conversation import ToolCall, ToolResult, ToolStatus
from actors.records import ChatMode, SessionStatus
from actors.session.protocol import OutputArrived, ToolEnded
from actors.session.tool_run import run_tool
from actors.tools import Tool, ToolRegistry
from tests.actors.session.stage import open_stage

Show = Callable[[str], None]
Arguments = Mapping[str, object]
FLOOD = 10_000
HALF_A_PAIR = "\ud83d"


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even that")


async def greet(arguments: Arguments, show: Show) -> str:
    show("thinking of a name")
    return f"hello {arguments.get('name', 'nobody')}"


async def fail(_: Arguments, __: Show) -> str:
    raise ValueError("no such file")


async def exit_process(_: Arguments, __: Show) -> str:
    raise SystemExit(3)


async def interrupt(_: Arguments, __: Show) -> str:
    raise KeyboardInterrupt


async def fail_speechless(_: Arguments, __: Show) -> str:
    raise SpeechlessError


async def fail_in_a_nursery(arguments: Arguments, show: Show) -> str:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail, arguments, show)
        nursery.start_soon(trio.sleep_forever)
    return ""


async def give_up(_: Arguments, __: Show) -> str:
    with trio.fail_after(0):
        await trio.sleep_forever()
    return ""


async def return_a_number(_: Arguments, __: Show) -> str:
    return msgspec.json.decode("5", type=int)  # pyright: ignore[reportReturnType] - as untyped code may


async def show_bytes(_: Arguments, show: Show) -> str:
    show(b"bytes")  # pyright: ignore[reportArgumentType] - as untyped code may
    return ""


async def say_half_a_pair(_: Arguments, show: Show) -> str:
    show(HALF_A_PAIR)
    return f"read: {HALF_A_PAIR}"


async def flood(_: Arguments, show: Show) -> str:
    for number in range(FLOOD):
        show(f"line {number}\n")
    return "done"


async def hang(_: Arguments, __: Show) -> str:
    await trio.sleep_forever()
    return ""


async def return_when_cancelled(_: Arguments, __: Show) -> str:
    try:
        await trio.sleep_forever()
    except trio.Cancelled:
        return "too late"
    return ""


async def run(function: Callable[..., object], arguments: str = "{}") -> list[OutputArrived | ToolEnded]:
    told: list[OutputArrived | ToolEnded] = []
    tool = TOOLS.find(function.__name__)
    assert tool is not None
    await run_tool(tool, ToolCall("c", tool.name, arguments), "t", told.append)
    return told


TOOLS = ToolRegistry(
    Tool(name=function.__name__, description="", function=function)
    for function in (
        greet,
        fail,
        exit_process,
        interrupt,
        fail_speechless,
        fail_in_a_nursery,
        give_up,
        return_a_number,
        show_bytes,
        say_half_a_pair,
        flood,
        hang,
        return_when_cancelled,
    )
)


async def test_what_a_tool_shows_comes_before_its_one_result() -> None:
    assert await run(greet, '{"name": "Ada"}') == [
        OutputArrived("t", "c", "thinking of a name"),
        ToolEnded("t", "c", ToolStatus.SUCCEEDED, "hello Ada"),
    ]


async def test_no_arguments_are_an_empty_object() -> None:
    *_, end = await run(greet, "")

    assert end == ToolEnded("t", "c", ToolStatus.SUCCEEDED, "hello nobody")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (fail, "ValueError: no such file"),
        (exit_process, "SystemExit: 3"),
        (interrupt, "KeyboardInterrupt"),
        (fail_speechless, "SpeechlessError"),
        (fail_in_a_nursery, "ExceptionGroup"),
        (give_up, "TooSlowError"),
        (return_a_number, "TypeError: a tool says and returns text, not int"),
        (show_bytes, "TypeError: a tool says and returns text, not bytes"),
    ],
)
async def test_what_a_tool_raises_is_its_result(function: Callable[..., object], reason: str) -> None:
    (end,) = await run(function)

    assert isinstance(end, ToolEnded)
    assert end.status is ToolStatus.FAILED
    assert reason in end.output


async def test_half_a_surrogate_pair_is_replaced_since_no_store_could_take_it() -> None:
    assert await run(say_half_a_pair) == [
        OutputArrived("t", "c", "?"),
        ToolEnded("t", "c", ToolStatus.SUCCEEDED, "read: ?"),
    ]


async def test_a_cancelled_tool_says_nothing_more() -> None:
    told: list[OutputArrived | ToolEnded] = []
    tool = TOOLS.find("hang")
    assert tool is not None

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_tool, tool, ToolCall("c", tool.name, ""), "t", told.append)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert told == []


@pytest.mark.parametrize("name", [tool.name for tool in TOOLS if "hang" not in tool.name][:-1])
async def test_whatever_a_tool_does_the_turn_goes_on_and_so_do_the_others(
    name: str,
) -> None:
    async with open_stage(tools=TOOLS) as stage:
        await stage.create("s", "other", mode=ChatMode.AGENT)
        await stage.ask("other", "begin")

        outcome = await stage.engine.run_turn("s", f"use {name} greet")

        assert outcome.status is SessionStatus.COMPLETED
        assert outcome.answer.endswith("hello nobody")
        messages = (await stage.engine.read_session("s")).messages
        assert [m.content.name for m in messages if isinstance(m.content, ToolResult)] == [name, "greet"]
        assert (await stage.engine.pool_status()).running == 1
        assert await stage.engine.abort_turn("other")


@pytest.mark.parametrize("name", ["hang", "return_when_cancelled"])
async def test_a_tool_that_is_stopped_has_one_result_and_what_it_says_late_is_dropped(name: str) -> None:
    async with open_stage(tools=TOOLS) as stage:
        await stage.create("s", mode=ChatMode.AGENT)
        task_id = await stage.ask("s", f"use {name}")

        await stage.engine.abort_turn("s")

        assert (await stage.engine.wait_turn("s", task_id)).status is SessionStatus.ABORTED
        await wait_all_tasks_blocked()
        messages = (await stage.engine.read_session("s")).messages
        (result,) = [m.content for m in messages if isinstance(m.content, ToolResult)]
        assert result.status is ToolStatus.CANCELLED
        assert (await stage.engine.run_turn("s", "go on")).status is SessionStatus.COMPLETED
