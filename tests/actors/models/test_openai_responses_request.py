from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from actors.conversation import Message, MessageState, Role, Text, ToolCall
from actors.model_settings import ModelSettings
from actors.models import ModelRequest, OpenAIResponsesParser
from actors.models.base import ToolDefinition
from actors.models.openai_responses_request import encode_request
from tests.actors.models.branches import (
    FILES,
    NAME,
    WORDS,
    asked,
    called,
    kept,
    result,
    said,
    said_and_called,
)
from tests.actors.models.stream_samples import answer_of, message

WIRE = "openai-responses"
REASONING: dict[str, Any] = {"type": "reasoning", "id": "r", "encrypted_content": "E", "summary": []}
TOOL = ToolDefinition("f", "Does.", msgspec.Raw(b'{"type":"object"}'))


def body(
    *branch: Message,
    settings: ModelSettings = ModelSettings(),  # noqa: B008 - frozen
    cache_by_conversation: bool = False,
    encrypted_reasoning: bool = True,
    **request: Any,
) -> dict[str, Any]:
    return json.loads(
        encode_request(
            "gpt-5",
            ModelRequest(messages=branch, **request),
            settings,
            name=NAME,
            cache_by_conversation=cache_by_conversation,
            encrypted_reasoning=encrypted_reasoning,
        )
    )


def items(*branch: Message, **options: Any) -> list[dict[str, Any]]:
    return body(*branch, settings=ModelSettings(options=options))["input"]


def words(role: str, content: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content, **fields}


def call(call_id: str, arguments: str = "{}", **fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": arguments, **fields}


def output(call_id: str, text: str, kind: str = "function_call_output") -> dict[str, Any]:
    return {"type": kind, "call_id": call_id, "output": text}


def test_a_plain_question_leaves_nothing_behind_at_the_provider() -> None:
    assert body(asked("hello")) == {
        "model": "gpt-5",
        "input": [words("user", "hello")],
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }


def test_a_model_that_does_not_reason_is_not_asked_for_reasoning() -> None:
    assert "include" not in body(asked("hello"), encrypted_reasoning=False)


def test_settings_tools_and_the_system_prompt_are_sent() -> None:
    sent = body(
        asked("go"),
        system_prompt="Be brief.",
        tools=(TOOL,),
        conversation_id="c" * 100,
        cache_by_conversation=True,
        settings=ModelSettings(
            temperature=0.0, max_output_tokens=9, options={"reasoning": {"effort": "low"}}
        ),
    )

    assert (sent["temperature"], sent["max_output_tokens"], sent["instructions"]) == (0.0, 9, "Be brief.")
    assert sent["reasoning"] == {"effort": "low"}
    assert sent["prompt_cache_key"] == "c" * 64
    assert sent["tools"] == [
        {
            "type": "function",
            "name": "f",
            "description": "Does.",
            "parameters": {"type": "object"},
            "strict": False,
        }
    ]


def test_calls_and_results_are_items_of_their_own() -> None:
    assert items(
        asked("go"),
        said("Looking.", thought="secret"),
        called(ToolCall("a", "f", '{"x": 1}'), ToolCall("b", "f", "")),
        result("a", "1"),
        result("b", "2"),
        message(Role.SYSTEM, Text("Now in French.")),
        said(""),
    ) == [
        words("user", "go"),
        words("assistant", "Looking."),
        call("a", '{"x": 1}'),
        call("b"),
        output("a", "1"),
        output("b", "2"),
        words("system", "Now in French."),
    ]


def test_files_and_pictures_go_before_the_words() -> None:
    url = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
    picture = {"type": "input_image", "image_url": url}

    assert items(asked(WORDS)) == [words("user", [picture, {"type": "input_text", "text": FILES}])]


def test_items_go_back_where_they_stood() -> None:
    search = {"type": "web_search_call", "id": "ws", "status": "completed"}
    mine = (kept(WIRE, REASONING), kept(WIRE, search, 6))

    assert items(asked("x"), said("Look: found", *mine))[1:] == [
        REASONING,
        words("assistant", "Look: "),
        search,
        words("assistant", "found"),
    ]


def test_items_go_back_to_the_same_model_on_the_same_wire_only() -> None:
    assert items(
        said("a", kept(WIRE, REASONING), model="other:model"),
        said("b", kept("anthropic-messages", REASONING)),
    ) == [words("assistant", "a"), words("assistant", "b")]


def test_the_phase_of_a_message_goes_back_with_it() -> None:
    mine = (
        kept(WIRE, {"type": "message", "phase": "commentary"}, 0),
        kept(WIRE, {"type": "message", "phase": "final_answer"}, 3),
    )

    assert items(said("Hm.So.", *mine)) == [
        words("assistant", "Hm.", phase="commentary"),
        words("assistant", "So.", phase="final_answer"),
    ]


@pytest.mark.parametrize(
    ("branch", "why"),
    [
        ([said("x", kept(WIRE, {"type": "reasoning", "id": "r", "summary": []}))], "nothing to decrypt"),
        ([said("", kept(WIRE, REASONING), state=MessageState.ABORTED)], "it led to nothing"),
        ([said("x", kept(WIRE, REASONING, 1))], "it led to nothing that was kept"),
        ([said("x", kept(WIRE, call("a")))], "the conversation has not the call"),
        (
            [said("x", kept(WIRE, REASONING, 1), kept(WIRE, {"type": "shell_call", "call_id": "s"}, 1))],
            "nobody answers",
        ),
    ],
)
def test_what_the_provider_would_refuse_is_left_out(branch: list[Message], why: str) -> None:
    assert [item for item in items(*branch) if item["type"] != "message"] == [], why


def test_a_tool_that_the_provider_has_run_goes_back_with_its_output() -> None:
    shell = {"type": "shell_call", "call_id": "s"}
    shown = {"type": "shell_call_output", "call_id": "s"}

    assert items(said("x", kept(WIRE, shell), kept(WIRE, shown)))[:2] == [shell, shown]


def test_stored_reasoning_goes_back_without_its_content() -> None:
    stored: dict[str, Any] = {"type": "reasoning", "id": "r", "summary": []}

    assert items(said("x", kept(WIRE, stored)), store=True)[0] == stored


def test_a_custom_tool_gets_the_result_that_it_wants() -> None:
    custom = {"type": "custom_tool_call", "id": "c", "call_id": "a", "name": "grep", "input": "x"}

    assert items(
        called(ToolCall("a", "grep", '{"input":"x"}'), items=[kept(WIRE, custom)]), result("a", "found")
    ) == [custom, output("a", "found", "custom_tool_call_output")]


def test_an_answer_that_was_read_goes_back_as_it_was() -> None:
    given: list[dict[str, Any]] = [
        REASONING,
        call("a", '{"x":1}', id="fc", caller={"type": "program", "caller_id": "p"}),
        {**REASONING, "id": "r2"},
        call("b", "{}", id="fd"),
    ]
    whole: dict[str, Any] = {"object": "response", "status": "completed", "output": given}

    answer = answer_of(OpenAIResponsesParser().feed(json.dumps(whole)))

    sent = items(*said_and_called(answer), result("a", "1"), result("b", "2"))
    assert sent == [*given[:3], call("b"), output("a", "1"), output("b", "2")]


def test_what_is_to_be_included_joins_ours() -> None:
    more = ["web_search_call.action.sources"]
    sent = body(asked("x"), settings=ModelSettings(options={"include": more, "store": None}))

    assert sent["include"] == ["reasoning.encrypted_content", *more]
    assert "store" not in sent
