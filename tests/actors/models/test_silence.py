"""A model that says nothing for too long has failed, however its answer began."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from actors.conversation import Part
from actors.errors import EngineError, ErrorCode
from actors.models.base import ModelRequest
from actors.models.http import HttpPool
from actors.models.openai_chat import OpenAIChatModel
from actors.models.silence import SilenceLimit
from tests.actors.models.stream_samples import said, sse
from tests.actors.models.tiny_server import EVENT_STREAM, http_chunk, tiny_server

BEGUN_STREAM = EVENT_STREAM + http_chunk(sse([said("Hi")]))
BEGUN_DOCUMENT = EVENT_STREAM.replace(b"text/event-stream", b"application/json") + http_chunk(b"{")


@pytest.mark.parametrize("before", [b"", EVENT_STREAM, BEGUN_STREAM, BEGUN_DOCUMENT])
async def test_silence_ends_the_call_with_a_timeout(before: bytes) -> None:
    parts: list[Part] = []

    async def silent(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(before)
        await trio.sleep_forever()

    async with tiny_server(silent) as server, HttpPool(silence_seconds=0.05) as http:
        model = OpenAIChatModel("m", "m", base_url=server.base_url, http=http)
        with pytest.raises(EngineError) as caught:
            await model.stream(ModelRequest(messages=()), parts.extend)

    assert caught.value.code is ErrorCode.TIMEOUT
    assert "silent for 0.05 seconds" in str(caught.value)
    assert len(parts) == (before == BEGUN_STREAM)


async def test_whoever_is_heard_in_time_may_speak_for_ever(autojump_clock: MockClock) -> None:
    assert autojump_clock.rate == 0
    with trio.CancelScope() as scope:
        limit = SilenceLimit(scope, 10)
        for seconds in (1, 9, 10, 0, 0, 5, 9.9) * 10:
            await trio.sleep(seconds)
            limit.heard()

    assert not scope.cancelled_caught


async def test_the_limit_is_kept_to_a_64th(autojump_clock: MockClock) -> None:
    assert autojump_clock.rate == 0
    heard_at = trio.current_time() + 0.5
    with trio.CancelScope() as scope:
        limit = SilenceLimit(scope, 64)
        await trio.sleep(0.5)
        limit.heard()
        await trio.sleep_forever()

    assert 64 <= trio.current_time() - heard_at <= 65
