"""An engine on a scripted model for tests: what a session is asked decides what the model does."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
from trio.testing import wait_all_tasks_blocked

from actors.conversation import Role, Text, TextPart
from actors.engine import Engine, open_engine
from actors.errors import EngineError, ErrorCode
from actors.events import Event, EventBody
from actors.models.base import Emit, LanguageModel, ModelRequest
from actors.models.scripted import Fail, Hang, Say, Script, ScriptedModel, echo
from actors.settings import EngineSettings
from actors.stores import Store
from actors.subscription import Subscription

__all__ = ["ExitingModel", "Stage", "bodies_until", "open_stage", "play"]


def play(request: ModelRequest) -> Script:
    """Hang at once, begin and hang, fail in two ways, or repeat what was said."""
    question = next(message for message in reversed(request.messages) if message.role is Role.USER)
    assert isinstance(question.content, Text)
    match question.content.text:
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

    async def create(self, *session_ids: str) -> None:
        for session_id in session_ids:
            await self.engine.create_session(session_id=session_id)


@asynccontextmanager
async def open_stage(
    *, store: Store | None = None, settings: EngineSettings | None = None
) -> AsyncGenerator[Stage, None]:
    model = ScriptedModel(otherwise=play)
    models: dict[str, LanguageModel] = {"scripted:echo": model, "scripted:exit": ExitingModel()}

    def model_for(name: str) -> LanguageModel:
        if name not in models:
            raise EngineError(ErrorCode.EXECUTOR_NOT_FOUND, f"there is no model {name}")
        return models[name]

    async with open_engine(settings, store=store, model_for=model_for) as engine:
        yield Stage(engine, model)


async def bodies_until(subscription: Subscription, kind: type[EventBody]) -> list[EventBody]:
    """The bodies of the events up to the first of this kind."""
    found: list[EventBody] = []
    async for event in subscription:
        assert isinstance(event, Event)
        found.append(event.body)
        if isinstance(event.body, kind):
            return found
    raise AssertionError(f"the subscription ended without a {kind.__name__}")
