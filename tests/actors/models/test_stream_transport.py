"""One connection for one stream after the other, given up whenever it is not sound."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from actors.models.stream_transport import StreamTransport
from tests.actors.models.tiny_server import END, EVENT_STREAM, Answering, http_chunk, tiny_server

KEEP_ALIVE_SECONDS = 15.0
NO_TLS = ssl.create_default_context()


def client_over(transport: StreamTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=transport, timeout=5.0, verify=NO_TLS, trust_env=False)


@asynccontextmanager
async def a_client() -> AsyncGenerator[httpx.AsyncClient, None]:
    async with client_over(StreamTransport(NO_TLS, keep_alive_seconds=KEEP_ALIVE_SECONDS)) as client:
        yield client


async def streamed(stream: trio.SocketStream, _: bytes) -> None:
    await stream.send_all(EVENT_STREAM + http_chunk(b"a") + http_chunk(b"b") + END)


async def plain(stream: trio.SocketStream, _: bytes) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab")


async def until_closed(stream: trio.SocketStream, _: bytes) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\nab")
    await stream.aclose()


async def and_closed(stream: trio.SocketStream, request: bytes) -> None:
    await streamed(stream, request)
    await stream.aclose()


async def closing(stream: trio.SocketStream, _: bytes) -> None:
    head = EVENT_STREAM.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    await stream.send_all(head + http_chunk(b"ab") + END)


async def with_surplus(stream: trio.SocketStream, _: bytes) -> None:
    await stream.send_all(EVENT_STREAM + http_chunk(b"ab") + END + b"more")


@pytest.mark.parametrize(
    ("answer", "connections"),
    [(streamed, 1), (plain, 1), (until_closed, 2), (and_closed, 2), (closing, 2), (with_surplus, 2)],
)
async def test_a_connection_is_used_again_only_if_it_is_sound(answer: Answering, connections: int) -> None:
    async with tiny_server(answer) as server, a_client() as client:
        first = await client.post(server.base_url, content=b"1")
        await trio.testing.wait_all_tasks_blocked()
        second = await client.post(server.base_url, content=b"2")

    assert first.content == second.content == b"ab"
    assert server.connections == connections


async def test_a_connection_that_rested_for_long_is_not_used_again(mock_clock: MockClock) -> None:
    async with tiny_server(streamed) as server, a_client() as client:
        await client.post(server.base_url, content=b"1")
        mock_clock.jump(KEEP_ALIVE_SECONDS + 1)
        await client.post(server.base_url, content=b"2")

    assert server.connections == 2


async def test_a_stream_that_is_left_early_takes_its_connection_with_it() -> None:
    async def endless(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(EVENT_STREAM + http_chunk(b"a"))
        await trio.sleep_forever()

    async with tiny_server(endless) as server, a_client() as client:
        for _ in range(2):
            async with client.stream("POST", server.base_url, content=b"1") as response:
                assert response.status_code == 200

    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        EVENT_STREAM,
        EVENT_STREAM + b"5\r\nab",
        EVENT_STREAM + b"?\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000,
    ],
)
async def test_an_answer_that_is_cut_or_malformed_is_a_protocol_error(answer: bytes) -> None:
    async def cut(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(answer)
        await stream.aclose()

    async with tiny_server(cut) as server, a_client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(server.base_url, content=b"1")


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na"])
async def test_silence_is_a_read_timeout(before: bytes) -> None:
    async def silent(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(before)
        await trio.sleep_forever()

    limits = httpx.Timeout(5.0, read=0.02)
    async with tiny_server(silent) as server, a_client() as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(server.base_url, content=b"1", timeout=limits)


async def test_a_request_that_cannot_be_written_is_a_local_error_and_sends_nothing() -> None:
    async with tiny_server(streamed) as server, a_client() as client:
        with pytest.raises(httpx.LocalProtocolError):
            await client.post(server.base_url, content=b"1", headers={"authorization": "a\nb"})

    assert server.requests == []


async def test_it_speaks_tls_and_checks_who_answers(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make_certificate(certificate, key)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(certificate))
    connections = 0

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        nonlocal connections
        connections += 1
        try:
            while await stream.receive_some():
                await stream.send_all(EVENT_STREAM + http_chunk(b"ab") + END)
        except trio.BrokenResourceError:
            return

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, serve, [trio.SSLListener(listener, serving)])
        transport = StreamTransport(trusting, keep_alive_seconds=KEEP_ALIVE_SECONDS)
        async with client_over(transport) as client, a_client() as doubting:
            for _ in range(2):
                assert (await client.get(f"https://localhost:{port}/")).content == b"ab"
            with pytest.raises(httpx.ConnectError):
                await doubting.get(f"https://localhost:{port}/")
        nursery.cancel_scope.cancel()

    assert connections == 2


def make_certificate(certificate: Path, key: Path) -> None:
    """A certificate of `localhost`, signed by itself."""
    try:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("needs the command openssl")
