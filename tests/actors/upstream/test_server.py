from __future__ import annotations

import resource
import socket
from collections.abc import AsyncIterator
from http import HTTPStatus

import httpx
import msgspec
import pytest
import trio
import trio.testing

from actors.errors import EngineError, ErrorCode
from actors.upstream.connection import MAX_BODY_BYTES
from actors.upstream.pacer import TICK_SECONDS
from actors.upstream.server import Upstream
from actors.upstream.settings import UpstreamSettings
from tests.actors.upstream.chat import CHAT, QUICK, Completion, ask, chunks, events, raw_request, text_of
from tests.actors.upstream.conftest import Serve


async def connect(upstream: Upstream) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", upstream.port)


async def read_until(stream: trio.SocketStream, mark: bytes) -> bytes:
    data = b""
    while mark not in data:
        received = await stream.receive_some()
        assert received, f"the connection ended before {mark!r}: {data[-200:]!r}"
        data += received
    return data


async def read_to_end(stream: trio.SocketStream) -> bytes:
    return b"".join([data async for data in stream])


async def test_stream_is_role_tokens_finish_usage_and_done(client: httpx.AsyncClient) -> None:
    data = await events(client, ask(stream_options={"include_usage": True}))

    role, *tokens, finish, usage = chunks(data)
    assert role.choices[0].delta.role == "assistant"
    assert [token.choices[0].finish_reason for token in tokens] == [None] * 20
    assert finish.choices[0].finish_reason == "stop"
    assert usage.choices == []
    assert isinstance(usage.usage, msgspec.Struct)
    assert usage.usage.completion_tokens == len(tokens)
    assert {(chunk.object, chunk.model) for chunk in chunks(data)} == {
        ("chat.completion.chunk", "greenroom-sim")
    }
    assert len({chunk.id for chunk in chunks(data)}) == 1


async def test_usage_comes_only_when_asked_for(client: httpx.AsyncClient) -> None:
    data = chunks(await events(client, ask()))

    assert all(chunk.usage is msgspec.UNSET for chunk in data)
    assert data[-1].choices[0].finish_reason == "stop"


async def test_stream_and_plain_answer_say_the_same(client: httpx.AsyncClient) -> None:
    streamed = await events(client, ask(stream_options={"include_usage": True}))
    response = await client.post(CHAT, json=ask(stream=False))

    plain = msgspec.json.decode(response.content, type=Completion)
    assert response.headers["content-type"] == "application/json"
    assert plain.choices[0].message.content == text_of(streamed) != ""
    assert plain.usage == chunks(streamed)[-1].usage


async def test_path_without_version_is_served_too(upstream: Upstream, client: httpx.AsyncClient) -> None:
    versioned = await client.post(CHAT, json=ask())
    bare = await client.post(f"http://127.0.0.1:{upstream.port}{CHAT}", json=ask())

    assert bare.content == versioned.content


async def test_concurrent_requests_get_the_answers_that_they_get_alone(client: httpx.AsyncClient) -> None:
    questions = [f"question {number}" for number in range(30)]
    alone = {question: await events(client, ask(question)) for question in questions}
    together: dict[str, list[bytes]] = {}

    async def fetch(question: str) -> None:
        together[question] = await events(client, ask(question))

    async with trio.open_nursery() as nursery:
        for question in reversed(questions):
            nursery.start_soon(fetch, question)

    assert together == alone


async def test_connection_is_kept_for_further_requests(upstream: Upstream) -> None:
    async with await connect(upstream) as stream:
        await stream.send_all(raw_request(ask("one")) + raw_request(ask("two")))
        data = b""
        while data.count(b"data: [DONE]") < 2:
            data += await read_until(stream, b"\r\n0\r\n\r\n")

    assert data.count(b"HTTP/1.1 200") == 2


async def test_request_to_close_is_heeded(upstream: Upstream) -> None:
    async with await connect(upstream) as stream:
        await stream.send_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await read_to_end(stream)).endswith(b'{"status":"ok"}')


async def test_head_request_gets_no_body(upstream: Upstream) -> None:
    async with await connect(upstream) as stream:
        await stream.send_all(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await stream.send_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        head, _, rest = (await read_to_end(stream)).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 405 ")
    assert rest.startswith(b"HTTP/1.1 200 ")


async def test_client_that_waits_for_leave_to_send_its_body_gets_it(upstream: Upstream) -> None:
    request = raw_request(ask()).replace(b"Host:", b"Expect: 100-continue\r\nHost:", 1)
    head, separator, body = request.partition(b"\r\n\r\n")
    async with await connect(upstream) as stream:
        await stream.send_all(head + separator)
        assert await read_until(stream, b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
        await stream.send_all(body)
        assert b"HTTP/1.1 200 " in await read_until(stream, b"[DONE]")


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"{", "We could not parse the JSON body"),
        (b'{"model": "\xff"}', "We could not parse the JSON body"),
        (b"[" * 100_000, "Expected `object`, got `array`"),
        (b'{"model": "m", "messages": [{"role": "user", "a": ' + b"[" * 100_000, "We could not parse"),
        (b'{"model": "m"}', "missing required field `messages`"),
        (b'{"model": "m", "messages": []}', "Expected `array` of length >= 1"),
        (b'{"messages": [{"role": "user"}]}', "missing required field `model`"),
        (b'{"model": "m", "messages": [{}]}', "missing required field `role` - at `$.messages[0]`"),
        (b'{"model": "m", "messages": [{"role": "user"}], "max_tokens": 0}', "Expected `int` >= 1"),
        (b'{"model": "m", "messages": [{"role": "user"}], "n": 2}', "one choice only"),
    ],
)
async def test_unusable_request_is_400_in_the_shape_of_the_wire(
    client: httpx.AsyncClient, body: bytes, complaint: str
) -> None:
    response = await client.post(CHAT, content=body)

    error = response.json()["error"]
    assert response.status_code == HTTPStatus.BAD_REQUEST
    assert complaint in error["message"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"


async def test_unknown_path_is_404_and_wrong_method_405(client: httpx.AsyncClient) -> None:
    nowhere = await client.get("/nowhere")
    wrong = await client.get(CHAT)

    assert (nowhere.status_code, wrong.status_code) == (404, 405)
    assert nowhere.json()["error"]["message"] == "Invalid URL (GET /v1/nowhere)"
    assert wrong.headers["allow"] == "POST"


@pytest.mark.parametrize("announced", [True, False])
async def test_body_without_measure_is_413(client: httpx.AsyncClient, announced: bool) -> None:
    body = b" " * (MAX_BODY_BYTES + 1)

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    response = await client.post(CHAT, content=body if announced else pieces())

    assert response.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", b"505"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"hello\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000, b"431"),
    ],
)
async def test_other_than_http_1_1_is_refused_and_the_connection_closed(
    upstream: Upstream, said: bytes, status: bytes
) -> None:
    async with await connect(upstream) as stream:
        await stream.send_all(said)
        await stream.send_eof()
        assert (await read_to_end(stream)).startswith(b"HTTP/1.1 " + status + b" ")


async def test_models_health_and_statistics_are_served(
    upstream: Upstream, client: httpx.AsyncClient
) -> None:
    await events(client, ask())
    models = await client.get("/models")
    health = await client.get(f"http://127.0.0.1:{upstream.port}/health")
    statistics = await client.get(f"http://127.0.0.1:{upstream.port}/statistics")

    assert [model["id"] for model in models.json()["data"]][:2] == ["greenroom-sim", "fault-429"]
    assert health.json() == {"status": "ok"}
    figures = statistics.json()
    assert figures.pop("cpu_seconds") > 0
    assert figures.pop("bytes") > 0
    assert figures == {
        "requests": 4,
        "connections": 1,
        "streams_running": 0,
        "streams_peak": 1,
        "streams_completed": 1,
        "streams_abandoned": 0,
        "events": 22,
        "faults": {},
    }


async def test_tokens_come_on_time(serve: Serve, patient_clock: trio.testing.MockClock) -> None:
    del patient_clock
    upstream = serve(UpstreamSettings(ttft_seconds=30, tokens_per_second=0.1, tokens=(3, 3)))
    async with httpx.AsyncClient(base_url=upstream.base_url, timeout=None) as client:  # noqa: S113 - the clock is ours
        began = trio.current_time()
        async with client.stream("POST", CHAT, json=ask()) as response:
            arrivals = [trio.current_time() - began async for line in response.aiter_lines() if line]

    due = [30, 30, 40, 50, 60, 60]
    late = [arrival - moment for arrival, moment in zip(arrivals, due, strict=True)]
    assert all(0 <= seconds <= 2 * TICK_SECONDS for seconds in late), late


async def test_500_streams_run_at_once_and_complete(
    serve: Serve, patient_clock: trio.testing.MockClock
) -> None:
    del patient_clock
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    upstream = serve(msgspec.structs.replace(QUICK, ttft_seconds=60, tokens_per_second=1_000))
    answers: dict[int, bytes] = {}

    async def fetch(number: int) -> None:
        async with await connect(upstream) as stream:
            await stream.send_all(raw_request(ask(f"question {number}")))
            answers[number] = await read_until(stream, b"data: [DONE]\n\n\r\n0\r\n\r\n")

    async with trio.open_nursery() as nursery:
        for number in range(500):
            nursery.start_soon(fetch, number)

    assert len(answers) == 500
    assert {answer.count(b"data: ") for answer in answers.values()} == {23}
    statistics = upstream.statistics()
    assert (statistics.streams_peak, statistics.streams_completed) == (500, 500)
    assert (statistics.streams_running, statistics.events) == (0, 500 * 22)


async def test_slow_reader_delays_nobody_and_still_gets_everything(serve: Serve) -> None:
    upstream = serve(msgspec.structs.replace(QUICK, tokens=(60_000, 60_000)))
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", upstream.port))
        sock.setblocking(False)
        sock.send(raw_request(ask("slow")))

        async with httpx.AsyncClient(base_url=upstream.base_url) as client:
            answers = [await events(client, ask(f"quick {number}", max_tokens=5)) for number in range(20)]

        meanwhile = upstream.statistics()
        data = bytearray()
        while not data.endswith(b"0\r\n\r\n"):
            await trio.lowlevel.wait_readable(sock)
            data += sock.recv(1_000_000)

    assert all(answer[-1] == b"[DONE]" for answer in answers)
    assert (meanwhile.streams_running, meanwhile.streams_completed) == (1, 20)
    assert data.count(b"data: {") == 60_002
    assert upstream.statistics().streams_completed == 21


async def test_reader_that_is_stuck_is_freed_when_it_leaves(serve: Serve) -> None:
    upstream = serve(msgspec.structs.replace(QUICK, tokens=(100_000, 100_000)))
    async with await connect(upstream) as stream:
        await stream.send_all(raw_request(ask()))
        await read_until(stream, b"data: ")
        await stream.send_eof()
        await read_to_end(stream)

    statistics = upstream.statistics()
    assert (statistics.streams_running, statistics.streams_abandoned) == (0, 1)
    assert statistics.connections == 0


async def test_client_that_leaves_between_two_events_frees_its_stream(serve: Serve) -> None:
    upstream = serve(msgspec.structs.replace(QUICK, tokens_per_second=0.001))
    async with await connect(upstream) as stream:
        await stream.send_all(raw_request(ask()))
        await read_until(stream, b'"content":""')
        assert upstream.statistics().streams_running == 1

        await stream.send_eof()
        await read_to_end(stream)

    statistics = upstream.statistics()
    assert (statistics.streams_running, statistics.streams_abandoned) == (0, 1)
    assert statistics.connections == 0


async def test_idle_connection_is_closed_after_a_while(
    serve: Serve, patient_clock: trio.testing.MockClock
) -> None:
    del patient_clock
    upstream = serve(QUICK)
    async with await connect(upstream) as stream:
        assert await read_to_end(stream) == b""

    assert trio.current_time() >= 100


async def test_ipv6_loopback_is_served(serve: Serve) -> None:
    try:
        upstream = serve(msgspec.structs.replace(QUICK, host="::1"))
    except EngineError as error:
        pytest.skip(f"no IPv6 here: {error}")
    async with httpx.AsyncClient(base_url=upstream.base_url) as client:
        assert (await events(client, ask()))[-1] == b"[DONE]"


async def test_port_in_use_is_an_error_that_names_it(upstream: Upstream) -> None:
    with pytest.raises(EngineError, match=f"port {upstream.port} of 127.0.0.1 is in use") as caught:
        Upstream(msgspec.structs.replace(QUICK, port=upstream.port))

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
