"""Values that type-check and nobody expects: none of them ends an engine, or harms another session."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from actors.conversation import (
    FinishPart,
    FinishReason,
    Text,
    TextPart,
    ThoughtPart,
    ToolCallPart,
    ToolResult,
)
from actors.engine import open_engine
from actors.errors import EngineError, ErrorCode
from actors.governor import RetryPolicy
from actors.models.base import Emit, ModelRequest
from actors.models.scripted import Fail, Say, ScriptedModel, say
from actors.records import ChatMode, SessionStatus
from actors.session.protocol import NewSession
from actors.session.storable import MOST_TOOL_CALLS
from actors.settings import EngineSettings
from actors.tools import Tool
from tests.actors.session.stage import code_of, open_stage


@pytest.mark.parametrize("seconds", [math.inf, math.nan, 5e-324, -1.0])
async def test_an_interval_that_no_timer_can_keep_is_refused_and_the_engine_goes_on(seconds: float) -> None:
    async with open_stage() as stage:
        assert await code_of(stage.engine.start_auto_cleanup(seconds)) is ErrorCode.INVALID_ARGUMENT
        await stage.create("s")
        assert (await stage.engine.run_turn("s", "hello")).status is SessionStatus.COMPLETED


async def _no_tool(*_: object) -> str:
    raise AssertionError("it is not to be run")


async def test_arguments_that_are_nested_too_deeply_are_a_failed_call_and_not_a_failed_session() -> None:
    arguments = '{"a":' + "[" * 10_000
    ask = Say((ToolCallPart(0, "c1", "use", arguments), FinishPart(FinishReason.TOOL_CALLS)))
    model = ScriptedModel([(ask,), say("So be it.")])
    tool = Tool(name="use", description="", function=_no_tool)
    async with open_engine(model_for=lambda _: model, tools=[tool]) as engine:
        await engine.create_session(NewSession(mode=ChatMode.AGENT), session_id="s")
        outcome = await engine.run_turn("s", "Use it.")
        assert (outcome.status, outcome.answer) == (SessionStatus.COMPLETED, "So be it.")
        results = [m.content for m in (await engine.snapshot("s")).messages]
        assert any(isinstance(result, ToolResult) and "arguments" in result.output for result in results)
        assert (await engine.registry_statistics()).crashes == 0


async def test_half_a_surrogate_pair_in_what_a_model_says_costs_nothing_but_itself() -> None:
    ask = Say(
        (
            ThoughtPart("a\ud800"),
            TextPart("b\udc00"),
            ToolCallPart(0, "c\ud800", "use\ud800", '{"a":"\ud800"}'),
            FinishPart(FinishReason.TOOL_CALLS),
        )
    )
    wrong = EngineError(ErrorCode.NETWORK_ERROR, "d\ud800", peer="e\ud800")
    model = ScriptedModel([(ask,), (Fail(wrong),)])
    settings = EngineSettings(retry=RetryPolicy(max_attempts=1))
    async with open_engine(settings, model_for=lambda _: model) as engine:
        await engine.create_session(NewSession(mode=ChatMode.AGENT), session_id="s")
        outcome = await engine.run_turn("s", "hello")
        assert outcome.status is SessionStatus.FAILED
        assert outcome.error is not None
        assert (outcome.error.message, outcome.error.details) == ("d?", {"peer": "e?"})
        texts = [m.content for m in (await engine.snapshot("s")).messages if isinstance(m.content, Text)]
        assert Text("b?", "a?") in texts


@pytest.mark.parametrize(
    "part",
    ["text", TextPart(cast("Any", 3)), ToolCallPart(-1), ToolCallPart(10**9)],
    ids=["str", "int", "before", "far"],
)
async def test_a_model_that_says_what_is_no_part_fails_its_turn_and_not_its_session(part: Any) -> None:
    model = ScriptedModel([(Say((TextPart("half"),)), Say((part,)))])
    async with open_engine(model_for=lambda _: model) as engine:
        await engine.create_session(session_id="s")
        outcome = await engine.run_turn("s", "hello")
        assert (outcome.status, outcome.answer) == (SessionStatus.FAILED, "half")
        assert (await engine.registry_statistics()).crashes == 0


async def test_numbers_that_no_store_keeps_are_told_as_text_and_the_session_is_read_again(
    tmp_path: Path,
) -> None:
    wrong = EngineError(ErrorCode.QUOTA_EXCEEDED, "later", seconds=math.inf, share=math.nan, count=10**30)
    settings = EngineSettings(store=str(tmp_path / "store.db"), retry=RetryPolicy(max_attempts=1))
    async with open_engine(settings, model_for=lambda _: ScriptedModel([(Fail(wrong),)])) as engine:
        await engine.create_session(session_id="s")
        task_id = await engine.submit_turn("s", "hello")
        await engine.wait_turn("s", task_id)
    async with open_engine(settings) as engine:
        error = (await engine.wait_turn("s", task_id)).error
        assert error is not None
        assert error.details == {"seconds": "inf", "share": "nan", "count": str(10**30)}


async def test_a_model_that_asks_for_too_many_tools_is_told_how_many_there_may_be() -> None:
    calls = tuple(ToolCallPart(index, f"c{index}", "use") for index in range(MOST_TOOL_CALLS + 1))
    async with open_engine(model_for=lambda _: ScriptedModel([(Say(calls),)])) as engine:
        await engine.create_session(session_id="s")
        outcome = await engine.run_turn("s", "hello")
        assert outcome.error is not None
        assert f"{MOST_TOOL_CALLS} calls are the most" in outcome.error.message


class LateModel:
    """Speaks in its second call with the voice of the first one."""

    name = "scripted:late"

    def __init__(self) -> None:
        self._emit: Emit | None = None

    async def stream(self, request: ModelRequest, emit: Emit) -> None:  # noqa: ARG002 - the contract
        await trio.lowlevel.checkpoint()
        if self._emit is None:
            self._emit = emit
            emit((ToolCallPart(0, "c1", "unheard-of", "{}"), FinishPart(FinishReason.TOOL_CALLS)))
        else:
            self._emit((TextPart("late"),))
            emit((TextPart("in time"), FinishPart(FinishReason.STOP)))


async def test_what_a_model_says_after_its_call_is_not_part_of_the_next_one() -> None:
    model = LateModel()
    async with open_engine(model_for=lambda _: model) as engine:
        await engine.create_session(NewSession(mode=ChatMode.AGENT), session_id="s")
        assert (await engine.run_turn("s", "hello")).answer == "in time"
