"""What a model is asked with: settings, the system prompt, what only its provider understands."""

from __future__ import annotations

import pytest
from trio.testing import wait_all_tasks_blocked

from actors.agents import AgentDefinition
from actors.catalog import MemoryAgentService
from actors.conversation import (
    Attachment,
    FinishPart,
    FinishReason,
    ProviderItem,
    ProviderItemPart,
    TextPart,
    ToolCallPart,
)
from actors.errors import EngineError, ErrorCode
from actors.events import AnswerStreamed, Event, TaskFinished
from actors.model_settings import ModelSettings
from actors.models.base import ModelRequest
from actors.models.scripted import Fail, Hang, Say, say
from actors.prompts import PromptContext
from actors.records import ChatMode, SessionStatus, WorkMode
from actors.session.protocol import NewSession, SessionChanges
from tests.actors.engine.tool_stage import AGENT, Toolbox, call, open_box, sent_results, wants

# -- settings and prompts --


async def test_a_session_is_asked_by_its_own_settings_an_agent_by_its_own_over_these() -> None:
    cold = ModelSettings(temperature=0.1, max_output_tokens=5)
    sessions = {"cold": NewSession(settings=cold), "plain": NewSession()}
    agents = MemoryAgentService(
        [AgentDefinition(agent_id="hot", settings=ModelSettings(temperature=0.9, options={"top_k": 3}))]
    )
    async with open_box(sessions=sessions, catalog=agents) as (engine, model):
        await engine.run_turn("plain", "go")
        await engine.run_turn("cold", "go")
        await engine.run_turn("cold", "go", executor_id="hot")
        await engine.update_session("plain", SessionChanges(settings=ModelSettings(temperature=0.5)))
        await engine.release_session("plain")
        await engine.run_turn("plain", "again")

    assert [request.settings for request in model.requests] == [
        ModelSettings(),
        cold,
        ModelSettings(temperature=0.9, max_output_tokens=5, options={"top_k": 3}),
        ModelSettings(temperature=0.5),
    ]
    assert [request.conversation_id for request in model.requests] == ["plain", "cold", "cold", "plain"]


async def test_a_host_writes_the_system_prompt_of_each_call_from_what_it_is_for() -> None:
    seen: list[PromptContext] = []

    def prompt(context: PromptContext) -> str:
        seen.append(context)
        return f"{context.work_mode.value} with {len(context.tools)} tools"

    new = NewSession(
        mode=ChatMode.AGENT,
        work_mode=WorkMode.PLAN,
        system_prompt="Be kind.",
        knowledge=("Cats purr.",),
        directory="/somewhere",
        model="scripted:echo",
    )
    async with open_box(
        [wants(call("1", "reads"))], sessions={"s": new}, tools=Toolbox().tools, prompt=prompt
    ) as (engine, model):
        await engine.run_turn("s", "go")
        await engine.update_session("s", SessionChanges(work_mode=WorkMode.ACT))
        await engine.run_turn("s", "go")

    assert [request.system_prompt for request in model.requests] == [
        "plan with 1 tools",
        "plan with 1 tools",
        "act with 7 tools",
    ]
    assert seen[0] == PromptContext(
        session_id="s",
        executor_id="default",
        model="scripted:echo",
        system_prompt="Be kind.",
        mode=ChatMode.AGENT,
        work_mode=WorkMode.PLAN,
        knowledge=("Cats purr.",),
        tools=("reads",),
        directory="/somewhere",
    )


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            ValueError("a bug"),
            ErrorCode.EXECUTION_FAILED,
            "the system prompt cannot be written: ValueError",
        ),
        (EngineError(ErrorCode.INVALID_ARGUMENT, "name a city"), ErrorCode.INVALID_ARGUMENT, "name a city"),
    ],
)
@pytest.mark.parametrize("at_call", [1, 2])
async def test_a_prompt_that_cannot_be_written_fails_its_turn_and_nothing_else(
    error: Exception, code: ErrorCode, message: str, at_call: int
) -> None:
    calls = 0

    def prompt(_: PromptContext) -> str:
        nonlocal calls
        calls += 1
        if calls == at_call:
            raise error
        return ""

    async with open_box([wants(call("1", "quick"))], tools=Toolbox().tools, prompt=prompt) as (
        engine,
        model,
    ):
        outcome = await engine.run_turn("s", "go")
        assert outcome.status is SessionStatus.FAILED
        assert outcome.error is not None
        assert (outcome.error.code, outcome.error.message) == (code, message)
        again = await engine.run_turn("s", "again")

    assert again.status is SessionStatus.COMPLETED
    assert sent_results(model.requests[-1]) == ["1"]


async def test_attachments_are_in_the_request_as_they_were_given() -> None:
    attached = Attachment("a.txt", "what it says")
    async with open_box() as (engine, model):
        await engine.run_turn("s", "read", attachments=[attached])

    assert getattr(model.requests[0].messages[-1].content, "attachments", None) == (attached,)


# -- what only the provider understands --

SIGNED = ProviderItemPart("wire", '{"signature": 1}')
LATER = ProviderItemPart("wire", '{"signature": 2}')


def sent_items(request: ModelRequest) -> list[tuple[ProviderItem, ...]]:
    return [message.provider_items for message in request.messages if message.provider_items]


async def test_what_only_the_provider_understands_is_sent_back_in_its_place_and_shown_to_nobody() -> None:
    both = Say((SIGNED, TextPart("I look. "), LATER))
    asks = (both, Say((ToolCallPart(0, "1", "quick", "{}"), FinishPart(FinishReason.TOOL_CALLS))))
    only = (Say((SIGNED, ToolCallPart(0, "2", "quick", "{}"), FinishPart(FinishReason.TOOL_CALLS))),)
    async with (
        open_box([asks, only], tools=Toolbox().tools) as (engine, model),
        engine.events("s") as subscription,
    ):
        await engine.run_turn("s", "go")
        await engine.release_session("s")
        await engine.run_turn("s", "again")
        shown: list[object] = []
        async for event in subscription:
            assert isinstance(event, Event)
            if isinstance(event.body, AnswerStreamed):
                shown += event.body.parts
            if isinstance(event.body, TaskFinished):
                break

    first = (ProviderItem("wire", SIGNED.data, 0), ProviderItem("wire", LATER.data, len("I look. ")))
    second = (ProviderItem("wire", SIGNED.data, 0),)
    assert sent_items(model.requests[1]) == [first]
    assert sent_items(model.requests[-1]) == [first, second]
    assert TextPart("I look. ") in shown
    assert not any(isinstance(part, ProviderItemPart) for part in shown)


@pytest.mark.parametrize("how", ["failed", "aborted"])
async def test_of_an_answer_that_was_cut_nothing_is_sent_back_that_only_the_provider_understands(
    how: str,
) -> None:
    begun = Say((SIGNED, TextPart("half")))
    error = EngineError(ErrorCode.NETWORK_ERROR, "cut")
    script = (begun, Fail(error)) if how == "failed" else (begun, Hang())
    async with open_box([script, say("over")], sessions={"s": AGENT}) as (engine, model):
        task_id = await engine.submit_turn("s", "go")
        if how == "aborted":
            await wait_all_tasks_blocked()
            await engine.abort_turn("s")
        outcome = await engine.wait_turn("s", task_id)
        await engine.run_turn("s", "again")

    assert (outcome.status.value, outcome.answer) == (how, "half")
    assert sent_items(model.requests[-1]) == []
