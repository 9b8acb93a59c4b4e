"""Thread tools and process tools: those that hang starve nobody, those that are stopped are gone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import trio
from trio.testing import wait_all_tasks_blocked

from actors.conversation import ToolStatus
from actors.tools import Tool, ToolContext, ToolKind, ToolOutcome, ToolStatistics
from runtime import offload_statistics
from tests.actors.tools import misdeeds
from tests.actors.tools.stage import call_tool, limited, open_runner

Arguments = Mapping[str, object]
MANY = 45
"""More than there are places for threads."""


# --- threads ------------------------------------------------------------------------------------------


async def test_threads_that_hang_starve_nobody() -> None:
    async with open_runner(threads=4) as runner:
        async with trio.open_nursery() as calls:
            for _ in range(MANY):
                calls.start_soon(
                    call_tool, runner, limited(misdeeds.of_kind(ToolKind.THREAD, misdeeds.hang), 0.01)
                )
        assert runner.statistics().left == MANY

        others: list[ToolOutcome] = []

        async def greet() -> None:
            others.append(await call_tool(runner, misdeeds.of_kind(ToolKind.THREAD, misdeeds.greet)))

        async with trio.open_nursery() as calls:
            for _ in range(MANY):
                calls.start_soon(greet)
        assert [outcome.output for outcome in others] == ["hello nobody"] * MANY
        assert await trio.to_thread.run_sync(lambda: "others' threads too")

        misdeeds.RELEASE.set()
        with trio.fail_after(60):
            while runner.statistics().left:
                await trio.lowlevel.checkpoint()

    assert runner.statistics() == ToolStatistics(
        calls=2 * MANY, running=0, timed_out=MANY, truncated=0, abandoned=MANY, left=0
    )


async def test_where_too_many_threads_hang_no_more_are_started() -> None:
    hang = limited(misdeeds.of_kind(ToolKind.THREAD, misdeeds.hang), 0.01)
    async with open_runner(most_left_threads=2) as runner:
        for _ in range(2):
            await call_tool(runner, hang)

        refused = await call_tool(runner, misdeeds.of_kind(ToolKind.THREAD, misdeeds.greet))

        assert refused.status is ToolStatus.FAILED
        assert "2 threads of earlier calls do not end" in refused.output
        assert (await call_tool(runner, misdeeds.of_kind(ToolKind.ASYNC, misdeeds.greet))).output


async def test_the_time_of_a_thread_begins_when_there_is_a_place_for_it() -> None:
    async with open_runner(threads=1) as runner, trio.open_nursery() as calls:
        calls.start_soon(call_tool, runner, misdeeds.of_kind(ToolKind.THREAD, misdeeds.hang))
        await wait_all_tasks_blocked()
        outcomes: list[ToolOutcome] = []

        async def greet() -> None:
            tool = limited(misdeeds.of_kind(ToolKind.THREAD, misdeeds.greet), 30)
            outcomes.append(await call_tool(runner, tool))

        calls.start_soon(greet)
        await wait_all_tasks_blocked()
        assert outcomes == []
        misdeeds.RELEASE.set()

    assert [outcome.output for outcome in outcomes] == ["hello nobody"]


async def test_a_thread_may_look_whether_it_is_still_wanted() -> None:
    ended: list[str] = []

    def work(_: Arguments, __: ToolContext) -> str:
        try:
            while True:
                trio.from_thread.check_cancelled()
        finally:
            ended.append("in order")

    async with open_runner() as runner:
        tool = Tool(name="work", description="", function=work, runs=ToolKind.THREAD, timeout_seconds=0.01)
        outcome = await call_tool(runner, tool)
        with trio.fail_after(60):
            while runner.statistics().left:
                await trio.lowlevel.checkpoint()

    assert outcome.output == "The tool timed out after 0.01 s."
    assert ended == ["in order"]


# --- processes ----------------------------------------------------------------------------------------


async def test_a_process_that_crashes_is_a_failed_call_and_the_next_one_works() -> None:
    async with open_runner() as runner:
        crashed = await call_tool(runner, misdeeds.of_kind(ToolKind.PROCESS, misdeeds.crash))
        outcome = await call_tool(runner, misdeeds.of_kind(ToolKind.PROCESS, misdeeds.greet))

    assert crashed == ToolOutcome(
        ToolStatus.FAILED, "The tool failed: the worker process of the tool crash died: exit code 4"
    )
    assert outcome.output == "hello nobody"


async def test_a_stopped_process_takes_along_what_it_has_started(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    tool = misdeeds.of_kind(ToolKind.PROCESS, misdeeds.hang_with_child)
    async with open_runner() as runner, trio.open_nursery() as calls:

        async def call() -> None:
            await call_tool(runner, tool, pipe=str(pipe))

        calls.start_soon(call)
        async with await trio.open_file(pipe, "rb", buffering=0) as stream:
            assert await stream.read(1) == b"!"  # the grandchild runs
            calls.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                assert await stream.read(1) == b""  # and is gone

    assert offload_statistics().processes == 0


async def test_a_decorated_function_travels_by_its_name() -> None:
    async with open_runner() as runner:
        counted = await call_tool(runner, misdeeds.count_words, text="one two", folder="/tmp/x")  # noqa: S108 - a name
        shouted = await call_tool(runner, misdeeds.shout_tool, text="ho")

    assert counted.output == '{"words":2,"folder":"/tmp/x","loud":false}'
    assert shouted.output == "HO in s"
