"""What every model behind HTTP promises, whichever wire it speaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import httpx
import pytest

from actors.conversation import FinishPart, FinishReason, Part, Role, TextPart
from actors.errors import EngineError, ErrorCode
from actors.model_settings import ModelSettings
from actors.models import (
    AnthropicMessagesModel,
    HttpPool,
    LanguageModel,
    ModelRequest,
    OpenAIChatModel,
    OpenAIResponsesModel,
)
from tests.actors.models.branches import WORDS, asked
from tests.actors.models.stream_samples import question, said, sse

KEY = "sk-0123456789abcdef"
EVENTS = {"content-type": "text/event-stream"}


class Wire(NamedTuple):
    name: str
    model: Callable[..., LanguageModel]
    path: str
    key_header: str
    limit: str
    said: Callable[[str], str]
    ending: str
    whole: dict[str, Any]


def anthropic_said(text: str) -> str:
    delta = {"type": "text_delta", "text": text}
    return json.dumps({"type": "content_block_delta", "index": 0, "delta": delta})


def responses_said(text: str) -> str:
    return json.dumps({"type": "response.output_text.delta", "output_index": 0, "delta": text})


WIRES = [
    Wire(
        "openai-chat",
        OpenAIChatModel,
        "/chat/completions",
        "authorization",
        "max_tokens",
        said,
        said("", "stop"),
        {"choices": [{"message": {"content": "Hi."}, "finish_reason": "stop"}]},
    ),
    Wire(
        "openai-responses",
        OpenAIResponsesModel,
        "/responses",
        "authorization",
        "max_output_tokens",
        responses_said,
        '{"type": "response.completed", "response": {"status": "completed"}}',
        {
            "object": "response",
            "status": "completed",
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi."}]}],
        },
    ),
    Wire(
        "anthropic-messages",
        AnthropicMessagesModel,
        "/messages",
        "x-api-key",
        "max_tokens",
        anthropic_said,
        '{"type": "message_stop"}',
        {"type": "message", "content": [{"type": "text", "text": "Hi."}], "stop_reason": "end_turn"},
    ),
]
every_wire = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)


async def ask(
    wire: Wire, response: httpx.Response, request: ModelRequest | None = None, **options: Any
) -> tuple[list[Part], httpx.Request, EngineError | None]:
    """What was emitted and sent, and the error if there was one."""
    sent: list[httpx.Request] = []
    parts: list[Part] = []

    def respond(received: httpx.Request) -> httpx.Response:
        sent.append(received)
        return response

    failure: EngineError | None = None
    async with HttpPool(transport=httpx.MockTransport(respond)) as http:
        model = wire.model("p:m", "m", base_url="http://model.test/v1/?a=b", http=http, **options)
        try:
            await model.stream(request or question(), parts.extend)
        except EngineError as error:
            failure = error
    return parts, sent[0], failure


def stream(wire: Wire, *events: str) -> httpx.Response:
    return httpx.Response(200, headers=EVENTS, content=sse([*events, wire.ending]))


@every_wire
async def test_the_key_goes_into_its_header_and_only_there(wire: Wire) -> None:
    _, with_key, _ = await ask(wire, stream(wire), api_key=KEY + "\n")
    _, without_key, _ = await ask(wire, stream(wire))

    assert [name for name, value in with_key.headers.items() if KEY in value] == [wire.key_header]
    assert KEY not in str(with_key.url) + with_key.content.decode()
    assert wire.key_header not in without_key.headers


@every_wire
async def test_the_path_joins_the_base_url_and_its_query(wire: Wire) -> None:
    _, sent, _ = await ask(wire, stream(wire))

    assert str(sent.url) == f"http://model.test/v1{wire.path}?a=b"


@every_wire
async def test_headers_of_the_connection_come_over_those_of_the_wire(wire: Wire) -> None:
    headers = {"X-Title": "tests", "Accept": "text/event-stream", wire.key_header: "other"}

    _, sent, _ = await ask(wire, stream(wire), api_key=KEY, headers=headers)

    assert (sent.headers["x-title"], sent.headers["accept"]) == ("tests", "text/event-stream")
    assert sent.headers.get_list(wire.key_header) == ["other"]


async def test_anthropic_is_told_the_version_and_the_features_under_test() -> None:
    _, sent, _ = await ask(WIRES[2], stream(WIRES[2]), headers={"anthropic-beta": "context-1m"})

    assert sent.headers["anthropic-version"] == "2023-06-01"
    assert sent.headers["anthropic-beta"] == "context-1m"


@every_wire
@pytest.mark.parametrize("header", [{"x y": "a"}, {"x": "a\r\nb: c"}, {"x": "ü"}])
async def test_a_header_that_cannot_be_sent_is_refused(wire: Wire, header: dict[str, str]) -> None:
    with pytest.raises(EngineError, match="cannot be sent") as caught:
        await ask(wire, stream(wire), headers=header)

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


@every_wire
async def test_settings_of_the_request_come_over_those_of_the_connection(wire: Wire) -> None:
    request = question(settings=ModelSettings(max_output_tokens=7, options={"top_p": 0.5}))
    own = ModelSettings(temperature=0.25, max_output_tokens=100_000, options={"top_p": 1.0, "x": 1})

    _, sent, _ = await ask(wire, stream(wire), request, settings=own)

    body = json.loads(sent.content)
    assert (body["temperature"], body[wire.limit], body["top_p"], body["x"]) == (0.25, 7, 0.5, 1)


@every_wire
async def test_thinking_that_a_connection_is_set_to_is_asked_for(wire: Wire) -> None:
    thinking = {"type": "enabled", "budget_tokens": 32_000}
    settings = ModelSettings(max_output_tokens=100_000, options={"thinking": thinking})

    _, sent, _ = await ask(wire, stream(wire), settings=settings)

    body = json.loads(sent.content)
    assert (body["thinking"], body[wire.limit]) == (thinking, 100_000)


@every_wire
async def test_the_same_request_is_the_same_bytes(wire: Wire) -> None:
    request = ModelRequest(messages=(asked(WORDS),), system_prompt="s", conversation_id="c")
    bodies = [(await ask(wire, stream(wire), request))[1].content for _ in range(2)]

    assert bodies[0] == bodies[1]


@every_wire
async def test_a_stream_and_a_whole_answer_are_both_understood(wire: Wire) -> None:
    streamed, _, _ = await ask(wire, stream(wire, wire.said("Hi.")))
    whole, _, _ = await ask(wire, httpx.Response(200, json=wire.whole))

    assert streamed == whole == [TextPart("Hi."), FinishPart(FinishReason.STOP)]


@every_wire
@pytest.mark.parametrize(
    ("response", "named"),
    [
        (httpx.Response(200, html="<html>Welcome</html>"), "text/html"),
        (httpx.Response(200, content=b"?"), "no content type"),
        (httpx.Response(200, json={"status": "ok"}), "that is no "),
        (httpx.Response(200, json=["ok"]), "malformed"),
        (httpx.Response(200, json={"error": {"message": "broken"}}), "the provider reported: broken"),
    ],
)
async def test_a_reply_that_is_no_answer_is_named(wire: Wire, response: httpx.Response, named: str) -> None:
    _, _, error = await ask(wire, response)

    assert error is not None
    assert error.code is ErrorCode.EXECUTION_FAILED
    assert named in str(error)


@every_wire
@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize(
    "reported",
    [
        'data: {"error": {"message": "slow down", "code": 429}}\n\n',
        'data: {"type": "error", "error": {"message": "slow down", "type": "rate_limit_error"}}\n\n',
        'event: error\ndata: {"message": "slow down", "code": 429}\n\n',
        'error: {"message": "slow down", "code": 429}\n\n',
        'error:{"message": "slow down", "code": 429}\r\n\r\n',
    ],
)
async def test_an_error_in_the_stream_is_raised_after_what_was_said_before(
    wire: Wire, count: int, reported: str
) -> None:
    content = sse([wire.said("half")] * count) + reported.encode() + sse([wire.ending])

    parts, _, error = await ask(wire, httpx.Response(200, headers=EVENTS, content=content))

    assert error is not None
    assert (error.code, str(error)) == (ErrorCode.QUOTA_EXCEEDED, "the provider reported: slow down")
    assert parts == [TextPart("half")] * count


@every_wire
@pytest.mark.parametrize("tail", ["", "data: {", 'event: x\ndata: {"type": "resp', "dat"])
async def test_a_stream_that_ends_early_is_a_network_error_and_keeps_what_was_said(
    wire: Wire, tail: str
) -> None:
    content = sse([wire.said("half")]) + tail.encode()

    parts, _, error = await ask(wire, httpx.Response(200, headers=EVENTS, content=content))

    assert error is not None
    assert error.code is ErrorCode.NETWORK_ERROR
    assert parts == [TextPart("half")]


@every_wire
async def test_a_character_that_a_server_cut_in_two_is_whole(wire: Wire) -> None:
    first, second = (wire.said(f"a {half} b") for half in ("HIGH", "LOW"))
    halves = first.replace("HIGH b", "\\ud83d"), second.replace("a LOW", "\\udc4b")

    parts, _, _ = await ask(wire, stream(wire, *halves))

    assert "".join(part.text for part in parts if isinstance(part, TextPart)) == "a 👋 b"


@every_wire
async def test_no_error_shows_the_key_or_another_secret_header(wire: Wire) -> None:
    secret = "0123456789-secret"
    said_by_provider = f"no such key: {KEY}, {secret}"
    for response in (
        httpx.Response(401, json={"error": {"message": said_by_provider}}),
        httpx.Response(200, headers=EVENTS, content=sse([json.dumps({"error": said_by_provider})])),
        httpx.Response(200, json={"error": {"message": said_by_provider}}),
    ):
        _, _, error = await ask(wire, response, api_key=KEY, headers={"X-Proxy-Token": secret})

        assert error is not None
        assert "no such key: ***, ***" in str(error)


@every_wire
async def test_a_call_without_messages_is_sent_all_the_same(wire: Wire) -> None:
    parts, _, error = await ask(wire, stream(wire, wire.said("x")), ModelRequest(messages=()))

    assert error is None
    assert parts[0] == TextPart("x")
    assert question().messages[0].role is Role.USER
