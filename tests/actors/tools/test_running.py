"""Running tools: whatever a tool does, its call ends, in time and with a bounded result."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.conversation import ToolStatus
from actors.errors import EngineError, ErrorCode
from actors.tools import Tool, ToolContext, ToolKind, ToolOutcome, ToolStatistics
from runtime import offload_statistics
from tests.actors.tools import misdeeds
from tests.actors.tools.stage import call_tool, context_of, limited, open_runner

Arguments = Mapping[str, object]
KINDS = list(ToolKind)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_tool_returns_is_its_result(kind: ToolKind) -> None:
    async with open_runner() as runner:
        outcome = await call_tool(runner, misdeeds.of_kind(kind, misdeeds.greet), name="Ada")

    assert outcome == ToolOutcome(ToolStatus.SUCCEEDED, "hello Ada")
    assert runner.statistics() == ToolStatistics(
        calls=1, running=0, timed_out=0, truncated=0, abandoned=0, left=0
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tool_knows_whose_call_it_is(kind: ToolKind) -> None:
    async with open_runner() as runner:
        outcome = await call_tool(runner, misdeeds.of_kind(kind, misdeeds.tell_where))

    assert outcome.output == "s t c /work"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        (misdeeds.fail, "The tool failed: ValueError: no such file"),
        (misdeeds.exit_python, "SystemExit: 3"),
        (misdeeds.interrupt, "KeyboardInterrupt"),
        (misdeeds.fail_speechless, "SpeechlessError"),
        (misdeeds.return_number, "TypeError: a tool says and returns text, not int"),
    ],
)
async def test_what_a_tool_raises_is_a_failed_call(
    kind: ToolKind, deed: Callable[[Arguments, ToolContext], str], reason: str
) -> None:
    async with open_runner() as runner:
        outcome = await call_tool(runner, misdeeds.of_kind(kind, deed))

    assert outcome.status is ToolStatus.FAILED
    assert reason in outcome.output


@pytest.mark.parametrize("kind", KINDS)
async def test_ten_megabytes_are_cut_in_the_middle(kind: ToolKind) -> None:
    async with open_runner() as runner:
        outcome = await call_tool(runner, misdeeds.of_kind(kind, misdeeds.return_much))

    assert outcome.status is ToolStatus.SUCCEEDED
    assert outcome.output.startswith("beginä")
    assert outcome.output.endswith("äend")
    assert "bytes left out" in outcome.output
    assert len(outcome.output.encode()) <= 1000
    assert runner.statistics().truncated == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_flood_ends(kind: ToolKind) -> None:
    shown: list[str] = []
    async with open_runner() as runner:
        tool = misdeeds.of_kind(kind, misdeeds.flood)
        outcome = await runner.run(tool, {}, context_of(shown.append))

    assert outcome.output == "flooded"
    assert len(shown) == (0 if kind is ToolKind.PROCESS else misdeeds.LINES)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_tool_that_hangs_times_out(kind: ToolKind) -> None:
    async with open_runner() as runner:
        outcome = await call_tool(runner, limited(misdeeds.of_kind(kind, misdeeds.hang), 0.05))

    assert outcome == ToolOutcome(ToolStatus.FAILED, "The tool timed out after 0.05 s.")
    left = int(kind is ToolKind.THREAD)
    assert runner.statistics() == ToolStatistics(
        calls=1, running=0, timed_out=1, truncated=0, abandoned=left, left=left
    )
    assert offload_statistics().processes == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_call_ends(kind: ToolKind) -> None:
    async with open_runner() as runner, trio.open_nursery() as calls:
        calls.start_soon(call_tool, runner, misdeeds.of_kind(kind, misdeeds.hang))
        await wait_all_tasks_blocked()
        assert runner.statistics().running == 1
        calls.cancel_scope.cancel()

    assert runner.statistics().running == 0
    assert offload_statistics().processes == 0


def fail_with_secret(arguments: Arguments, context: ToolContext) -> str:
    context.show(str(arguments["key"]))
    raise ValueError(arguments["key"])


@pytest.mark.parametrize("kind", KINDS)
async def test_no_log_has_what_a_tool_is_given_and_what_it_says(
    kind: ToolKind, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with open_runner() as runner:
        outcome = await call_tool(runner, misdeeds.of_kind(kind, fail_with_secret), key="sk-5ecret")

    assert "sk-5ecret" in outcome.output  # it is the model's
    assert "5ecret" not in caplog.text
    assert not [record for record in caplog.records if "5ecret" in str(vars(record))]
    assert [record for record in caplog.records if "fail_with_secret" in str(vars(record))]


# --- async tools --------------------------------------------------------------------------------------


async def shield_myself(_: Arguments, __: ToolContext) -> str:
    with trio.CancelScope(shield=True):
        await wait_for_release()
    return "too late"


async def swallow_cancellations(_: Arguments, __: ToolContext) -> str:
    while not misdeeds.RELEASE.is_set():
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            continue
    return "too late"


async def wait_for_release() -> None:
    await trio.to_thread.run_sync(misdeeds.RELEASE.wait)


def async_tool(function: Callable[[Arguments, ToolContext], object]) -> Tool:
    return Tool(name="it", description="", function=function)  # pyright: ignore[reportArgumentType] - misfits too


@pytest.mark.parametrize("function", [shield_myself, swallow_cancellations])
@pytest.mark.parametrize("way", ["cancelled", "timed out"])
async def test_one_that_ignores_its_cancellation_is_left_alone(
    function: Callable[[Arguments, ToolContext], object], way: str
) -> None:
    async with open_runner(grace_seconds=0.05) as runner:
        tool = limited(async_tool(function), 0.05 if way == "timed out" else 60)
        async with trio.open_nursery() as calls:
            calls.start_soon(call_tool, runner, tool)
            await wait_all_tasks_blocked()
            if way == "cancelled":
                calls.cancel_scope.cancel()

        statistics = runner.statistics()
        assert (statistics.running, statistics.abandoned, statistics.left) == (0, 1, 1)
        await wait_all_tasks_blocked()  # it does not spin
        misdeeds.RELEASE.set()
        runner.close()
        with trio.fail_after(60):
            while runner.statistics().left:
                await trio.lowlevel.checkpoint()
        assert runner.statistics().abandoned == 1


async def test_one_that_cleans_up_after_its_cancellation_is_waited_for() -> None:
    steps: list[str] = []

    async def clean_up(_: Arguments, __: ToolContext) -> str:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
                steps.append("cleaned up")
        return ""

    async with open_runner(grace_seconds=60) as runner:
        async with trio.open_nursery() as calls:
            calls.start_soon(call_tool, runner, async_tool(clean_up))
            await wait_all_tasks_blocked()
            calls.cancel_scope.cancel()
        steps.append("ended")

    assert steps == ["cleaned up", "ended"]
    assert runner.statistics().abandoned == 0


async def fail_in_a_nursery(arguments: Arguments, context: ToolContext) -> str:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        return misdeeds.fail(arguments, context)


async def leave_a_scope_open(_: Arguments, __: ToolContext) -> str:
    await trio.lowlevel.checkpoint()
    trio.CancelScope().__enter__()
    return "left open"


async def raise_an_old_cancellation(_: Arguments, __: ToolContext) -> str:
    old: list[trio.Cancelled] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            old.append(cancelled)
            raise
    raise old[0]


async def give_up(_: Arguments, __: ToolContext) -> str:
    with trio.fail_after(0):
        await trio.sleep_forever()
    return ""


async def say_why(_: Arguments, __: ToolContext) -> str:
    await trio.lowlevel.checkpoint()
    raise EngineError(ErrorCode.NETWORK_ERROR, "The server is gone.")


def no_coroutine(_: Arguments, __: ToolContext) -> str:
    return "no coroutine"


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (fail_in_a_nursery, "The tool failed: ValueError: no such file"),
        (leave_a_scope_open, "was entered and not left"),
        (raise_an_old_cancellation, "The tool was stopped."),
        (give_up, "The tool failed: TooSlowError"),
        (say_why, "The server is gone."),
        (no_coroutine, "TypeError"),
    ],
)
async def test_whatever_an_async_tool_does_its_call_fails_and_nothing_else(
    function: Callable[[Arguments, ToolContext], object], reason: str
) -> None:
    async with open_runner() as runner:
        outcome = await call_tool(runner, async_tool(function))
        assert (await call_tool(runner, misdeeds.of_kind(ToolKind.ASYNC, misdeeds.greet))).output

    assert outcome.status is ToolStatus.FAILED
    assert reason in outcome.output


async def test_at_the_end_the_async_calls_are_asked_to_end() -> None:
    async with open_runner() as runner, trio.open_nursery() as calls:
        outcomes: list[ToolOutcome] = []

        async def run() -> None:
            outcomes.append(await call_tool(runner, misdeeds.of_kind(ToolKind.ASYNC, misdeeds.hang)))

        calls.start_soon(run)
        await wait_all_tasks_blocked()
        runner.close()

    assert outcomes == [ToolOutcome(ToolStatus.FAILED, "The tool was stopped.")]
