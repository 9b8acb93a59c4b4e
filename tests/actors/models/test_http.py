from __future__ import annotations

import errno
import gzip
import os
import resource
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.errors import EngineError, ErrorCode
from actors.models import HttpPool
from tests.actors.models.tiny_server import tiny_server

URL = httpx.URL("http://user:password@model.test:8080/v1/chat/completions?token=1")
KEY = "sk-0123456789abcdef"
CHECKOUT = Path(__file__).resolve().parents[3]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


_ONE_REQUEST = """
import sys, httpx, trio
from actors.models import HttpPool

async def main():
    async with HttpPool() as http, http.post(httpx.URL(sys.argv[1]), {}, b"{}") as response:
        await response.aread()

trio.run(main)
"""


async def failure(respond: Callable[[httpx.Request], httpx.Response], url: httpx.URL = URL) -> EngineError:
    async with HttpPool(transport=httpx.MockTransport(respond)) as http:
        with pytest.raises(EngineError) as caught:
            async with http.post(url, {"authorization": f"Bearer {KEY}"}, b"{}"):
                pass
        assert http.statistics().running == 0
    assert KEY not in str(caught.value)
    assert "password" not in str(caught.value)
    return caught.value


def raising(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def respond(_: httpx.Request) -> httpx.Response:
        raise error

    return respond


async def get(http: HttpPool, base_url: str) -> bytes:
    async with http.post(httpx.URL(base_url), {}, b"{}") as response:
        return await response.aread()


# --- statuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, ErrorCode.INVALID_ARGUMENT),
        (401, ErrorCode.FORBIDDEN),
        (402, ErrorCode.FORBIDDEN),
        (403, ErrorCode.FORBIDDEN),
        (404, ErrorCode.EXECUTOR_NOT_FOUND),
        (405, ErrorCode.INVALID_ARGUMENT),
        (408, ErrorCode.TIMEOUT),
        (413, ErrorCode.INVALID_ARGUMENT),
        (422, ErrorCode.INVALID_ARGUMENT),
        (429, ErrorCode.QUOTA_EXCEEDED),
        (500, ErrorCode.EXECUTION_FAILED),
        (502, ErrorCode.EXECUTION_FAILED),
        (503, ErrorCode.EXECUTION_FAILED),
        (529, ErrorCode.EXECUTION_FAILED),
    ],
)
async def test_a_status_has_a_code_and_quotes_the_provider(status: int, code: ErrorCode) -> None:
    error = await failure(lambda _: httpx.Response(status, json={"error": {"message": "so it is"}}))

    assert error.code is code
    assert error.details["http_status"] == status
    assert str(error) == f"http://model.test:8080 answered {status}: so it is"


async def test_a_missing_model_says_that_it_is_the_model() -> None:
    error = await failure(lambda _: httpx.Response(404, json={"error": {"message": "no such model"}}))

    assert error.details["kind"] == "model"


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize(
    "fields",
    [
        {"message": "too much", "code": "context_length_exceeded"},
        {"message": "This model's maximum context length is 8192 tokens."},
        {"message": "the request exceeds the available context size", "type": "exceed_context_size_error"},
        {"message": "Please reduce the length of the messages."},
    ],
)
async def test_a_conversation_that_is_too_long_is_told_apart(status: int, fields: dict[str, str]) -> None:
    error = await failure(lambda _: httpx.Response(status, json={"error": fields}))

    assert error.code is ErrorCode.CONTEXT_LIMIT


@pytest.mark.parametrize(
    ("body", "quoted"),
    [
        (b'{"error": "plain"}', "plain"),
        (b'{"message": "top"}', "top"),
        (b'{"detail": "missing"}', "missing"),
        (b'{"detail": [{"msg": "bad field", "input": "my secret"}, {"msg": "worse"}]}', "bad field; worse"),
        (b'{"object": "error", "message": {"detail": [{"msg": "Extra inputs"}]}}', "Extra inputs"),
        (b'[{"error": {"message": "in a list"}}]', "in a list"),
        (b"no  JSON\r\n at all", "no JSON at all"),
        (b"<html><body>nginx</body></html>", "Bad Request"),
        (b"{}", "Bad Request"),
        (b"", "Bad Request"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (f'{{"error": {{"message": "key {KEY} is off"}}}}'.encode(), "key *** is off"),
    ],
)
async def test_the_message_is_found_in_every_usual_shape(body: bytes, quoted: str) -> None:
    error = await failure(lambda _: httpx.Response(400, content=body))

    assert str(error).endswith(f" answered 400: {quoted}")


async def test_a_long_message_is_shortened() -> None:
    error = await failure(lambda _: httpx.Response(500, text="word " * 1000))

    assert len(str(error)) < 350
    assert str(error).endswith("...")


@pytest.mark.parametrize(("value", "seconds"), [("7", 7.0), ("0.5", 0.5), ("-3", 0.0)])
async def test_the_asked_for_pause_is_carried(value: str, seconds: float) -> None:
    error = await failure(lambda _: httpx.Response(429, headers={"retry-after": value}))

    assert error.details["retry_after_seconds"] == seconds


async def test_the_asked_for_pause_may_be_a_date() -> None:
    date = (datetime.now(UTC) + timedelta(hours=1)).strftime("%a, %d %b %Y %H:%M:%S GMT")

    error = await failure(lambda _: httpx.Response(503, headers={"retry-after": date}))

    assert 3500 < float(error.details["retry_after_seconds"]) <= 3600


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"retry-after": "soon"},
        {"retry-after": "nan"},
        {"retry-after": "1e400"},
        {"retry-after": f"Mon, 01 Jan {10**20} 00:00:00 GMT"},
        {"x-ratelimit-reset-requests": "9" * 400 + "s"},
    ],
)
async def test_a_pause_that_is_not_readable_is_left_out(headers: dict[str, str]) -> None:
    error = await failure(lambda _: httpx.Response(429, headers=headers))

    assert "retry_after_seconds" not in error.details


async def test_an_answer_that_is_compressed_twice_is_not_unpacked() -> None:
    bomb = gzip.compress(gzip.compress(bytes(100_000_000)))

    error = await failure(
        lambda _: httpx.Response(
            200, headers={"content-encoding": "gzip, gzip"}, stream=httpx.ByteStream(bomb)
        )
    )

    assert error.code is ErrorCode.EXECUTION_FAILED
    assert "gzip, gzip" in str(error)


async def test_a_redirect_is_not_followed_but_shown() -> None:
    error = await failure(
        lambda _: httpx.Response(308, headers={"location": "https://new.test/v1/chat?token=1"})
    )

    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert "https://new.test/v1/chat:" in str(error)


# --- the network -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (httpx.ConnectError("refused"), ErrorCode.NETWORK_ERROR),
        (httpx.ReadError(""), ErrorCode.NETWORK_ERROR),
        (httpx.WriteError("broken pipe"), ErrorCode.NETWORK_ERROR),
        (httpx.RemoteProtocolError("not HTTP"), ErrorCode.NETWORK_ERROR),
        (httpx.ProxyError("407"), ErrorCode.NETWORK_ERROR),
        (httpx.StreamClosed(), ErrorCode.NETWORK_ERROR),
        (OSError(errno.ECONNRESET, "Connection reset by peer"), ErrorCode.NETWORK_ERROR),
        (trio.BrokenResourceError("gone"), ErrorCode.NETWORK_ERROR),
        (httpx.ConnectTimeout(""), ErrorCode.TIMEOUT),
        (httpx.ReadTimeout(""), ErrorCode.TIMEOUT),
        (httpx.WriteTimeout(""), ErrorCode.TIMEOUT),
        (httpx.InvalidURL("bad"), ErrorCode.INVALID_ARGUMENT),
        (httpx.UnsupportedProtocol("gopher"), ErrorCode.INVALID_ARGUMENT),
        (httpx.LocalProtocolError(f"Illegal header value b'Bearer {KEY}'"), ErrorCode.INVALID_ARGUMENT),
        (httpx.DecodingError("not gzip"), ErrorCode.EXECUTION_FAILED),
    ],
)
async def test_what_the_network_raises_has_a_code(raised: Exception, code: ErrorCode) -> None:
    error = await failure(raising(raised))

    assert error.code is code
    assert "http://model.test:8080" in str(error)


async def test_a_bug_is_not_taken_for_a_failure_of_the_network() -> None:
    async with HttpPool(transport=httpx.MockTransport(raising(ZeroDivisionError()))) as http:
        with pytest.raises(ZeroDivisionError):
            async with http.post(URL, {}, b""):
                pass


async def test_too_many_open_files_names_the_limit_however_deep_it_is_wrapped() -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        try:
            group = ExceptionGroup("attempts", [OSError(errno.EMFILE, "Too many open files")])
            raise OSError("all attempts to connect failed") from group
        except OSError:
            raise httpx.ConnectError("all attempts to connect failed") from None

    error = await failure(respond)

    assert error.retryable
    assert "too many open files" in str(error)
    assert "ulimit -n" in str(error)


async def test_a_process_without_a_free_file_descriptor_is_told_so() -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(OK)

    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with tiny_server(answer) as server, HttpPool() as http:
        await get(http, server.base_url)
        first_free = os.dup(0)
        os.close(first_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, limits[1]))
        try:
            with pytest.raises(EngineError) as caught:
                await get(http, "http://127.0.0.2:9")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert "too many open files" in str(caught.value)
    assert str(first_free) in str(caught.value)


async def test_an_earlier_failure_does_not_explain_a_later_one() -> None:
    earlier = EngineError(ErrorCode.NETWORK_ERROR, "before")
    earlier.__cause__ = OSError(errno.EMFILE, "Too many open files")
    now = httpx.ConnectError("refused")
    now.__context__ = earlier

    assert "refused" in str(await failure(raising(now)))


async def test_nobody_listening_is_named_with_address_and_reason() -> None:
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with HttpPool() as http:
            with pytest.raises(EngineError) as caught:
                await get(http, f"http://127.0.0.1:{port}/v1")

    assert caught.value.code is ErrorCode.NETWORK_ERROR
    assert str(caught.value) == f"cannot reach http://127.0.0.1:{port}: Connection refused"


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n"])
async def test_what_is_no_http_is_a_network_error(answer: bytes) -> None:
    async def hang_up(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(answer)
        await stream.aclose()

    async with tiny_server(hang_up) as server, HttpPool() as http:
        with pytest.raises(EngineError) as caught:
            await get(http, server.base_url)

    assert caught.value.code is ErrorCode.NETWORK_ERROR


async def test_a_host_name_that_cannot_be_encoded_is_an_invalid_argument() -> None:
    async with HttpPool() as http:
        with pytest.raises(EngineError) as caught:
            await get(http, f"http://{'a' * 70}.test/v1")

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


async def test_an_error_page_without_end_does_not_hold_the_error_up() -> None:
    async def flood(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 500 Oops\r\ncontent-length: 1000000000\r\n\r\n")
        while True:
            await stream.send_all(b"x" * 65536)

    async with tiny_server(flood) as server, HttpPool() as http:
        with pytest.raises(EngineError) as caught:
            await get(http, server.base_url)

    assert caught.value.code is ErrorCode.EXECUTION_FAILED


# --- connections -------------------------------------------------------------------------------------


async def test_one_stream_after_the_other_uses_one_connection() -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(OK)

    async with tiny_server(answer) as server, HttpPool() as http:
        for _ in range(5):
            assert await get(http, server.base_url) == b"ok"

        assert server.connections == 1
        assert http.idle == 1


async def test_streams_at_the_same_time_have_connections_of_their_own_and_leave_them_behind() -> None:
    together = trio.Event()

    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        if len(server.requests) == 3:
            together.set()
        await together.wait()
        await stream.send_all(OK)

    async with tiny_server(answer) as server, HttpPool() as http:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(get, http, server.base_url)
            await wait_all_tasks_blocked()
            counted = http.statistics()

        assert (server.connections, http.idle) == (3, 3)
    assert counted.calls == 3


async def test_a_refusal_keeps_the_connection_and_a_break_does_not() -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        if len(server.requests) == 1:
            await stream.send_all(b"HTTP/1.1 429 Slow down\r\ncontent-length: 0\r\n\r\n")
        else:
            await stream.aclose()

    async with tiny_server(answer) as server, HttpPool() as http:
        with pytest.raises(EngineError, match="429"):
            await get(http, server.base_url)
        after_refusal = http.idle
        with pytest.raises(EngineError, match="broke"):
            await get(http, server.base_url)

        assert (after_refusal, http.idle) == (1, 0)
        assert server.connections == 1


async def test_clients_that_nobody_needed_for_a_while_are_closed(mock_clock: MockClock) -> None:
    gate = trio.Event()

    async def respond(_: httpx.Request) -> httpx.Response:
        await gate.wait()
        return httpx.Response(200, content=b"ok")

    async with HttpPool(transport=httpx.MockTransport(respond)) as http:
        async with trio.open_nursery() as nursery:
            for _ in range(150):
                nursery.start_soon(get, http, "http://model.test")
            await wait_all_tasks_blocked()
            gate.set()
        after_the_rush = http.idle
        mock_clock.jump(60)
        await get(http, "http://model.test")

        assert (after_the_rush, http.idle) == (100, 1)


async def test_cookies_of_one_stream_are_not_sent_with_the_next() -> None:
    received: list[httpx.Headers] = []

    def respond(request: httpx.Request) -> httpx.Response:
        received.append(request.headers)
        return httpx.Response(200, headers={"set-cookie": "session=1"}, content=b"ok")

    async with HttpPool(transport=httpx.MockTransport(respond)) as http:
        for _ in range(2):
            await get(http, "http://model.test")

    assert all("cookie" not in headers for headers in received)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "model.test"])
async def test_a_proxy_of_the_environment_serves_everything_but_this_machine(host: str) -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(OK)

    async with tiny_server(answer) as server, tiny_server(answer) as proxy:
        port = httpx.URL(server.base_url).port
        await trio.run_process(
            [sys.executable, "-c", _ONE_REQUEST, f"http://{host}:{port}/v1"],
            env={"HTTP_PROXY": proxy.base_url, "PYTHONPATH": str(CHECKOUT)},
        )

        assert len(server.requests) == (host != "model.test")
        assert len(proxy.requests) == (host == "model.test")
