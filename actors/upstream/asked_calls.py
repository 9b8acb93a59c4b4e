"""The tool calls that a user has the endpoint ask for, so that tools can be tried without a real model."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from actors.upstream.wire import ChatRequest

__all__ = ["AskedCall", "asked_calls"]


class _Part(msgspec.Struct, frozen=True):
    """A piece of a message; those that are no text have none."""

    text: str = ""


_CALL = re.compile(r"^[ \t]*call[ \t]+([A-Za-z0-9_-]{1,64})[ \t]*(\{.*\})?[ \t]*$", re.MULTILINE)


class AskedCall(msgspec.Struct, frozen=True):
    """A tool and the JSON text of its arguments."""

    name: str
    arguments: str


def asked_calls(request: ChatRequest) -> tuple[AskedCall, ...]:
    """The calls of the last message, if it is a user's: its lines of the form `call NAME {"a": 1}`.

    Only tools that the request offers are called; arguments are passed on as they stand there.
    """
    last = request.messages[-1]
    if last.get("role") != "user":
        return ()
    offered = set(_offered(request))
    return tuple(
        AskedCall(match[1], match[2] or "{}")
        for match in _CALL.finditer(_text_of(last.get("content")))
        if match[1] in offered
    )


def _offered(request: ChatRequest) -> Iterator[str]:
    for tool in request.tools or ():
        match tool:
            case {"function": {"name": str(name)}}:
                yield name
            case _:
                pass


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    try:
        parts = msgspec.convert(content, list[_Part])
    except msgspec.ValidationError:
        return ""
    return "\n".join(part.text for part in parts)
