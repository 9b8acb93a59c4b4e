"""Whatever a server sends, a parser gives parts or an `EngineError`, and what it gave can be sent back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.conversation import Message, Part, Role, ToolResult, ToolStatus
from actors.errors import EngineError
from actors.model_settings import ModelSettings
from actors.models import (
    AnthropicMessagesParser,
    ModelRequest,
    OpenAIChatParser,
    OpenAIResponsesParser,
    anthropic_messages_request,
    openai_chat_request,
    openai_responses_request,
)
from actors.models.wire_model import AnswerParser
from tests.actors.models.branches import NAME, asked, said_and_called
from tests.actors.models.stream_samples import answer_of, message

FIELDS: dict[str, list[str]] = {
    "openai-chat": [
        *("choices", "delta", "message", "content", "tool_calls", "function", "name", "arguments", "id"),
        *("index", "finish_reason", "usage", "prompt_tokens", "reasoning", "refusal", "error", "object"),
    ],
    "openai-responses": [
        *(
            "type",
            "response",
            "item",
            "output_index",
            "content_index",
            "item_id",
            "delta",
            "text",
            "call_id",
        ),
        *(
            "name",
            "arguments",
            "input",
            "status",
            "output",
            "summary",
            "content",
            "usage",
            "error",
            "phase",
        ),
    ],
    "anthropic-messages": [
        *("type", "index", "delta", "content_block", "message", "content", "text", "thinking", "signature"),
        *(
            "partial_json",
            "id",
            "name",
            "input",
            "stop_reason",
            "usage",
            "input_tokens",
            "error",
            "citation",
        ),
    ],
}
WORDS: dict[str, list[str]] = {
    "openai-chat": ["stop", "tool_calls", "a", "", "{", "{}"],
    "openai-responses": [
        *("response.output_item.added", "response.output_item.done", "response.output_text.delta"),
        *("response.output_text.done", "response.function_call_arguments.delta", "response.completed"),
        *(
            "response.function_call_arguments.done",
            "response.reasoning_summary_text.delta",
            "response.created",
        ),
        *(
            "message",
            "function_call",
            "custom_tool_call",
            "reasoning",
            "shell_call",
            "output_text",
            "a",
            "{}",
        ),
    ],
    "anthropic-messages": [
        *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop", "text", "thinking", "tool_use", "server_tool_use", "text_delta"),
        *("thinking_delta", "input_json_delta", "signature_delta", "citations_delta", "a", "{}", "{", ""),
    ],
}
PARSERS: dict[str, Callable[[], AnswerParser]] = {
    "openai-chat": OpenAIChatParser,
    "openai-responses": OpenAIResponsesParser,
    "anthropic-messages": AnthropicMessagesParser,
}


@st.composite
def some_events(draw: st.DrawFn, wire: str) -> list[dict[str, Any]]:
    words = st.sampled_from(WORDS[wire])
    leaves = st.one_of(words, st.none(), st.booleans(), st.integers(-2, 3), st.floats(0, 9))
    fields = st.sampled_from(FIELDS[wire])
    values: st.SearchStrategy[Any] = st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(fields, inner, max_size=4),
        max_leaves=8,
    )
    events = draw(st.lists(st.dictionaries(fields, values, max_size=5), max_size=8))
    return [event if wire == "openai-chat" else {**event, "type": draw(words)} for event in events]


def encoded(wire: str, branch: tuple[Message, ...]) -> bytes:
    request, settings = ModelRequest(messages=branch), ModelSettings()
    match wire:
        case "openai-chat":
            return openai_chat_request.encode_request(
                "m",
                request,
                settings,
                name=NAME,
                ask_for_usage=True,
                max_tokens_field="max_tokens",
                cache_by_conversation=False,
                return_thoughts=True,
            )
        case "openai-responses":
            return openai_responses_request.encode_request(
                "m", request, settings, name=NAME, cache_by_conversation=False, encrypted_reasoning=True
            )
        case _:
            return anthropic_messages_request.encode_request(
                "m", request, settings, name=NAME, cache_prompts=True
            )


@pytest.mark.parametrize("wire", PARSERS)
@given(data=st.data())
def test_anything_is_parts_or_an_error_and_can_be_sent_back(wire: str, data: st.DataObject) -> None:
    parser = PARSERS[wire]()
    parts: list[Part] = []
    for event in data.draw(some_events(wire)):
        try:
            parts += parser.feed(json.dumps(event))
        except EngineError:
            break

    answer = answer_of(parts)
    results = [
        message(Role.TOOL, ToolResult(call.call_id, call.name, ToolStatus.SUCCEEDED, "1"))
        for call in answer.tool_calls
    ]
    sent = encoded(wire, (asked("x"), *said_and_called(answer), *results, asked("y")))
    assert json.loads(sent)["model"] == "m"
