"""Tool calls that the user has the endpoint ask for."""

from __future__ import annotations

import msgspec
import pytest

from actors.upstream.answers import write_script
from actors.upstream.asked_calls import AskedCall, asked_calls
from actors.upstream.pace import Pace
from actors.upstream.wire import ChatRequest, digest_of

TOOLS: list[dict[str, object]] = [
    {"type": "function", "function": {"name": name}} for name in ("search", "read")
]


def request(content: object, *, role: str = "user") -> ChatRequest:
    return ChatRequest(model="m", messages=[{"role": role, "content": content}], tools=TOOLS)


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        ('Look:\ncall search {"q": "a {b}"}\n  call read', [("search", '{"q": "a {b}"}'), ("read", "{}")]),
        ([{"type": "text", "text": "call read {}"}, {"type": "image_url"}], [("read", "{}")]),
        ("please call search for me", []),
        ("call delete {}", []),
        ("I call search {}", []),
        (None, []),
    ],
)
def test_lines_of_the_users_last_message_ask_for_offered_tools(
    content: object, asked: list[tuple[str, str]]
) -> None:
    assert asked_calls(request(content)) == tuple(AskedCall(*one) for one in asked)


def test_nothing_is_asked_for_behind_a_tools_result() -> None:
    assert asked_calls(request("call read {}", role="tool")) == ()


def test_an_answer_that_asks_says_nothing_else_in_both_forms() -> None:
    asking = request('call search {"q": 1}\ncall read')
    script = write_script(asking, digest_of(asking, 0), (5, 5))

    whole = msgspec.json.decode(script.body())["choices"][0]
    wires = b"".join(wire for _, _, wire in script.stream(Pace(0, 0), include_usage=True))
    datas = [line[6:] for line in wires.split(b"\n") if line.startswith(b"data: {")]
    choices = [choice for data in datas for choice in msgspec.json.decode(data)["choices"]]

    deltas = [call for choice in choices for call in choice["delta"].get("tool_calls", ())]
    assert [call.pop("index") for call in deltas] == [0, 1]
    assert deltas == whole["message"]["tool_calls"]
    assert [call["function"] for call in deltas] == [
        {"name": "search", "arguments": '{"q": 1}'},
        {"name": "read", "arguments": "{}"},
    ]
    assert len({call["id"] for call in deltas}) == 2
    assert whole["message"]["content"] == ""
    assert whole["finish_reason"] == choices[-1]["finish_reason"] == "tool_calls"
