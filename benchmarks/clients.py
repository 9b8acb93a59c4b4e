"""Those who read the streams: a bare httpx loop, as experts and as most people write it, and the engine.

- `bare`: trio, httpx, httpx-sse and msgspec in a loop, as an expert would write it: a client per session,
  so that httpx's pool, which walks all of its connections on every open and close, has only one to walk;
- `naive`: the same loop over one client for all sessions, without limits, as most people would write it;
- `wire`: the engine's HTTP pool and model, without actors: what of the difference is the wire's;
- `engine`: `open_engine` with a SQLite store on disk: sessions, events, durable answers.
"""

from __future__ import annotations

import functools
import ssl
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import trio
from httpx_sse import EventSource

from actors.answer import AnswerBuilder
from actors.conversation import Message, Role, Text, TextPart
from actors.engine import Engine, open_engine
from actors.events import AnswerStreamed, Event
from actors.models.base import ModelRequest
from actors.models.http import HttpPool
from actors.models.openai_chat import OpenAIChatModel
from actors.models.traffic import Traffic, TrafficStatistics
from actors.records import SessionStatus
from actors.settings import EngineSettings

__all__ = [
    "MODEL",
    "TURNS",
    "VARIANTS",
    "Load",
    "Tally",
    "Variant",
    "all_streaming",
    "open_bench_engine",
    "question",
]

MODEL = "greenroom-sim"
TURNS = 2
_TIMEOUT_SECONDS = 60.0


class Load(msgspec.Struct, frozen=True):
    """What every variant has to do: ask `sessions` sessions `turns` questions each.

    `starts_per_second` 0 begins them all at once. A subscriber follows every so many-th of the engine's
    sessions, or none.
    """

    base_url: str
    sessions: int
    turns: int = TURNS
    starts_per_second: float = 0.0
    followed_every: int = 0


class Tally:
    """What came of it. `characters` are those of the complete answers.

    `traffic` counts what was received, also while it runs; its events include `[DONE]`. `arrived`, if it is
    set, is told of every piece of text as it reaches whoever asked: of which session, and how many.
    """

    def __init__(self, arrived: Callable[[int, int], None] | None = None) -> None:
        self.traffic: Callable[[], TrafficStatistics] = Traffic().statistics
        self.arrived = arrived
        self.answers = 0
        self.characters = 0

    def add(self, answer: str) -> None:
        self.answers += 1
        self.characters += len(answer)


Variant = Callable[[Load, Tally], Awaitable[None]]


def question(session: int, turn: int) -> str:
    return f"question {turn} of session {session}"


async def all_streaming(load: Load, tally: Tally) -> bool:
    """Return when all sessions wait for the next piece of their answers; False if they never do.

    Never is half as long again as it takes to begin them all, and some seconds more.
    """
    seconds = 15.0 + (1.5 * load.sessions / load.starts_per_second if load.starts_per_second else 60.0)
    with trio.move_on_after(seconds):
        while tally.traffic().running < load.sessions:  # noqa: ASYNC110 - a counter, looked at from outside
            await trio.sleep(0.1)
        return True
    return False


async def _start_all(load: Load, session: Callable[[int], Awaitable[None]]) -> None:
    """Run every session, begun at the pace that was asked for."""
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(load.sessions):
            if load.starts_per_second:
                await trio.sleep_until(began + number / load.starts_per_second)
            nursery.start_soon(session, number)


# --- the bare loops ---------------------------------------------------------------------------------


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int


class _Chunk(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


_chunk_decoder = msgspec.json.Decoder(_Chunk)


def _client(keep_alive: int | None) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=_ssl_context(),
        timeout=_TIMEOUT_SECONDS,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=keep_alive),
        trust_env=False,
    )


@functools.cache
def _ssl_context() -> ssl.SSLContext:
    return httpx.create_ssl_context()


async def bare(load: Load, tally: Tally) -> None:
    traffic = Traffic()
    tally.traffic = traffic.statistics

    async def session(number: int) -> None:
        async with _client(1) as client:
            await _converse(client, load, number, tally, traffic)

    await _start_all(load, session)


async def naive(load: Load, tally: Tally) -> None:
    traffic = Traffic()
    tally.traffic = traffic.statistics
    async with _client(None) as client, trio.open_nursery() as nursery:
        for number in range(load.sessions):
            nursery.start_soon(_converse, client, load, number, tally, traffic)


async def _converse(
    client: httpx.AsyncClient, load: Load, number: int, tally: Tally, traffic: Traffic
) -> None:
    messages: list[dict[str, str]] = []
    for turn in range(load.turns):
        messages.append({"role": "user", "content": question(number, turn)})
        body = {
            "model": MODEL,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        async with client.stream(
            "POST",
            load.base_url + "/chat/completions",
            content=msgspec.json.encode(body),
            headers={"content-type": "application/json", "accept-encoding": "identity"},
        ) as response:
            response.raise_for_status()
            traffic.running += 1
            answer = await _read(response, traffic, number, tally.arrived)
            traffic.running -= 1
        tally.add(answer)
        messages.append({"role": "assistant", "content": answer})


async def _read(
    response: httpx.Response, traffic: Traffic, number: int, arrived: Callable[[int, int], None] | None
) -> str:
    pieces: list[str] = []
    async for event in EventSource(response).aiter_sse():
        traffic.events += 1
        if event.data == "[DONE]":
            continue
        choices = _chunk_decoder.decode(event.data).choices
        came = [choice.delta.content for choice in choices if choice.delta.content]
        if came and arrived is not None:
            arrived(number, len(came))
        pieces += came
    return "".join(pieces)


# --- ours -------------------------------------------------------------------------------------------


async def wire(load: Load, tally: Tally) -> None:
    async with HttpPool() as http:
        tally.traffic = http.statistics
        model = OpenAIChatModel(MODEL, MODEL, base_url=load.base_url, http=http)

        async def session(number: int) -> None:
            messages: list[Message] = []
            for turn in range(load.turns):
                messages.append(_message(messages, Role.USER, question(number, turn)))
                builder = AnswerBuilder()
                await model.stream(ModelRequest(messages=tuple(messages)), builder.add)
                answer = builder.build().text
                tally.add(answer)
                messages.append(_message(messages, Role.ASSISTANT, answer))

        await _start_all(load, session)


def _message(before: list[Message], role: Role, text: str) -> Message:
    return Message(
        message_id=str(len(before)),
        parent_id=before[-1].message_id if before else None,
        role=role,
        content=Text(text),
        created_at=datetime.now(UTC),
    )


async def engine(load: Load, tally: Tally) -> None:
    async with open_bench_engine(load.base_url, max_loaded=load.sessions) as opened:
        tally.traffic = opened.traffic

        async def session(number: int) -> None:
            session_id = f"session-{number}"
            await opened.create_session(session_id=session_id)
            if load.followed_every and number % load.followed_every == 0:
                async with trio.open_nursery() as nursery:
                    await nursery.start(_follow, opened, number, tally)
                    await converse(number)
                    nursery.cancel_scope.cancel()
            else:
                await converse(number)

        async def converse(number: int) -> None:
            for turn in range(load.turns):
                outcome = await opened.run_turn(f"session-{number}", question(number, turn))
                if outcome.status is SessionStatus.COMPLETED:
                    tally.add(outcome.answer)

        await _start_all(load, session)


@asynccontextmanager
async def open_bench_engine(
    base_url: str, *, max_loaded: int, max_concurrent: int | None = None
) -> AsyncGenerator[Engine, None]:
    """An engine on a SQLite file of its own, which asks `base_url`, and by default lets everybody run."""
    with tempfile.TemporaryDirectory() as folder:
        settings = EngineSettings(
            store=str(Path(folder, "greenroom.db")),
            model=f"openai:{MODEL}",
            base_url=base_url,
            max_concurrent=max_concurrent or max_loaded,
            max_loaded=max_loaded,
        )
        async with open_engine(settings) as opened:
            yield opened


async def _follow(
    opened: Engine, number: int, tally: Tally, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Tell the tally of every piece that a subscriber of the session gets."""
    async with opened.events(f"session-{number}") as events:
        task_status.started()
        async for event in events:
            assert isinstance(event, Event), "the reader keeps up"
            if tally.arrived is not None and isinstance(event.body, AnswerStreamed):
                came = sum(isinstance(part, TextPart) for part in event.body.parts)
                if came:
                    tally.arrived(number, came)


VARIANTS: dict[str, Variant] = {"bare": bare, "naive": naive, "wire": wire, "engine": engine}
