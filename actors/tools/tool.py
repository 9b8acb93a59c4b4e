"""A tool and the registry of them, shared by all sessions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import msgspec

from actors.errors import EngineError, ErrorCode
from actors.models.base import ToolDefinition

__all__ = ["Tool", "ToolFunction", "ToolRegistry"]

ToolFunction: TypeAlias = Callable[[Mapping[str, object], Callable[[str], None]], Awaitable[str]]
"""Takes the arguments and a function that shows output while it runs; returns the result for the model.

It runs in a child task of its session, which is cancelled when the turn is stopped. It must not block: a
call that blocks holds up all sessions. What it raises becomes the result `failed` and harms nobody.
"""


_NO_PARAMETERS: dict[str, object] = {"type": "object", "properties": {}}


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a model may ask for.

    `parameters` is the JSON schema of its arguments, an object's. One that `needs_confirmation` waits for a
    person, unless the session's approval mode says otherwise. A `read_only` one changes nothing: it may be
    run again after a crash.
    """

    name: str
    description: str
    function: ToolFunction
    parameters: Mapping[str, object] = {}
    needs_confirmation: bool = False
    read_only: bool = False

    @property
    def definition(self) -> ToolDefinition:
        return ToolDefinition(
            name=self.name,
            description=self.description,
            parameters=msgspec.Raw(
                msgspec.json.encode(self.parameters or {"type": "object", "properties": {}})
            ),
        )


class ToolRegistry:
    """The tools of an engine by name; does not change.

    Raises:
        EngineError: `INVALID_ARGUMENT` for two tools of one name.
    """

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            if tool.name in self._tools:
                raise EngineError(
                    ErrorCode.INVALID_ARGUMENT,
                    f"there are two tools named {tool.name!r}: rename one of them",
                )
            self._tools[tool.name] = tool
        self.definitions = tuple(tool.definition for tool in self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def find(self, name: str) -> Tool | None:
        return self._tools.get(name)
