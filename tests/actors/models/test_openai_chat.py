from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.answer import Answer
from actors.conversation import (
    FinishPart,
    FinishReason,
    MessageState,
    Part,
    Role,
    Text,
    TextPart,
    ToolCall,
    ToolCallRequest,
    ToolResult,
    ToolStatus,
    Usage,
)
from actors.errors import EngineError, ErrorCode
from actors.model_settings import ModelSettings
from actors.models import HttpPool, ModelRequest, OpenAIChatModel
from tests.actors.models.stream_samples import answer_of, chunk, message, question, said, sse
from tests.actors.models.tiny_server import END, EVENT_STREAM, http_chunk, tiny_server

Batches = list[tuple[Part, ...]]
EVENTS = {"content-type": "text/event-stream"}
KEY = "sk-0123456789abcdef"


def parts_of(batches: Batches) -> list[Part]:
    return [part for batch in batches for part in batch]


def model_at(http: HttpPool, base_url: str = "http://model.test/v1", **options: Any) -> OpenAIChatModel:
    return OpenAIChatModel("openai:gpt", "gpt", base_url=base_url, http=http, **options)


def pool_that(respond: Callable[[httpx.Request], httpx.Response]) -> HttpPool:
    return HttpPool(transport=httpx.MockTransport(respond))


async def body_sent(request: ModelRequest, **options: Any) -> dict[str, Any]:
    bodies: list[bytes] = []

    def respond(received: httpx.Request) -> httpx.Response:
        bodies.append(received.content)
        return httpx.Response(200, headers=EVENTS, content=sse([said("x", "stop")]))

    async with pool_that(respond) as http:
        await model_at(http, **options).stream(request, lambda _: None)
    return json.loads(bodies[0])


async def answer_to(response: httpx.Response) -> tuple[Batches, EngineError | None]:
    """What was emitted, and the error if there was one."""
    batches: Batches = []
    async with pool_that(lambda _: response) as http:
        try:
            await model_at(http, api_key=KEY).stream(question(), batches.append)
        except EngineError as error:
            return batches, error
    return batches, None


# --- the request -------------------------------------------------------------------------------------


async def test_a_plain_question_is_sent_with_nothing_but_what_is_set() -> None:
    assert await body_sent(question("hello")) == {
        "model": "gpt",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_settings_and_the_system_prompt_are_sent() -> None:
    body = await body_sent(
        question(system_prompt="Be brief.", settings=ModelSettings(temperature=0.0, max_output_tokens=9))
    )

    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (body["temperature"], body["max_tokens"]) == (0.0, 9)


async def test_a_server_can_be_spared_the_fields_that_it_refuses() -> None:
    body = await body_sent(
        question(settings=ModelSettings(max_output_tokens=9)),
        ask_for_usage=False,
        max_tokens_field="max_completion_tokens",
    )

    assert "stream_options" not in body
    assert "max_tokens" not in body
    assert body["max_completion_tokens"] == 9


async def test_an_answer_and_its_calls_are_one_message_and_thoughts_stay_here() -> None:
    calls = (ToolCall("a", "f", '{"x": 1}'), ToolCall("b", "g", ""))
    branch = (
        message(Role.USER, Text("go")),
        message(Role.ASSISTANT, Text("Looking.", thought="secret")),
        message(Role.ASSISTANT, ToolCallRequest(calls)),
        message(Role.TOOL, ToolResult("a", "f", ToolStatus.SUCCEEDED, "1")),
        message(Role.TOOL, ToolResult("b", "g", ToolStatus.FAILED, "no")),
        message(Role.ASSISTANT, ToolCallRequest(calls[:1])),
        message(Role.TOOL, ToolResult("a", "f", ToolStatus.SUCCEEDED, "2")),
        message(Role.ASSISTANT, Text("Done.")),
    )

    def sent(call_id: str, name: str, arguments: str) -> dict[str, Any]:
        return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}

    assert (await body_sent(ModelRequest(messages=branch)))["messages"] == [
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": "Looking.",
            "tool_calls": [sent("a", "f", '{"x": 1}'), sent("b", "g", "{}")],
        },
        {"role": "tool", "content": "1", "tool_call_id": "a"},
        {"role": "tool", "content": "no", "tool_call_id": "b"},
        {"role": "assistant", "content": None, "tool_calls": [sent("a", "f", '{"x": 1}')]},
        {"role": "tool", "content": "2", "tool_call_id": "a"},
        {"role": "assistant", "content": "Done."},
    ]


@pytest.mark.parametrize("state", [MessageState.ABORTED, MessageState.FAILED])
async def test_a_partial_answer_is_sent_as_what_was_said_and_an_empty_one_is_not(
    state: MessageState,
) -> None:
    branch = (
        message(Role.USER, Text("one")),
        message(Role.ASSISTANT, Text("Once upon"), state),
        message(Role.USER, Text("two")),
        message(Role.ASSISTANT, Text("", thought="hm"), state),
        message(Role.USER, Text("three")),
    )

    assert (await body_sent(ModelRequest(messages=branch)))["messages"] == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "Once upon"},
        {"role": "user", "content": "two"},
        {"role": "user", "content": "three"},
    ]


@pytest.mark.parametrize(
    ("base_url", "requested"),
    [
        ("http://h:8080", "http://h:8080/chat/completions"),
        ("http://h:8080/", "http://h:8080/chat/completions"),
        ("http://h:8080/v1", "http://h:8080/v1/chat/completions"),
        ("http://h/a%20b/v1/?api-version=1", "http://h/a%20b/v1/chat/completions?api-version=1"),
    ],
)
async def test_the_base_url_is_taken_as_it_is(base_url: str, requested: str) -> None:
    async with HttpPool() as http:
        assert model_at(http, base_url).url == requested


async def test_the_key_is_sent_as_a_bearer_token_without_the_line_end_of_its_file() -> None:
    headers: list[httpx.Headers] = []

    def respond(request: httpx.Request) -> httpx.Response:
        headers.append(request.headers)
        return httpx.Response(200, headers=EVENTS, content=sse([said("x", "stop")]))

    async with pool_that(respond) as http:
        await model_at(http, api_key=KEY + "\n").stream(question(), lambda _: None)
        await model_at(http).stream(question(), lambda _: None)

    assert headers[0]["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in headers[1]


@pytest.mark.parametrize("key", ["two words", "sk-\u2026", "a\x00b", "a\nb"])
async def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(key: str) -> None:
    async with HttpPool() as http:
        with pytest.raises(EngineError) as caught:
            model_at(http, api_key=key)

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert key not in str(caught.value)


@pytest.mark.parametrize("base_url", ["h:80/v1", "ftp://h/v1", "http://", "http://h:port/v1", "", "/v1"])
async def test_a_base_url_that_is_none_is_refused(base_url: str) -> None:
    async with HttpPool() as http:
        with pytest.raises(EngineError) as caught:
            model_at(http, base_url)

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


# --- the answer --------------------------------------------------------------------------------------


async def test_an_answer_that_was_not_streamed_is_emitted_as_parts() -> None:
    completion = {
        "object": "chat.completion",
        "choices": [{"message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }

    batches, error = await answer_to(httpx.Response(200, json=completion))

    assert error is None
    assert answer_of(parts_of(batches)) == Answer(
        text="Hi.", finish_reason=FinishReason.STOP, usage=Usage(1, 2)
    )


@pytest.mark.parametrize(
    ("response", "named"),
    [
        (httpx.Response(200, html="<html>Welcome</html>"), "text/html"),
        (httpx.Response(200, content=b"?"), "no content type"),
        (httpx.Response(200, json={"status": "ok"}), "no chat completion"),
        (httpx.Response(200, json=["ok"]), "malformed"),
    ],
)
async def test_a_reply_that_is_no_answer_is_named(response: httpx.Response, named: str) -> None:
    _, error = await answer_to(response)

    assert error is not None
    assert error.code is ErrorCode.EXECUTION_FAILED
    assert named in str(error)


@pytest.mark.parametrize("before", [[], [said("half")]])
@pytest.mark.parametrize(
    "reported",
    [
        'data: {"error": {"message": "slow down", "code": 429}}\n\n',
        'event: error\ndata: {"message": "slow down", "code": 429}\n\n',
        'error: {"message": "slow down", "code": 429}\n\n',
        'error:{"message": "slow down", "code": 429}\n\ndata: [DONE]\n\n',
    ],
)
async def test_an_error_in_the_stream_is_raised_after_what_was_said_before(
    before: list[str], reported: str
) -> None:
    content = sse(before) + reported.encode() + sse([said("never", "stop")])

    batches, error = await answer_to(httpx.Response(200, headers=EVENTS, content=content))

    assert error is not None
    assert error.code is ErrorCode.QUOTA_EXCEEDED
    assert str(error) == "the provider reported: slow down"
    assert parts_of(batches) == [TextPart("half")] * len(before)


async def test_an_error_message_that_quotes_the_key_does_not_spread_it() -> None:
    event = json.dumps({"error": {"message": f"no such key: {KEY}", "code": "invalid_api_key"}})

    _, error = await answer_to(httpx.Response(200, headers=EVENTS, content=sse([event])))

    assert error is not None
    assert str(error) == "the provider reported: no such key: ***"


async def test_an_error_that_the_stream_ends_with_needs_no_blank_line() -> None:
    content = b'error: {"message": "slow down", "code": 429}'

    _, error = await answer_to(httpx.Response(200, headers=EVENTS, content=content))

    assert error is not None
    assert error.code is ErrorCode.QUOTA_EXCEEDED


async def test_a_last_event_without_its_blank_line_counts() -> None:
    content = sse([said("Hi")]) + b"data: " + said(".", "stop").encode()

    batches, error = await answer_to(httpx.Response(200, headers=EVENTS, content=content))

    assert error is None
    assert answer_of(parts_of(batches)).text == "Hi."


@pytest.mark.parametrize("tail", ['data: {"choices": [{"delta": {"con', 'data: {"cho\n', "dat", "e", ""])
async def test_a_stream_that_ends_inside_an_event_is_a_network_error(tail: str) -> None:
    content = sse([said("half")]) + tail.encode()

    batches, error = await answer_to(httpx.Response(200, headers=EVENTS, content=content))

    assert error is not None
    assert error.code is ErrorCode.NETWORK_ERROR
    assert parts_of(batches) == [TextPart("half")]


async def test_a_line_that_only_mentions_an_error_is_text() -> None:
    text = "error: none\nerror:"

    batches, error = await answer_to(
        httpx.Response(200, headers=EVENTS, content=sse([said(text), said("", "stop")]))
    )

    assert error is None
    assert answer_of(parts_of(batches)).text == text


# --- over real sockets -------------------------------------------------------------------------------


async def test_the_parts_of_one_network_read_are_one_batch() -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        events = [said(word) for word in ["a", "b", "c", "d"]] + [said("", "stop")]
        await stream.send_all(EVENT_STREAM + b"".join(http_chunk(sse([event])) for event in events) + END)

    batches: Batches = []
    async with tiny_server(answer) as server, HttpPool() as http:
        await model_at(http, server.base_url).stream(question(), batches.append)

    assert len(batches) == 1
    assert answer_of(batches[0]).text == "abcd"


async def test_a_part_is_emitted_while_the_next_one_is_awaited() -> None:
    seen = trio.Event()

    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(EVENT_STREAM + http_chunk(sse([said("first")])))
        await seen.wait()
        await stream.send_all(http_chunk(sse([said("second", "stop")])) + END)

    batches: Batches = []

    def emit(parts: tuple[Part, ...]) -> None:
        batches.append(parts)
        seen.set()

    async with tiny_server(answer) as server, HttpPool() as http:
        await model_at(http, server.base_url).stream(question(), emit)

    assert batches == [(TextPart("first"),), (TextPart("second"), FinishPart(FinishReason.STOP))]


async def test_a_chunk_cut_inside_a_character_loses_nothing() -> None:
    content = sse([said("Grüße 👋", "stop")])
    cut = content.index("👋".encode()) + 2

    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(EVENT_STREAM + http_chunk(content[:cut]))
        await wait_all_tasks_blocked()
        await stream.send_all(http_chunk(content[cut:]) + END)

    batches: Batches = []
    async with tiny_server(answer) as server, HttpPool() as http:
        await model_at(http, server.base_url).stream(question(), batches.append)

    assert answer_of(parts_of(batches)).text == "Grüße 👋"


@pytest.mark.parametrize("framing", ["chunked", "until close"])
async def test_a_cut_connection_is_a_network_error_and_what_was_said_is_kept(framing: str) -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        half = sse([said("half")]) + b'data: {"choices'
        if framing == "chunked":
            await stream.send_all(EVENT_STREAM + http_chunk(half))
        else:
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + half)
        await stream.aclose()

    batches: Batches = []
    async with tiny_server(answer) as server, HttpPool() as http:
        with pytest.raises(EngineError) as caught:
            await model_at(http, server.base_url).stream(question(), batches.append)

    assert caught.value.code is ErrorCode.NETWORK_ERROR
    assert parts_of(batches) == [TextPart("half")]


async def test_a_finished_answer_without_done_is_whole_when_the_server_hangs_up() -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        content = sse([said("all", "stop")])
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + content)
        await stream.aclose()

    batches: Batches = []
    async with tiny_server(answer) as server, HttpPool() as http:
        await model_at(http, server.base_url).stream(question(), batches.append)

    assert answer_of(parts_of(batches)) == Answer(text="all", finish_reason=FinishReason.STOP)


async def test_silence_is_a_timeout_that_names_the_seconds() -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(EVENT_STREAM + http_chunk(sse([said("half")])))
        await trio.sleep_forever()

    batches: Batches = []
    async with tiny_server(answer) as server, HttpPool(silence_seconds=0.05) as http:
        with pytest.raises(EngineError) as caught:
            await model_at(http, server.base_url).stream(question(), batches.append)

    assert caught.value.code is ErrorCode.TIMEOUT
    assert "0.05 seconds" in str(caught.value)
    assert parts_of(batches) == [TextPart("half")]


async def test_a_server_that_says_done_and_stays_does_not_hold_the_answer_up(
    autojump_clock: MockClock,
) -> None:
    class Staying(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield sse([said("all", "stop"), "[DONE]"])
            await trio.sleep_forever()

    emitted_at: list[float] = []
    began = autojump_clock.current_time()
    async with pool_that(lambda _: httpx.Response(200, headers=EVENTS, stream=Staying())) as http:
        await model_at(http).stream(question(), lambda _: emitted_at.append(trio.current_time()))

    assert emitted_at == [began]
    assert autojump_clock.current_time() == began + 1.0


async def test_cancelling_a_call_closes_its_connection() -> None:
    begun = trio.Event()

    def emit(_: tuple[Part, ...]) -> None:
        begun.set()

    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(EVENT_STREAM + http_chunk(sse([said("half")])))
        assert await stream.receive_some() == b""
        raise trio.ClosedResourceError

    async with tiny_server(answer) as server, HttpPool() as http, trio.open_nursery() as nursery:
        nursery.start_soon(model_at(http, server.base_url).stream, question(), emit)
        await begun.wait()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True), trio.move_on_after(30) as waiting:
            await server.closed_by_client.wait()

        assert not waiting.cancelled_caught
        assert http.statistics().running == 0


async def test_a_malformed_chunk_ends_the_call_at_once_although_the_server_goes_on() -> None:
    async def answer(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(EVENT_STREAM + http_chunk(sse([said("half"), "{", said("never")])))
        await trio.sleep_forever()

    batches: Batches = []
    async with tiny_server(answer) as server, HttpPool() as http:
        with pytest.raises(EngineError, match="malformed chunk") as caught:
            await model_at(http, server.base_url).stream(question(), batches.append)

    assert caught.value.code is ErrorCode.EXECUTION_FAILED
    assert parts_of(batches) == [TextPart("half")]


async def test_what_goes_over_the_wire_is_counted() -> None:
    events = [said("a"), chunk(), said("b", "stop")]

    async with pool_that(lambda _: httpx.Response(200, headers=EVENTS, content=sse(events))) as http:
        await model_at(http).stream(question(), lambda _: None)
        counted = http.statistics()

    assert (counted.calls, counted.running, counted.events) == (1, 0, 3)
    assert counted.body_bytes == len(sse(events))


# httpx leaves its own generators behind when the decompression in the midst of them fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_body_that_its_encoding_does_not_fit_is_reported() -> None:
    class Garbage(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"this is not gzip"

    response = httpx.Response(200, headers=EVENTS | {"content-encoding": "gzip"}, stream=Garbage())

    _, error = await answer_to(response)

    assert error is not None
    assert error.code is ErrorCode.EXECUTION_FAILED


@pytest.mark.parametrize("body", [b"<html></html>", b"{}"])
async def test_an_error_never_quotes_what_a_base_url_may_hide(body: bytes) -> None:
    content_type = "text/html" if body.startswith(b"<") else "application/json"
    transport = httpx.MockTransport(
        lambda _: httpx.Response(200, headers={"content-type": content_type}, content=body)
    )
    async with HttpPool(transport=transport) as http:
        model = OpenAIChatModel(
            "openai:m", "m", base_url="http://bob:hunter2@127.0.0.1:9/v1?key=hunter3", http=http
        )

        with pytest.raises(EngineError) as caught:
            await model.stream(ModelRequest(messages=()), lambda _: None)

    assert "127.0.0.1:9" in caught.value.message
    assert "hunter" not in caught.value.message


@pytest.mark.parametrize(
    "base_url",
    ["bob:hunter2@host/v1", "ftp://bob:hunter2@host?key=hunter3", "http://", "http://bob:hunter2@h:99999"],
)
def test_a_base_url_that_is_no_url_is_refused_without_its_secrets(base_url: str) -> None:
    with pytest.raises(EngineError) as caught:
        OpenAIChatModel("openai:m", "m", base_url=base_url, http=HttpPool())

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert "hunter" not in caught.value.message
