"""A tool, as everybody knows it who has to do with tools."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import msgspec

from actors.models.base import ToolDefinition

__all__ = ["Tool", "ToolContext", "ToolFunction"]


class ToolContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a running call knows of itself. `show` gives text to those who watch; it may be called often.

    `directory` is where the session works; empty where it names none.
    """

    session_id: str
    task_id: str
    call_id: str
    directory: str
    show: Callable[[str], None]


ToolFunction: TypeAlias = Callable[[Mapping[str, object], ToolContext], Awaitable[str]]
"""Takes the arguments, which fit the tool's schema; returns the result for the model.

It runs in a child task of its session, which is cancelled when the turn is stopped or the time is up. It
must not block: a call that blocks holds up all sessions. What it raises becomes the result `failed` and
harms nobody.
"""

_NO_PARAMETERS: dict[str, object] = {"type": "object", "properties": {}}


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a model may ask for.

    - `parameters`: the JSON schema of its arguments, an object's.
    - `needs_confirmation`: it waits for a person, unless the session's approval mode says otherwise.
    - `read_only`: it changes nothing. It is offered in plan mode, and may be called again after a crash.
    - `group`: calls of tools of one group run one after the other, in the order in which they were asked
      for; without a group, beside all others.
    - `timeout_seconds`: a call that takes longer is stopped, and has failed.
    - `output_limit_bytes`: what is longer in UTF-8 is cut in the middle, with a mark that says so.
    - `origin`: the MCP server that it is from, by its id.
    """

    name: str
    description: str
    function: ToolFunction
    parameters: Mapping[str, object] = {}
    needs_confirmation: bool = False
    read_only: bool = False
    group: str = ""
    timeout_seconds: float = 120.0
    output_limit_bytes: int = 100_000
    origin: str = ""

    @property
    def definition(self) -> ToolDefinition:
        return ToolDefinition(
            name=self.name,
            description=self.description,
            parameters=msgspec.Raw(msgspec.json.encode(self.parameters or _NO_PARAMETERS)),
        )
