from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from actors.conversation import Image, Message, MessageState, Role, Text, ToolCall, ToolStatus
from actors.errors import EngineError, ErrorCode
from actors.model_settings import ModelSettings
from actors.models import AnthropicMessagesParser, ModelRequest
from actors.models.anthropic_messages_request import encode_request
from actors.models.base import ToolDefinition
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

WIRE = "anthropic-messages"
MARK = {"type": "ephemeral"}
THINKING = {"type": "thinking", "thinking": "hm", "signature": "S"}
TOOL = ToolDefinition("f", "Does.", msgspec.Raw(b'{"type":"object"}'))


def body(
    *branch: Message,
    settings: ModelSettings = ModelSettings(),  # noqa: B008 - frozen
    model: str = "claude-sonnet-4-5",
    cache_prompts: bool = False,
    **request: Any,
) -> dict[str, Any]:
    asking = ModelRequest(messages=branch, **request)
    return json.loads(encode_request(model, asking, settings, name=NAME, cache_prompts=cache_prompts))


def turns(*branch: Message) -> list[tuple[str, list[dict[str, Any]]]]:
    return [(each["role"], each["content"]) for each in body(*branch)["messages"]]


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def use(call_id: str, arguments: Any, name: str = "f") -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def answered(call_id: str, output: str, **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": output, **fields}


def test_a_plain_question_is_sent_with_nothing_but_what_is_needed() -> None:
    assert body(asked("hello")) == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 32_000,
        "messages": [{"role": "user", "content": [text("hello")]}],
        "stream": True,
    }


def test_settings_tools_and_the_system_prompt_are_sent() -> None:
    sent = body(
        asked("go"),
        system_prompt="Be brief.",
        tools=(TOOL,),
        settings=ModelSettings(temperature=0.0, max_output_tokens=9, options={"top_k": 5, "stream": False}),
    )

    assert (sent["temperature"], sent["max_tokens"], sent["top_k"], sent["stream"]) == (0.0, 9, 5, True)
    assert sent["system"] == [text("Be brief.")]
    assert sent["tools"] == [{"name": "f", "description": "Does.", "input_schema": {"type": "object"}}]


@pytest.mark.parametrize(
    ("model", "options", "limit"),
    [
        ("claude-opus-4-1-20250805", {}, 32_000),
        ("anthropic/claude-haiku-4.5", {}, 32_000),
        ("claude-3-5-haiku-20241022", {}, 8_192),
        ("glm-4.6", {}, 8_192),
        ("claude-sonnet-4-5", {"thinking": {"type": "enabled", "budget_tokens": 32_000}}, 40_192),
        ("claude-sonnet-4-5", {"thinking": {"type": "adaptive"}}, 32_000),
    ],
)
def test_there_is_always_a_limit_with_room_for_an_answer(
    model: str, options: dict[str, Any], limit: int
) -> None:
    assert body(asked("x"), model=model, settings=ModelSettings(options=options))["max_tokens"] == limit


def test_users_and_assistant_take_turns_and_results_follow_their_calls() -> None:
    assert turns(
        asked("go"),
        said("Looking.", thought="secret"),
        called(ToolCall("a", "f", '{"x": 1}'), ToolCall("b", "f", "")),
        result("a", "1"),
        result("b", "no", ToolStatus.FAILED),
        asked("and?"),
        said("Done."),
        asked("one"),
        asked("two"),
    ) == [
        ("user", [text("go")]),
        ("assistant", [text("Looking."), use("a", {"x": 1}), use("b", {})]),
        ("user", [answered("a", "1"), answered("b", "no", is_error=True), text("and?")]),
        ("assistant", [text("Done.")]),
        ("user", [text("one"), text("two")]),
    ]


@pytest.mark.parametrize("status", [ToolStatus.FAILED, ToolStatus.CANCELLED, ToolStatus.UNKNOWN])
def test_what_did_not_succeed_is_an_error(status: ToolStatus) -> None:
    blocks = turns(asked("x"), called(ToolCall("a", "f", "{}")), result("a", "why", status))[-1][1]

    assert blocks == [answered("a", "why", is_error=True)]


def test_files_and_pictures_go_before_the_words() -> None:
    picture = {
        "type": "image",
        "source": {
            "type": "base64",
            "media_type": "image/png",
            "data": base64.b64encode(b"\x89PNG").decode(),
        },
    }

    assert turns(asked(WORDS)) == [("user", [picture, text(FILES)])]
    assert turns(asked(Image("image/png", b"\x89PNG")), asked("this")) == [
        ("user", [picture, text("this")])
    ]


def test_blank_texts_are_left_out() -> None:
    assert turns(asked("one"), said(" \n"), asked(" "), asked("two")) == [
        ("user", [text("one"), text("two")])
    ]


def test_a_conversation_begins_with_the_user() -> None:
    roles = [role for role, _ in turns(said("Welcome."), asked("hi"))]

    assert roles == ["user", "assistant", "user"]


def test_an_answer_to_go_on_with_ends_without_white_space() -> None:
    assert turns(asked("go"), said("Once \n"))[-1] == ("assistant", [text("Once")])


def test_a_system_message_in_the_midst_is_shown_to_the_model() -> None:
    assert turns(message(Role.SYSTEM, Text("Now in French.")))[0] == (
        "user",
        [text("<system>\nNow in French.\n</system>")],
    )


@pytest.mark.parametrize("arguments", ["[1]", "{", '"x"', "5"])
def test_arguments_that_are_no_object_are_shown_as_they_were(arguments: str) -> None:
    blocks = turns(asked("x"), called(ToolCall("a", "f", arguments)), result("a", "no"))[1][1]

    assert blocks == [use("a", {"arguments": arguments})]


def test_ids_and_names_of_others_are_written_in_the_letters_that_are_taken() -> None:
    sent = turns(asked("x"), called(ToolCall("functions.f:0", "a b", "{}")), result("functions.f:0", "1"))

    assert sent[1][1] == [use("functions_f_0", {}, "a_b")]
    assert sent[2][1] == [answered("functions_f_0", "1")]


# --- what only Anthropic understands -----------------------------------------------------------------


def test_items_go_back_where_they_stood() -> None:
    search: dict[str, Any] = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    found: dict[str, Any] = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    items = (kept(WIRE, THINKING), kept(WIRE, search, 6), kept(WIRE, found, 6))

    assert turns(asked("x"), said("Look: found", *items), asked("y"))[1] == (
        "assistant",
        [THINKING, text("Look: "), search, found, text("found")],
    )


def test_items_go_back_to_the_same_model_on_the_same_wire_only() -> None:
    other_model = said("a", kept(WIRE, THINKING), model="other:model")
    other_wire = said("b", kept("openai-responses", THINKING))

    assert turns(asked("x"), other_model, other_wire, asked("y"))[1] == (
        "assistant",
        [text("a"), text("b")],
    )


def test_a_thought_stands_before_the_call_that_it_led_to() -> None:
    expected = [THINKING, use("a", {})]
    call = ToolCall("a", "f", "{}")

    on_text = turns(asked("x"), said("", kept(WIRE, THINKING)), called(call), result("a", "1"))
    on_call = turns(asked("x"), called(call, items=[kept(WIRE, THINKING)]), result("a", "1"))

    assert on_text[1] == on_call[1] == ("assistant", expected)


def test_a_call_that_was_kept_is_written_once_and_as_it_was() -> None:
    special = {**use("a", {"x": 1}), "caller": {"type": "program", "tool_id": "s"}}
    branch = (
        asked("x"),
        said("", kept(WIRE, special), kept(WIRE, THINKING)),
        called(ToolCall("a", "f", '{"x":1}'), ToolCall("b", "f", "{}")),
        result("a", "1"),
        result("b", "2"),
    )

    assert turns(*branch)[1] == ("assistant", [special, THINKING, use("b", {})])


def test_a_kept_call_that_the_conversation_has_not_is_left_out() -> None:
    assert turns(asked("x"), said("a", kept(WIRE, use("a", {}))), asked("y"))[1] == (
        "assistant",
        [text("a")],
    )


def test_a_thought_that_led_to_nothing_is_left_out() -> None:
    stopped = said("", kept(WIRE, THINKING), state=MessageState.ABORTED)

    assert turns(asked("x"), stopped, asked("y")) == [("user", [text("x"), text("y")])]


def test_a_tool_of_the_provider_that_was_cut_off_is_left_out() -> None:
    search = kept(WIRE, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})

    assert turns(asked("x"), said("Look: ", search, state=MessageState.ABORTED), asked("y"))[1] == (
        "assistant",
        [text("Look: ")],
    )


def test_an_answer_that_was_read_goes_back_as_it_was() -> None:
    content: list[dict[str, Any]] = [
        THINKING,
        text("Look: "),
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"encrypted": "E"}]},
        {"type": "redacted_thinking", "data": "D"},
        text("found."),
        use("a", {"x": 1.0}),
        use("b", {}),
    ]
    whole: dict[str, Any] = {"type": "message", "content": content, "stop_reason": "tool_use"}

    answer = answer_of(AnthropicMessagesParser().feed(json.dumps(whole)))

    assert turns(asked("x"), *said_and_called(answer), result("a", "1"), result("b", "2"))[1] == (
        "assistant",
        content,
    )


# --- the cache ---------------------------------------------------------------------------------------


def test_at_most_four_ends_are_marked_for_the_cache() -> None:
    sent = body(
        asked("one"),
        said("1"),
        asked("two"),
        said("2"),
        asked("three"),
        system_prompt="Be brief.",
        tools=(TOOL, TOOL),
        cache_prompts=True,
    )

    marked = [
        block["text"] for each in sent["messages"] for block in each["content"] if "cache_control" in block
    ]
    assert marked == ["two", "three"]
    assert [tool.get("cache_control") for tool in sent["tools"]] == [None, MARK]
    assert sent["system"] == [{**text("Be brief."), "cache_control": MARK}]


def test_a_request_begins_with_what_the_one_before_it_held() -> None:
    before = (asked("one"), said("1", kept(WIRE, THINKING)))
    first = body(*before, asked("two"))
    second = body(*before, asked("two"), said("2"), asked("three"))

    assert second["messages"][: len(first["messages"])] == first["messages"]


# --- options -----------------------------------------------------------------------------------------


def test_tools_of_the_provider_join_ours_and_no_option_says_what_was_said() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    options: dict[str, Any] = {
        "tools": [search],
        "messages": [],
        "model": "x",
        "system": "y",
        "temperature": None,
    }

    sent = body(asked("x"), tools=(TOOL,), settings=ModelSettings(temperature=1.0, options=options))

    assert [tool["name"] for tool in sent["tools"]] == ["f", "web_search"]
    assert (sent["model"], len(sent["messages"])) == ("claude-sonnet-4-5", 1)
    assert not sent.keys() & {"temperature", "system"}


def test_an_option_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(EngineError, match="cannot be written as JSON") as caught:
        body(asked("x"), settings=ModelSettings(options={"x": object()}))

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
