"""Batches of tool calls in whole engines: what runs beside what, and what the model is told of it."""

from __future__ import annotations

from collections.abc import Mapping

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.conversation import FinishReason, Text, ToolStatus
from actors.events import Event, TaskFinished, ToolCallsCompleted
from actors.models.scripted import ScriptedModel
from actors.records import CallState, ChatMode, ConfirmationOutcome, SessionStatus
from actors.session.protocol import NewSession
from actors.settings import EngineSettings
from actors.tools import Tool, ToolContext
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


async def test_of_a_batch_the_free_ones_run_and_the_turn_goes_on_when_all_are_settled() -> None:
    box = Toolbox()
    batch = wants(call("1", "quick"), call("2", "risky"), call("3", "quick"))
    async with open_box([batch], tools=box.tools) as (engine, model):
        waiting = await engine.run_turn("s", "go")

        assert waiting.status is SessionStatus.WAITING_CONFIRMATION
        assert [one.call.call_id for one in waiting.pending_calls] == ["2"]
        assert sorted(box.runs) == [("s", "1"), ("s", "3")]
        assert model.calls == 1
        await engine.confirm_tool_call("s", "2", ConfirmationOutcome.APPROVED)
        outcome = await engine.wait_turn("s", waiting.task_id)

    assert (outcome.status, outcome.answer) == (SessionStatus.COMPLETED, "over")
    assert sent_results(model.requests[1]) == ["1", "2", "3"]


async def test_one_decision_settles_one_call_and_the_others_wait_on() -> None:
    box = Toolbox()
    async with open_box([wants(call("1", "risky"), call("2", "risky"))], tools=box.tools) as (engine, _):
        waiting = await engine.run_turn("s", "go")
        await engine.confirm_tool_call("s", "2", ConfirmationOutcome.APPROVED)
        outcome = await engine.wait_turn("s", waiting.task_id)

        assert outcome.status is SessionStatus.WAITING_CONFIRMATION
        assert [one.call.call_id for one in outcome.pending_calls] == ["1"]
        assert [call_id for _, call_id in box.runs] == ["2"]
        await engine.confirm_tool_call("s", "1", ConfirmationOutcome.DENIED)
        assert (await engine.wait_turn("s", waiting.task_id)).status is SessionStatus.COMPLETED
        found = results(await engine.snapshot("s"))

    assert [one.status for one in found.values()] == [ToolStatus.CANCELLED, ToolStatus.SUCCEEDED]
    assert len(box.runs) == 1


async def test_slow_tools_of_a_batch_run_at_the_same_time(autojump_clock: MockClock) -> None:
    box = Toolbox()
    batch = wants(*(call(f"{n}", "slow") for n in range(3)))
    async with open_box([batch], tools=box.tools) as (engine, model):
        began = autojump_clock.current_time()
        await engine.run_turn("s", "go")
        took = autojump_clock.current_time() - began

    assert box.highest_running == 3
    assert 10 <= took < 20, "on a clock that moves only when everybody waits"
    assert sent_results(model.requests[1]) == ["0", "1", "2"]


async def test_a_session_that_allows_one_call_at_a_time_runs_them_one_after_the_other(
    autojump_clock: MockClock,  # noqa: ARG001 - what is slow takes no time
) -> None:
    box = Toolbox()
    batch = wants(*(call(f"{n}", "slow") for n in range(3)))
    sessions = {"s": NewSession(mode=ChatMode.AGENT, max_parallel_calls=1)}
    async with open_box([batch], tools=box.tools, sessions=sessions) as (engine, model):
        await engine.run_turn("s", "go")

    assert box.highest_running == 1
    assert [call_id for _, call_id in box.runs] == ["0", "1", "2"]
    assert sent_results(model.requests[1]) == ["0", "1", "2"]


async def test_of_a_group_one_call_runs_at_a_time(
    autojump_clock: MockClock,  # noqa: ARG001 - what is slow takes no time
) -> None:
    box = Toolbox()
    batch = wants(call("1", "first"), call("2", "second"), call("3", "first"))
    async with open_box([batch], tools=box.tools) as (engine, _):
        await engine.run_turn("s", "go")

    assert box.highest_running == 1
    assert [call_id for _, call_id in box.runs] == ["1", "2", "3"]


async def test_equal_call_ids_in_two_sessions_do_not_cross() -> None:
    box = Toolbox()
    batch = wants(call("same", "held"), call("other", "risky"))
    sessions = {"a": AGENT, "b": AGENT}
    async with open_box([batch, batch], tools=box.tools, sessions=sessions) as (engine, _):
        tasks = {name: await engine.submit_turn(name, "go") for name in sessions}
        await wait_all_tasks_blocked()

        assert await engine.cancel_tool_calls("a", ["same"]) == ("same",)
        assert (await engine.wait_turn("a", tasks["a"])).status is SessionStatus.WAITING_CONFIRMATION
        await engine.confirm_tool_call("b", "other", ConfirmationOutcome.DENIED)
        assert [one.call.call_id for one in await awaiting(engine, "a")] == ["other"]
        box.gate.open()
        await engine.wait_turn("b", tasks["b"])
        await engine.confirm_tool_call("a", "other", ConfirmationOutcome.APPROVED)
        await engine.wait_turn("a", tasks["a"])
        in_a, in_b = results(await engine.snapshot("a")), results(await engine.snapshot("b"))

    assert [one.status for one in in_a.values()] == [ToolStatus.CANCELLED, ToolStatus.SUCCEEDED]
    assert [one.status for one in in_b.values()] == [ToolStatus.SUCCEEDED, ToolStatus.CANCELLED]


async def test_calls_are_stopped_alone_and_the_turn_goes_on_with_the_others() -> None:
    box = Toolbox()
    batch = wants(call("1", "held"), call("2", "risky"), call("3", "quick"), call("4", "held"))
    async with open_box([batch], tools=box.tools) as (engine, model):
        assert await engine.cancel_tool_calls("s") == (), "there is nothing to stop"
        task_id = await engine.submit_turn("s", "go")
        await wait_all_tasks_blocked()

        assert await engine.cancel_tool_calls("s", ["2", "1", "3", "unknown"]) == ("1", "2")
        assert model.calls == 1
        assert await engine.cancel_tool_calls("s") == ("4",)
        outcome = await engine.wait_turn("s", task_id)
        assert await engine.cancel_tool_calls("s") == ()
        found = results(await engine.snapshot("s"))

    assert (outcome.status, outcome.answer) == (SessionStatus.COMPLETED, "over")
    assert sent_results(model.requests[1]) == ["1", "2", "3", "4"]
    statuses = {call_id: one.status for call_id, one in found.items()}
    stopped = ToolStatus.CANCELLED
    assert statuses == {"1": stopped, "2": stopped, "3": ToolStatus.SUCCEEDED, "4": stopped}


async def test_stopping_the_only_call_that_waits_for_a_person_lets_the_turn_go_on() -> None:
    async with open_box([wants(call("1", "risky"))], tools=Toolbox().tools) as (engine, _):
        waiting = await engine.run_turn("s", "go")
        await engine.release_session("s")

        assert await engine.cancel_tool_calls("s", ["1"]) == ("1",)
        outcome = await engine.wait_turn("s", waiting.task_id)

    assert outcome.status is SessionStatus.COMPLETED


async def test_those_who_look_on_learn_when_all_calls_are_over_before_the_next_answer_begins() -> None:
    batch = wants(call("1", "quick"), call("2", "unheard-of"))
    async with open_box([batch], tools=Toolbox().tools) as (engine, _), engine.events("s") as subscription:
        await engine.run_turn("s", "go")
        bodies: list[object] = []
        async for event in subscription:
            assert isinstance(event, Event)
            bodies.append(event.body)
            if isinstance(event.body, TaskFinished):
                break

    (completed,) = [body for body in bodies if isinstance(body, ToolCallsCompleted)]
    assert [(one.call.call_id, one.state) for one in completed.calls] == [
        ("1", CallState.SUCCESS),
        ("2", CallState.ERROR),
    ]
    kinds = [type(body).__name__ for body in bodies]
    assert kinds.index("ToolCallsCompleted") > kinds.index("ToolCallsUpdated")
    assert "AnswerStreamed" in kinds[kinds.index("ToolCallsCompleted") :]


# -- what goes wrong --


async def _exit(_: Mapping[str, object], __: ToolContext) -> str:
    raise SystemExit(3)


async def _flood(_: Mapping[str, object], __: ToolContext) -> str:
    await trio.lowlevel.checkpoint()
    return "x" * 10_000_000


BAD = (
    Tool(name="exits", description="", function=_exit),
    Tool(name="floods", description="", function=_flood, output_limit_bytes=1_000),
    Tool(
        name="strict",
        description="",
        function=_exit,
        parameters={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    ),
)


async def test_what_goes_wrong_with_a_call_is_told_to_the_model_and_the_turn_goes_on() -> None:
    batch = wants(
        call("unknown", "unheard-of"),
        call("wrong", "strict", '{"n": "many"}'),
        call("cut", "strict", '{"n": 1'),
        call("exits", "exits"),
        call("floods", "floods"),
    )
    async with open_box([batch], tools=BAD) as (engine, model):
        outcome = await engine.run_turn("s", "go")
        found = results(await engine.snapshot("s"))
        again = await engine.run_turn("s", "still there?")

    assert (outcome.status, outcome.answer) == (SessionStatus.COMPLETED, "over")
    assert again.status is SessionStatus.COMPLETED
    assert sent_results(model.requests[1]) == ["unknown", "wrong", "cut", "exits", "floods"]
    assert "There is no tool 'unheard-of'" in found["unknown"].output
    assert "do not fit the schema of 'strict'" in found["wrong"].output
    assert "not a JSON object" in found["cut"].output
    assert "SystemExit" in found["exits"].output
    assert [one.status for one in found.values()] == [ToolStatus.FAILED] * 4 + [ToolStatus.SUCCEEDED]
    assert "bytes left out" in found["floods"].output
    sent = [message.content for message in model.requests[1].messages if message.content in found.values()]
    assert sent == list(found.values()), "what was stored is what was sent"
    assert len(found["floods"].output) <= 1_000


async def test_a_model_that_calls_tools_for_ever_stops_at_the_limit_and_says_so() -> None:
    box = Toolbox()
    model = ScriptedModel(
        otherwise=lambda request: wants(call("c", "quick", f'{{"n":{len(request.messages)}}}'))
    )
    sessions = {"s": NewSession(mode=ChatMode.AGENT, max_turns=7)}
    async with open_box(model=model, tools=box.tools, sessions=sessions) as (engine, _):
        outcome = await engine.run_turn("s", "go")
        last = (await engine.snapshot("s")).branch[-1]

    assert outcome.status is SessionStatus.MAX_TURNS_REACHED
    assert (model.calls, len(box.runs)) == (7, 7)
    assert (last.content, last.finish_reason) == (Text(), FinishReason.MAX_TURNS)


async def test_a_model_that_makes_one_call_over_and_over_is_told_so_and_the_call_is_not_run() -> None:
    box = Toolbox()
    model = ScriptedModel(otherwise=lambda _: wants(call("", "quick")))
    async with open_box(model=model, tools=box.tools) as (engine, _):
        outcome = await engine.run_turn("s", "go")
        found = list(results(await engine.snapshot("s")).values())

    assert outcome.status is SessionStatus.MAX_TURNS_REACHED
    assert len(box.runs) == 5
    assert [one.status for one in found[:5]] == [ToolStatus.SUCCEEDED] * 5
    assert all("with the same arguments" in one.output for one in found[5:])


async def test_no_session_keeps_a_scheduler_or_a_running_tool_when_it_is_gone() -> None:
    box = Toolbox()
    async with open_box(
        [wants(call("1", "held"))], tools=box.tools, settings=EngineSettings(max_loaded=1)
    ) as (engine, _):
        task_id = await engine.submit_turn("s", "go")
        await wait_all_tasks_blocked()
        assert (await engine.statistics()).tools.running == 1

        await engine.unregister_session("s", force=True)
        await wait_all_tasks_blocked()

        statistics = (await engine.statistics()).tools
        assert (statistics.running, statistics.left) == (0, 0)
        assert (await engine.pool_status()).loaded == 0
        assert (await engine.wait_turn("s", task_id)).status is SessionStatus.ABORTED
