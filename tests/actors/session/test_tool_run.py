"""One tool call in its task: whatever the tool does, its session hears of one end, and goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.conversation import ToolCall, ToolResult, ToolStatus
from actors.events import TaskFinished, ToolOutput
from actors.records import ChatMode, SessionStatus
from actors.session.protocol import OutputArrived, ToolEnded
from actors.session.tool_run import ToolRun
from actors.tools import Tool, ToolContext, ToolKind, ToolRunner, tool
from runtime import offload_statistics
from tests.actors.session.stage import Stage, bodies_until, open_stage
from tests.actors.tools import misdeeds
from tests.actors.tools.stage import open_runner

Arguments = Mapping[str, object]
DEEDS = (
    misdeeds.greet,
    misdeeds.fail,
    misdeeds.exit_python,
    misdeeds.interrupt,
    misdeeds.fail_speechless,
    misdeeds.return_number,
    misdeeds.return_much,
    misdeeds.flood,
)
KINDS = list(ToolKind)


@pytest.fixture(autouse=True)
def released_threads() -> Iterator[None]:
    """No thread outlives its test."""
    misdeeds.RELEASE.clear()
    yield
    misdeeds.RELEASE.set()


class Told:
    """What a session is told of one call."""

    def __init__(self, runner: ToolRunner, made: Tool, arguments: str = "{}") -> None:
        self.messages: list[OutputArrived | ToolEnded] = []
        self.run = ToolRun(
            made,
            ToolCall("c", made.name, arguments),
            "t",
            self.messages.append,
            runner,
            session_id="s",
            directory="",
        )


def async_tool(function: Callable[[Arguments, ToolContext], object]) -> Tool:
    return Tool(
        name=function.__name__,
        description="",
        function=function,  # pyright: ignore[reportArgumentType] - misfits too
    )


async def show_three(_: Arguments, context: ToolContext) -> str:
    for word in ("one", "two", "three"):
        context.show(word)
        await trio.lowlevel.checkpoint()
    return "done"


async def test_what_a_tool_shows_comes_before_its_one_result() -> None:
    async with open_runner() as runner:
        told = Told(runner, async_tool(show_three))
        await told.run.run()

    assert told.messages == [
        OutputArrived("t", "c", "one"),
        OutputArrived("t", "c", "twothree"),
        ToolEnded("t", "c", ToolStatus.SUCCEEDED, "done"),
    ]


@pytest.mark.parametrize("kind", [ToolKind.ASYNC, ToolKind.THREAD])
async def test_of_a_flood_one_message_is_in_the_mailbox_and_no_more_than_the_limit(kind: ToolKind) -> None:
    async with open_runner() as runner:
        told = Told(runner, misdeeds.of_kind(kind, misdeeds.flood))
        await told.run.run()

    *shown, end = told.messages
    assert len(shown) <= 2  # the one that was not taken, and the rest
    text = "".join(message.text for message in shown if isinstance(message, OutputArrived))
    assert text.startswith("line     0\n")
    assert text.endswith("is left out]\n")
    assert len(text) < 1100
    assert end == ToolEnded("t", "c", ToolStatus.SUCCEEDED, "flooded")


async def test_no_arguments_are_an_empty_object() -> None:
    async with open_runner() as runner:
        told = Told(runner, misdeeds.of_kind(ToolKind.ASYNC, misdeeds.greet), arguments="")
        await told.run.run()

    assert told.messages == [ToolEnded("t", "c", ToolStatus.SUCCEEDED, "hello nobody")]


async def test_a_cancelled_call_says_nothing_more() -> None:
    shows: list[Callable[[str], None]] = []

    async def show_and_hang(_: Arguments, context: ToolContext) -> str:
        shows.append(context.show)
        context.show("begun")
        await trio.sleep_forever()
        return ""

    async with open_runner() as runner, trio.open_nursery() as nursery:
        told = Told(runner, async_tool(show_and_hang))
        nursery.start_soon(told.run.run)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    shows[0]("late")
    told.run.taken()

    assert told.messages == [OutputArrived("t", "c", "begun")]


# --- in an engine -------------------------------------------------------------------------------------


async def results(stage: Stage, session_id: str) -> list[ToolResult]:
    messages = (await stage.engine.read_session(session_id)).messages
    return [message.content for message in messages if isinstance(message.content, ToolResult)]


@pytest.mark.parametrize("kind", KINDS)
async def test_whatever_a_tool_does_the_turn_goes_on_and_so_do_the_others(kind: ToolKind) -> None:
    async with open_stage(tools=[misdeeds.of_kind(kind, deed) for deed in DEEDS]) as stage:
        await stage.create("s", "other", mode=ChatMode.AGENT)
        await stage.ask("other", "begin")

        outcome = await stage.engine.run_turn("s", f"use {' '.join(deed.__name__ for deed in DEEDS)}")

        assert outcome.status is SessionStatus.COMPLETED
        statuses = {result.name: result.status for result in await results(stage, "s")}
        well = {"greet", "return_much", "flood"}
        assert {name for name, status in statuses.items() if status is ToolStatus.SUCCEEDED} == well
        assert set(statuses) == {deed.__name__ for deed in DEEDS}
        assert (await stage.engine.pool_status()).running == 1
        assert await stage.engine.abort_turn("other")
        statistics = (await stage.engine.statistics()).tools
        assert (statistics.calls, statistics.running, statistics.truncated) == (len(DEEDS), 0, 1)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tool_that_hangs_is_stopped_and_its_session_can_go(kind: ToolKind) -> None:
    async with open_stage(tools=[misdeeds.of_kind(kind, misdeeds.hang)]) as stage:
        await stage.create("s", mode=ChatMode.AGENT)
        task_id = await stage.ask("s", "use hang")

        await stage.engine.abort_turn("s")

        assert (await stage.engine.wait_turn("s", task_id)).status is SessionStatus.ABORTED
        assert [result.status for result in await results(stage, "s")] == [ToolStatus.CANCELLED]
        misdeeds.RELEASE.set()  # a late result
        await wait_all_tasks_blocked()
        assert (await stage.engine.run_turn("s", "go on")).status is SessionStatus.COMPLETED
        assert [result.status for result in await results(stage, "s")] == [ToolStatus.CANCELLED]
        await stage.engine.release_session("s")
        statistics = (await stage.engine.statistics()).tools
        assert (statistics.running, statistics.abandoned) == (0, int(kind is ToolKind.THREAD))
    assert offload_statistics().processes == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tool_that_hangs_times_out_and_the_model_is_told(kind: ToolKind) -> None:
    hang = msgspec.structs.replace(misdeeds.of_kind(kind, misdeeds.hang), timeout_seconds=0.05)
    async with open_stage(tools=[hang]) as stage:
        await stage.create("s", mode=ChatMode.AGENT)

        outcome = await stage.engine.run_turn("s", "use hang")

        assert outcome.answer.endswith("used: The tool timed out after 0.05 s.")
        assert (await stage.engine.statistics()).tools.timed_out == 1


async def test_a_tool_that_ignores_its_cancellation_is_abandoned(autojump_clock: MockClock) -> None:
    began = autojump_clock.current_time()
    released = trio.Event()
    returned = trio.Event()

    async def ignore(_: Arguments, context: ToolContext) -> str:
        with trio.CancelScope(shield=True):
            await released.wait()
        context.show("never heard")
        returned.set()
        return "too late"

    async with open_stage(tools=[async_tool(ignore)]) as stage:
        await stage.create("s", mode=ChatMode.AGENT)
        task_id = await stage.ask("s", "use ignore")

        await stage.engine.abort_turn("s")

        assert (await stage.engine.wait_turn("s", task_id)).status is SessionStatus.ABORTED
        await stage.engine.release_session("s")
        assert autojump_clock.current_time() > began  # it had time to clean up
        statistics = (await stage.engine.statistics()).tools
        assert (statistics.running, statistics.abandoned, statistics.left) == (0, 1, 1)

        async with stage.engine.events("s") as events:
            released.set()
            await returned.wait()
            await wait_all_tasks_blocked()
            assert (await stage.engine.statistics()).tools.left == 0
            assert [result.status for result in await results(stage, "s")] == [ToolStatus.CANCELLED]
            assert (await stage.engine.run_turn("s", "go on")).status is SessionStatus.COMPLETED
            bodies = await bodies_until(events, TaskFinished)
        assert not [body for body in bodies if isinstance(body, ToolOutput)]


async def test_what_a_tool_shows_reaches_who_listens_before_it_has_ended() -> None:
    go_on = trio.Event()

    @tool
    async def report(context: ToolContext) -> str:
        context.show("half of it")
        await go_on.wait()
        return "all of it"

    async with open_stage(tools=[report]) as stage:
        await stage.create("s", mode=ChatMode.AGENT)
        async with stage.engine.events("s") as events:
            task_id = await stage.engine.submit_turn("s", "use report")

            *_, output = await bodies_until(events, ToolOutput)
            go_on.set()

        assert isinstance(output, ToolOutput)
        assert output.text == "half of it"
        assert (await stage.engine.wait_turn("s", task_id)).answer.endswith("used: all of it")


async def test_equal_call_ids_in_two_sessions_do_not_cross() -> None:
    @tool
    async def tell_session(context: ToolContext) -> str:
        return context.session_id

    async with open_stage(tools=[tell_session]) as stage:
        await stage.create("one", "two", mode=ChatMode.AGENT)
        async with trio.open_nursery() as nursery:
            for session_id in ("one", "two"):
                nursery.start_soon(stage.engine.run_turn, session_id, "use tell_session")

        ids: set[str] = set()
        for session_id in ("one", "two"):
            (result,) = await results(stage, session_id)
            assert result.output == session_id
            ids.add(result.call_id)
        assert len(ids) == 1
