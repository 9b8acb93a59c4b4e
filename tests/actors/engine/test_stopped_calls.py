"""A call that was stopped and cleans up still has its slot: nobody else runs beside it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.conversation import FinishPart, FinishReason, TextPart, ToolStatus
from actors.engine import Engine, open_engine
from actors.events import TaskFinished, ToolOutput
from actors.models.base import Emit, ModelRequest
from actors.records import SessionStatus
from actors.settings import EngineSettings
from actors.tools import Tool, ToolContext
from tests.actors.engine.tool_stage import AGENT, Toolbox, call, open_box, results, wants
from tests.actors.session.stage import bodies_until

ONE_SLOT = EngineSettings(max_concurrent=1, max_queue_size=5)


class SlowToStop:
    """A model and a tool that need time to clean up when they are cancelled.

    `log` says what happened when, in the seconds of trio's clock.
    """

    name = "scripted:slow"

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.log: list[tuple[str, float]] = []
        self.tool = Tool(name="hold", description="", function=self.hold, group="pair")

    def note(self, what: str) -> None:
        self.log.append((what, trio.current_time()))

    def when(self, what: str) -> float:
        (seconds,) = [seconds for noted, seconds in self.log if noted == what]
        return seconds

    async def stream(self, request: ModelRequest, emit: Emit) -> None:
        text = getattr(request.messages[-1].content, "text", "")
        self.note(f"begin {text}")
        if text == "hang":
            await self.hang()
        await trio.lowlevel.checkpoint()
        emit((TextPart("ok"), FinishPart(FinishReason.STOP)))

    async def hold(self, _: Mapping[str, object], __: ToolContext) -> str:
        await self.hang()
        return ""

    async def hang(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(self._seconds)
            self.note("cleaned up")


async def at_rest(engine: Engine) -> None:
    status = await engine.pool_status()
    assert (status.running, status.queued, status.available) == (0, 0, 1)


@pytest.mark.parametrize("seconds", [0.5, 4])
async def test_the_next_session_begins_when_the_stopped_model_call_has_ended(
    seconds: float, autojump_clock: MockClock
) -> None:
    slow = SlowToStop(seconds)
    async with open_engine(ONE_SLOT, model_for=lambda _: slow) as engine:
        for name in ("a", "b"):
            await engine.create_session(session_id=name)
        task_id = await engine.submit_turn("a", "hang")
        behind = await engine.submit_turn("b", "next")
        await wait_all_tasks_blocked()

        asked = autojump_clock.current_time()
        assert await engine.abort_turn("a")
        outcome = await engine.wait_turn("a", task_id)
        assert autojump_clock.current_time() - asked < seconds, "an abort is told at once"
        assert (await engine.wait_turn("b", behind)).status is SessionStatus.COMPLETED
        await wait_all_tasks_blocked()
        await at_rest(engine)

    assert outcome.status is SessionStatus.ABORTED
    assert slow.when("begin next") >= slow.when("cleaned up")


async def test_a_model_call_that_ignores_its_end_holds_the_slot_for_a_grace_and_no_longer(
    autojump_clock: MockClock,
) -> None:
    slow = SlowToStop(1_000)
    async with open_engine(ONE_SLOT, model_for=lambda _: slow) as engine:
        for name in ("a", "b"):
            await engine.create_session(session_id=name)
        await engine.submit_turn("a", "hang")
        behind = await engine.submit_turn("b", "next")
        await wait_all_tasks_blocked()

        stopped = autojump_clock.current_time()
        await engine.abort_turn("a")
        assert (await engine.wait_turn("b", behind)).status is SessionStatus.COMPLETED
        assert [what for what, _ in slow.log] == ["begin hang", "begin next"]
        assert slow.when("begin next") >= stopped + 5
        again = await engine.run_turn("a", "and you?")
        assert again.status is SessionStatus.COMPLETED
        assert len(slow.log) == 3, "the one that was left is still at it"


async def test_a_stopped_tool_holds_the_slot_until_it_has_ended(autojump_clock: MockClock) -> None:
    slow = SlowToStop(1.5)
    sessions = {"a": AGENT, "b": AGENT}
    async with open_box(
        [wants(call("1", "hold"))], sessions=sessions, settings=ONE_SLOT, tools=[slow.tool]
    ) as (engine, model):
        await engine.submit_turn("a", "go")
        behind = await engine.submit_turn("b", "next")
        await wait_all_tasks_blocked()
        assert model.calls == 1

        await engine.abort_turn("a")
        await wait_all_tasks_blocked()
        assert (await engine.pool_status()).running == 1
        assert model.calls == 1
        assert (await engine.wait_turn("b", behind)).status is SessionStatus.COMPLETED
        assert slow.when("cleaned up") <= autojump_clock.current_time()
        await wait_all_tasks_blocked()
        await at_rest(engine)


async def test_a_tool_that_was_stopped_alone_holds_the_slot_when_its_turn_is_over_before_it(
    autojump_clock: MockClock,
) -> None:
    slow = SlowToStop(1.5)
    sessions = {"a": AGENT, "b": AGENT}
    async with open_box(
        [wants(call("1", "hold"))], sessions=sessions, settings=ONE_SLOT, tools=[slow.tool]
    ) as (engine, model):
        task_id = await engine.submit_turn("a", "go")
        behind = await engine.submit_turn("b", "next")
        await wait_all_tasks_blocked()

        began = autojump_clock.current_time()
        await engine.cancel_tool_calls("a")
        assert (await engine.wait_turn("a", task_id)).answer == "over"
        assert autojump_clock.current_time() - began < 1.5, "its own turn goes on at once"
        assert (await engine.wait_turn("b", behind)).status is SessionStatus.COMPLETED
        assert slow.when("cleaned up") <= autojump_clock.current_time()
        assert model.calls == 3


@pytest.mark.parametrize("beside", ["first", "slow"])
async def test_what_has_waited_for_a_stopped_call_begins_when_that_has_ended(
    beside: str,
    autojump_clock: MockClock,  # noqa: ARG001 - cleaning up takes no time
) -> None:
    slow, box = SlowToStop(1.5), Toolbox()
    parallel = 10 if beside == "first" else 1  # it waits for the group, or for room
    new = msgspec.structs.replace(AGENT, max_parallel_calls=parallel)
    batch = wants(call("1", "hold"), call("2", beside))
    async with open_box([batch], sessions={"s": new}, tools=[slow.tool, *box.tools]) as (engine, _):
        task_id = await engine.submit_turn("s", "go")
        await wait_all_tasks_blocked()
        assert box.runs == []

        await engine.cancel_tool_calls("s", ["1"])
        await wait_all_tasks_blocked()
        assert (box.runs, slow.log) == ([], []), "it cleans up"
        assert (await engine.wait_turn("s", task_id)).answer == "over"
        found = results(await engine.snapshot("s"))

    assert [what for what, _ in slow.log] == ["cleaned up"]
    assert [one.status for one in found.values()] == [ToolStatus.CANCELLED, ToolStatus.SUCCEEDED]


async def test_a_stopped_tool_is_waited_for_though_its_call_id_was_used_again(
    autojump_clock: MockClock,
) -> None:
    slow = SlowToStop(1.5)
    sessions = {"a": AGENT, "b": AGENT}
    scripts = [wants(call("1", "hold")), wants(call("1", "quick"))]
    tools = [slow.tool, *Toolbox().tools]
    async with open_box(scripts, sessions=sessions, settings=ONE_SLOT, tools=tools) as (engine, _):
        task_id = await engine.submit_turn("a", "go")
        behind = await engine.submit_turn("b", "next")
        await wait_all_tasks_blocked()

        await engine.cancel_tool_calls("a")
        assert (await engine.wait_turn("a", task_id)).answer == "over"
        assert (await engine.wait_turn("b", behind)).status is SessionStatus.COMPLETED
        assert slow.when("cleaned up") <= autojump_clock.current_time()


async def test_what_a_stopped_call_still_shows_is_not_taken_for_that_of_the_next_one() -> None:
    box = Toolbox()

    async def show_late(_: Mapping[str, object], context: ToolContext) -> str:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await box.gate.pass_through()
            context.show("late")
        return ""

    late = Tool(name="late", description="", function=show_late)
    scripts = [wants(call("1", "late")), wants(call("1", "held"))]
    async with (
        open_box(scripts, tools=[late, *box.tools]) as (engine, _),
        engine.events("s") as subscription,
    ):
        task_id = await engine.submit_turn("s", "go")
        await wait_all_tasks_blocked()
        await engine.cancel_tool_calls("s")
        await wait_all_tasks_blocked()
        assert box.runs == [("s", "1")], "the second one is under way"
        box.gate.open()
        await engine.wait_turn("s", task_id)
        bodies = await bodies_until(subscription, TaskFinished)

    assert not [body for body in bodies if isinstance(body, ToolOutput)]


async def test_a_tool_that_ignores_its_end_is_left_alone_counted_and_its_result_dropped(
    autojump_clock: MockClock,
) -> None:
    slow = SlowToStop(1_000)
    sessions = {"a": AGENT, "b": AGENT}
    async with open_box(
        [wants(call("1", "hold"))], sessions=sessions, settings=ONE_SLOT, tools=[slow.tool]
    ) as (engine, _):
        task_id = await engine.submit_turn("a", "go")
        behind = await engine.submit_turn("b", "next")
        await wait_all_tasks_blocked()

        asked = autojump_clock.current_time()
        assert await engine.abort_turn("a")
        assert (await engine.wait_turn("a", task_id)).status is SessionStatus.ABORTED
        assert autojump_clock.current_time() == asked
        await engine.wait_turn("b", behind)
        tools = (await engine.statistics()).tools
        assert (tools.abandoned, tools.left) == (1, 1)
        before = (await engine.snapshot("a")).messages
        await trio.sleep(2_000)
        assert (await engine.statistics()).tools.left == 0
        assert (await engine.snapshot("a")).messages == before
