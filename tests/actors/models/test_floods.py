"""A server that sends without measure fails its call, and takes neither memory nor time of others."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
import trio

from actors.conversation import Part
from actors.errors import EngineError, ErrorCode
from actors.models.anthropic_messages import AnthropicMessagesModel
from actors.models.base import ModelRequest
from actors.models.http import HttpPool
from actors.models.openai_chat import OpenAIChatModel
from actors.models.openai_responses import OpenAIResponsesModel
from tests.actors.models.stream_samples import said, sse
from tests.actors.models.tiny_server import EVENT_STREAM, http_chunk, tiny_server

MODELS = (OpenAIChatModel, OpenAIResponsesModel, AnthropicMessagesModel)
DEEP = b"[" * 100_000 + b"]" * 100_000


class Flood(httpx.AsyncByteStream):
    """The same bytes again and again."""

    def __init__(self, piece: bytes) -> None:
        self._piece = piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await trio.lowlevel.checkpoint()
            yield self._piece


@pytest.mark.parametrize(
    ("piece", "what"),
    [
        (b"data: " + b"x" * 1_000_000, "event"),
        (b"data: x\n" * 100_000, "event"),
        (b"data: " + b" " * 16_000_000 + said("x").encode() + b"\n\n", "answer"),
    ],
)
async def test_an_answer_without_end_is_left_when_it_is_too_large(piece: bytes, what: str) -> None:
    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Flood(piece))
    async with HttpPool(transport=httpx.MockTransport(lambda _: response)) as http:
        model = OpenAIChatModel("m", "m", base_url="http://model.test", http=http)
        with pytest.raises(EngineError, match=f"too much: its {what} is larger") as caught:
            await model.stream(ModelRequest(messages=()), lambda _: None)

    assert caught.value.code is ErrorCode.EXECUTION_FAILED


@pytest.mark.parametrize("model_class", MODELS)
@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
@pytest.mark.parametrize("status", [200, 500])
async def test_json_that_is_nested_without_measure_is_a_failure_of_the_provider(
    model_class: type[OpenAIChatModel], content_type: str, status: int
) -> None:
    body = b'{"type": "ping", "x": %s}' % DEEP
    content = body if "json" in content_type else b"data: %s\n\n" % body
    response = httpx.Response(status, headers={"content-type": content_type}, content=content)
    async with HttpPool(transport=httpx.MockTransport(lambda _: response)) as http:
        model = model_class("m", "m", base_url="http://model.test", http=http)
        with pytest.raises(EngineError) as caught:
            await model.stream(ModelRequest(messages=()), lambda _: None)

    assert caught.value.code is ErrorCode.EXECUTION_FAILED


async def test_what_the_listener_to_a_stream_raises_comes_out_as_it_is() -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(EVENT_STREAM + http_chunk(sse([said("Hi")])))
        await trio.sleep_forever()

    def refuse(_: tuple[Part, ...]) -> None:
        raise EngineError(ErrorCode.EXECUTION_FAILED, "too many")

    async with tiny_server(answer) as server, HttpPool() as http:
        model = OpenAIChatModel("m", "m", base_url=server.base_url, http=http)
        with pytest.raises(EngineError, match="too many"):
            await model.stream(ModelRequest(messages=()), refuse)
