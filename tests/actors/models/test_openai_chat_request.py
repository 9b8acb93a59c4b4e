from __future__ import annotations

import base64
import json
from typing import Any

import msgspec

from actors.conversation import Image, Message, Text, ToolCall
from actors.model_settings import ModelSettings
from actors.models import ModelRequest
from actors.models.base import ToolDefinition
from actors.models.openai_chat_request import encode_request
from tests.actors.models.branches import FILES, NAME, WORDS, asked, called, result, said

TOOL = ToolDefinition("f", "Does.", msgspec.Raw(b'{"type":"object"}'))
PICTURE = {
    "type": "image_url",
    "image_url": {"url": "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()},
}


def body(
    *branch: Message,
    options: dict[str, Any] | None = None,
    cache_by_conversation: bool = False,
    return_thoughts: bool = False,
    **request: Any,
) -> dict[str, Any]:
    return json.loads(
        encode_request(
            "gpt",
            ModelRequest(messages=branch, **request),
            ModelSettings(options=options or {}),
            name=NAME,
            ask_for_usage=True,
            max_tokens_field="max_tokens",
            cache_by_conversation=cache_by_conversation,
            return_thoughts=return_thoughts,
        )
    )


def test_files_and_pictures_go_before_the_words() -> None:
    assert body(asked(WORDS))["messages"] == [
        {"role": "user", "content": [PICTURE, {"type": "text", "text": FILES}]}
    ]


def test_a_picture_of_its_own_is_looked_at_or_read() -> None:
    seen, read = asked(Image("image/png", b"\x89PNG")), asked(Image("image/png", b"", text="Stop."))

    assert [each["content"] for each in body(seen, read)["messages"]] == [
        [PICTURE],
        '<file name="image">\nStop.\n</file>',
    ]


def test_a_user_who_says_nothing_is_sent() -> None:
    assert body(asked(Text("")))["messages"] == [{"role": "user", "content": ""}]


def test_the_conversation_is_named_where_the_provider_caches_by_it() -> None:
    assert body(asked("x"), conversation_id="c", cache_by_conversation=True)["prompt_cache_key"] == "c"
    assert "prompt_cache_key" not in body(asked("x"), conversation_id="c")
    assert "prompt_cache_key" not in body(asked("x"), cache_by_conversation=True)


def test_thoughts_go_back_with_the_calls_they_led_to_where_that_is_wanted() -> None:
    call = ToolCall("a", "f", "{}")
    branch = (
        asked("x"),
        said("Look.", thought="hm"),
        called(call),
        result("a", "1"),
        said("", thought="so"),
        called(call),
        result("a", "2"),
        said("Other.", thought="of another model", model="other:model"),
        called(call),
        result("a", "3"),
        said("Done.", thought="led to no call"),
    )

    def thoughts(*, return_thoughts: bool) -> list[str | None]:
        sent = body(*branch, return_thoughts=return_thoughts)["messages"]
        return [each.get("reasoning_content") for each in sent if each["role"] == "assistant"]

    assert thoughts(return_thoughts=True) == ["hm", "so", None, None]
    assert thoughts(return_thoughts=False) == [None] * 4


def test_options_are_fields_of_the_body_but_never_what_is_said() -> None:
    options: dict[str, Any] = {
        "seed": 5,
        "model": "x",
        "messages": [],
        "stream": False,
        "stream_options": None,
    }

    sent = body(asked("x"), options=options)

    assert (sent["seed"], sent["model"], sent["stream"]) == (5, "gpt", True)
    assert len(sent["messages"]) == 1
    assert "stream_options" not in sent


def test_tools_of_the_provider_join_ours() -> None:
    search = {"type": "web_search"}

    assert body(asked("x"), tools=(TOOL,), options={"tools": [search]})["tools"][1:] == [search]
