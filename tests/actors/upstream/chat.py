"""What the tests of the endpoint ask, and how they read the answers."""

from __future__ import annotations

from typing import TypeAlias

import httpx
import msgspec

from actors.upstream.settings import UpstreamSettings

__all__ = [
    "CHAT",
    "QUICK",
    "Chunk",
    "Completion",
    "Json",
    "ask",
    "chunks",
    "events",
    "raw_request",
    "text_of",
]

Json: TypeAlias = dict[str, object]

CHAT = "/chat/completions"
QUICK = UpstreamSettings(ttft_seconds=0, tokens_per_second=0, tokens=(20, 20))


class _Delta(msgspec.Struct):
    role: str | None = None
    content: str | None = None


class _ChunkChoice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None


class Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Chunk(msgspec.Struct):
    id: str
    object: str
    model: str
    choices: list[_ChunkChoice]
    usage: Usage | msgspec.UnsetType | None = msgspec.UNSET


class _Message(msgspec.Struct):
    role: str
    content: str


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str


class Completion(msgspec.Struct):
    id: str
    object: str
    model: str
    choices: list[_Choice]
    usage: Usage


def ask(content: str = "What is a green room?", /, **fields: object) -> Json:
    """A request for a streamed answer; `fields` come on top."""
    return {
        "model": "greenroom-sim",
        "messages": [{"role": "user", "content": content}],
        "stream": True,
        **fields,
    }


async def events(client: httpx.AsyncClient, request: Json, **headers: str) -> list[bytes]:
    """The data of every event of the answer, as far as it comes."""
    async with client.stream("POST", CHAT, json=request, headers=headers) as response:
        response.raise_for_status()
        return [line[6:].encode() async for line in response.aiter_lines() if line.startswith("data: ")]


def chunks(data: list[bytes]) -> list[Chunk]:
    """The events before `[DONE]`, which must be the last one."""
    assert data[-1] == b"[DONE]"
    return [msgspec.json.decode(event, type=Chunk) for event in data[:-1]]


def text_of(data: list[bytes]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks(data) for choice in chunk.choices)


def raw_request(request: Json) -> bytes:
    body = msgspec.json.encode(request)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
