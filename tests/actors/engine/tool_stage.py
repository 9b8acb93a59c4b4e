"""An engine whose model asks for tools, as a test says, and a box of tools that remembers its calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Unpack

import trio

from actors.conversation import (
    FinishPart,
    FinishReason,
    ToolCall,
    ToolCallPart,
    ToolResult,
)
from actors.engine import Engine, open_engine
from actors.engine.options import EngineOptions
from actors.models.base import ModelRequest
from actors.models.scripted import Gate, Say, Script, ScriptedModel, say
from actors.records import CallRecord, CallState, ChatMode
from actors.session.protocol import NewSession, SessionSnapshot
from actors.settings import EngineSettings
from actors.tools import Tool, ToolContext

__all__ = [
    "AGENT",
    "Toolbox",
    "awaiting",
    "call",
    "open_box",
    "results",
    "sent_results",
    "wants",
]

AGENT = NewSession(mode=ChatMode.AGENT)


def call(call_id: str, name: str, arguments: str = "{}") -> ToolCall:
    return ToolCall(call_id, name, arguments)


def wants(*calls: ToolCall) -> Script:
    """An answer that asks for these."""
    return (
        Say(tuple(ToolCallPart(n, one.call_id, one.name, one.arguments) for n, one in enumerate(calls))),
        Say((FinishPart(FinishReason.TOOL_CALLS),)),
    )


class Toolbox:
    """`quick` and `risky` answer at once, `slow` in ten seconds, `held` when the gate opens.

    `first` and `second` are of one group and slow. `reads` is the only one that changes nothing. `runs` has
    session and call id of every call that began, `ended` of every one that came to its end.
    """

    def __init__(self) -> None:
        self.runs: list[tuple[str, str]] = []
        self.ended: list[tuple[str, str]] = []
        self.running = 0
        self.highest_running = 0
        self.gate = Gate()
        self.tools = (
            Tool(name="quick", description="", function=self._quick),
            Tool(name="risky", description="", function=self._quick, needs_confirmation=True),
            Tool(name="reads", description="", function=self._quick, read_only=True),
            Tool(name="slow", description="", function=self._slow),
            Tool(name="first", description="", function=self._slow, group="pair"),
            Tool(name="second", description="", function=self._slow, group="pair"),
            Tool(name="held", description="", function=self._held),
        )

    async def _quick(self, _: Mapping[str, object], context: ToolContext) -> str:
        return await self._run(context, 0)

    async def _slow(self, _: Mapping[str, object], context: ToolContext) -> str:
        return await self._run(context, 10)

    async def _held(self, _: Mapping[str, object], context: ToolContext) -> str:
        self.runs.append((context.session_id, context.call_id))
        await self.gate.pass_through()
        return f"held {context.call_id}"

    async def _run(self, context: ToolContext, seconds: float) -> str:
        self.runs.append((context.session_id, context.call_id))
        self.running += 1
        self.highest_running = max(self.running, self.highest_running)
        try:
            await trio.sleep(seconds)
        finally:
            self.running -= 1
        self.ended.append((context.session_id, context.call_id))
        return f"done {context.call_id}"


@asynccontextmanager
async def open_box(
    scripts: Sequence[Script] = (),
    *,
    sessions: Mapping[str, NewSession] | None = None,
    settings: EngineSettings | None = None,
    model: ScriptedModel | None = None,
    **options: Unpack[EngineOptions],
) -> AsyncGenerator[tuple[Engine, ScriptedModel], None]:
    """An engine with these sessions, by default an agent `s`. Behind its scripts the model says `over`."""
    playing = model or ScriptedModel(scripts, otherwise=lambda _: say("over"))
    options["model_for"] = lambda _: playing
    async with open_engine(settings, **options) as engine:
        for session_id, new in ({"s": AGENT} if sessions is None else sessions).items():
            await engine.create_session(new, session_id=session_id)
        yield engine, playing


def results(snapshot: SessionSnapshot) -> dict[str, ToolResult]:
    """The results in the visible branch, by call id, in their order."""
    contents = [message.content for message in snapshot.branch]
    return {content.call_id: content for content in contents if isinstance(content, ToolResult)}


def sent_results(request: ModelRequest) -> list[str]:
    """Of which calls the model was given results, in their order."""
    contents = [message.content for message in request.messages]
    return [content.call_id for content in contents if isinstance(content, ToolResult)]


async def awaiting(engine: Engine, session_id: str = "s") -> tuple[CallRecord, ...]:
    """The calls that wait for a person."""
    task = (await engine.snapshot(session_id)).record.task
    assert task is not None
    return tuple(one for one in task.calls if one.state is CallState.AWAITING_APPROVAL)
