"""All wires against a mock server that others wrote by the providers' references."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import pytest

from actors.answer import Answer
from actors.conversation import (
    FinishReason,
    Image,
    Message,
    Part,
    Role,
    Text,
    ToolCallRequest,
    ToolResult,
    ToolStatus,
)
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
from actors.models.base import ToolDefinition
from tests.actors.models.foreign_server import running, server_program
from tests.actors.models.stream_samples import answer_of, message

NAME = "foreign:model"
WEATHER = ToolDefinition(
    "get_weather",
    "The weather of a city.",
    msgspec.Raw(b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}'),
)
FIXTURES: list[dict[str, Any]] = [
    {
        "match": {"userMessage": "rate limit"},
        "response": {
            "error": {
                "message": "Slow down.",
                "type": "rate_limit_error",
                "code": "rate_limit_exceeded",
            },
            "status": 429,
        },
    },
    {
        "match": {"userMessage": "too long"},
        "response": {
            "error": {
                "message": "prompt is too long: 208310 tokens > 200000 maximum",
                "type": "invalid_request_error",
                "code": "context_length_exceeded",
            },
            "status": 400,
        },
    },
    {
        "match": {"userMessage": "overload"},
        "response": {"error": {"message": "Overloaded", "type": "overloaded_error"}, "status": 529},
    },
    {
        "match": {"userMessage": "weather", "hasToolResult": True},
        "response": {"content": "It is sunny in Köln."},
    },
    {
        "match": {"userMessage": "weather", "hasToolResult": False},
        "response": {
            "content": "Let me look.",
            "reasoning": "The user wants the weather.",
            "toolCalls": [
                {"name": "get_weather", "arguments": '{"city": "Köln"}'},
                {"name": "get_weather", "arguments": '{"city": "Bonn"}'},
            ],
        },
    },
    {"match": {"userMessage": "cut"}, "response": {"content": "Once upon", "finishReason": "length"}},
    {"match": {"userMessage": "hello"}, "response": {"content": "Hello there, Grüße an alle 👋!"}},
]


class Wire(NamedTuple):
    name: str
    path: str
    model: Callable[..., LanguageModel]
    options: dict[str, Any]
    """With which this server demands of a conversation what the provider would."""


WIRES = [
    Wire("openai-chat", "/v1", OpenAIChatModel, {}),
    Wire("openai-responses", "/v1", OpenAIResponsesModel, {}),
    Wire(
        "anthropic-messages",
        "/v1",
        AnthropicMessagesModel,
        {"thinking": {"type": "enabled", "budget_tokens": 2000}},
    ),
]
every_wire = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)


@pytest.fixture(scope="module")
def url(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert pytestconfig.cache is not None
    program = server_program(pytestconfig.cache, tmp_path_factory.mktemp("npm"))
    with running(program, FIXTURES, tmp_path_factory.mktemp("fixtures")) as address:
        yield address


async def ask(wire: Wire, url: str, *branch: Message, **settings: Any) -> Answer:
    parts: list[Part] = []
    async with HttpPool() as http:
        model = wire.model(NAME, "model", base_url=url + wire.path, http=http, api_key="sk-something")
        await model.stream(
            ModelRequest(
                messages=branch,
                system_prompt="Be brief.",
                tools=(WEATHER,),
                settings=ModelSettings(options=wire.options, **settings),
            ),
            parts.extend,
        )
    return answer_of(parts)


async def failure(wire: Wire, url: str, text: str) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await ask(wire, url, message(Role.USER, Text(text)))
    return caught.value


def said(answer: Answer) -> list[Message]:
    """The answer as the conversation keeps it."""
    text = msgspec.structs.replace(
        message(Role.ASSISTANT, Text(answer.text, answer.thought)),
        model=NAME,
        provider_items=answer.provider_items,
    )
    calls = msgspec.structs.replace(message(Role.ASSISTANT, ToolCallRequest(answer.tool_calls)), model=NAME)
    return [text, calls] if answer.tool_calls else [text]


@every_wire
async def test_a_plain_answer_is_read(wire: Wire, url: str) -> None:
    answer = await ask(wire, url, message(Role.USER, Text("hello")))

    assert answer.text == "Hello there, Grüße an alle 👋!"
    assert answer.finish_reason is FinishReason.STOP
    assert answer.usage is not None


@every_wire
async def test_tools_are_called_and_their_results_taken(wire: Wire, url: str) -> None:
    question = message(Role.USER, Text("weather?"))
    answer = await ask(wire, url, question)
    results = [
        message(Role.TOOL, ToolResult(call.call_id, call.name, ToolStatus.SUCCEEDED, "sunny"))
        for call in answer.tool_calls
    ]

    final = await ask(wire, url, question, *said(answer), *results)

    assert answer.text == "Let me look."
    assert answer.thought == "The user wants the weather."
    assert [(call.name, msgspec.json.decode(call.arguments)) for call in answer.tool_calls] == [
        ("get_weather", {"city": "Köln"}),
        ("get_weather", {"city": "Bonn"}),
    ]
    assert answer.finish_reason is FinishReason.TOOL_CALLS
    assert (final.text, final.finish_reason) == ("It is sunny in Köln.", FinishReason.STOP)


@every_wire
async def test_pictures_are_taken(wire: Wire, url: str) -> None:
    words = Text("hello, what is this?", images=(Image("image/png", b"\x89PNG"),))

    answer = await ask(wire, url, message(Role.USER, words), max_output_tokens=4000)

    assert answer.text.startswith("Hello there")


@every_wire
async def test_an_answer_that_reached_its_limit_says_so(wire: Wire, url: str) -> None:
    answer = await ask(wire, url, message(Role.USER, Text("cut")))

    assert (answer.text, answer.finish_reason) == ("Once upon", FinishReason.LENGTH)


@every_wire
@pytest.mark.parametrize(
    ("text", "code", "said_by_provider"),
    [
        ("rate limit", ErrorCode.QUOTA_EXCEEDED, "Slow down."),
        ("too long", ErrorCode.CONTEXT_LIMIT, "prompt is too long"),
        ("overload", ErrorCode.EXECUTION_FAILED, "Overloaded"),
    ],
)
async def test_errors_keep_their_meaning(
    wire: Wire, url: str, text: str, code: ErrorCode, said_by_provider: str
) -> None:
    error = await failure(wire, url, text)

    assert error.code is code
    assert said_by_provider in error.message
