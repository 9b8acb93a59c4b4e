"""An engine on a scripted model for tests: what a session is asked decides what the model does."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Iterable, Mapping
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.access import Authorize, allow_local
from actors.agents import AgentDefinition
from actors.catalog import MemoryAgentService
from actors.conversation import FinishPart, FinishReason, Role, Text, TextPart, ToolCallPart, ToolResult
from actors.engine import Engine, open_engine
from actors.errors import EngineError, ErrorCode
from actors.events import Event, EventBody
from actors.models.base import Emit, LanguageModel, ModelRequest
from actors.models.scripted import Fail, Hang, Say, Script, ScriptedModel, echo, say
from actors.records import ChatMode
from actors.session.protocol import NewSession
from actors.settings import EngineSettings
from actors.stores import Store
from actors.subscription import Subscription
from actors.tools import Tool
from runtime import ActorSystem

__all__ = ["ExitingModel", "Stage", "bodies_until", "code_of", "open_stage", "play", "refusal_of"]


def play(request: ModelRequest) -> Script:
    """Hang at once, begin and hang, fail in two ways, use tools one by one, or repeat what was said."""
    question = next(message for message in reversed(request.messages) if message.role is Role.USER)
    assert isinstance(question.content, Text)
    text = question.content.text
    if text.startswith("use "):
        return _use(text.split()[1:], request)
    match text:
        case "hang":
            return (Hang(),)
        case "begin":
            return (Say((TextPart("begun"),)), Hang())
        case "fail":
            error = EngineError(ErrorCode.QUOTA_EXCEEDED, "slow down", retry_after_seconds=3)
            return (Say((TextPart("half"),)), Fail(error))
        case "break":
            return (Say((TextPart("half"),)), Fail(ValueError("a bug in an adapter")))
        case _:
            return echo(request)


def _use(names: list[str], request: ModelRequest) -> Script:
    """Ask for the tool that is next, then say what all of them have said."""
    outputs: list[str] = []
    for message in reversed(request.messages):
        if message.role is Role.USER:
            break
        if isinstance(message.content, ToolResult):
            outputs.insert(0, message.content.output)
    if len(outputs) == len(names):
        return say(f"used: {', '.join(outputs)}")
    name = names[len(outputs)]
    call_id = f"call {len(request.messages)}"
    return (
        Say((TextPart(f"I use {name}. "), ToolCallPart(0, call_id, name, "{}"))),
        Say((FinishPart(FinishReason.TOOL_CALLS),)),
    )


class ExitingModel:
    """Raises what no adapter should."""

    name = "scripted:exit"

    async def stream(self, request: ModelRequest, emit: Emit) -> None:
        await trio.lowlevel.checkpoint()
        emit((TextPart("half"),))
        await wait_all_tasks_blocked()  # a crash takes the mail along that was not handled yet
        raise SystemExit(request.system_prompt)


class Stage:
    def __init__(self, engine: Engine, model: ScriptedModel) -> None:
        self.engine = engine
        self.model = model

    async def ask(self, session_id: str, text: str, *, priority: int = 0) -> str:
        """Submit, and let everything happen that can happen now."""
        task_id = await self.engine.submit_turn(session_id, text, priority=priority)
        await wait_all_tasks_blocked()
        return task_id

    async def create(self, *session_ids: str, mode: ChatMode = ChatMode.CHAT) -> None:
        for session_id in session_ids:
            await self.engine.create_session(NewSession(mode=mode), session_id=session_id)


@asynccontextmanager
async def open_stage(
    *,
    store: Store | None = None,
    settings: EngineSettings | None = None,
    tools: Iterable[Tool] = (),
    agents: Mapping[str, AgentDefinition] | None = None,
    authorize: Authorize = allow_local,
    system: ActorSystem | None = None,
) -> AsyncGenerator[Stage, None]:
    model = ScriptedModel(otherwise=play)
    models: dict[str, LanguageModel] = {"scripted:echo": model, "scripted:exit": ExitingModel()}

    def model_for(name: str) -> LanguageModel:
        if name not in models:
            raise EngineError(ErrorCode.EXECUTOR_NOT_FOUND, f"there is no model {name}")
        return models[name]

    async with open_engine(
        settings,
        store=store,
        model_for=model_for,
        tools=tools,
        catalog=MemoryAgentService((agents or {}).values()),
        authorize=authorize,
        system=system,
    ) as engine:
        yield Stage(engine, model)


async def code_of(call: Awaitable[object]) -> ErrorCode:
    """The code with which a call is refused."""
    return (await refusal_of(call)).code


async def refusal_of(call: Awaitable[object]) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await call
    return caught.value


async def bodies_until(subscription: Subscription, kind: type[EventBody]) -> list[EventBody]:
    """The bodies of the events up to the first of this kind."""
    found: list[EventBody] = []
    async for event in subscription:
        assert isinstance(event, Event)
        found.append(event.body)
        if isinstance(event.body, kind):
            return found
    raise AssertionError(f"the subscription ended without a {kind.__name__}")
