"""A tool, as everybody knows it who has to do with tools."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import TypeAlias

import msgspec

from actors.models.base import ToolDefinition
from actors.tools.schema import ArgumentsSchema

__all__ = ["Tool", "ToolContext", "ToolFunction", "ToolKind"]


class ToolKind(enum.Enum):
    """Where the calls of a tool run."""

    ASYNC = "async"
    """In a trio task, on the engine's thread: it must not block."""
    THREAD = "thread"
    """In a thread, for what waits. It cannot be stopped: what goes on when its time is up is left alone.

    It may look for that itself, by `trio.from_thread.check_cancelled()`.
    """
    PROCESS = "process"
    """In a process, for what computes, hangs or crashes. It is killed with all that it has started."""


class ToolContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a running call knows of itself. `show` gives text to those who watch; it may be called often.

    `directory` is where the session works; empty where it names none. In a process, `show` shows nothing.
    """

    session_id: str
    task_id: str
    call_id: str
    directory: str
    show: Callable[[str], None]


ToolFunction: TypeAlias = Callable[[Mapping[str, object], ToolContext], Awaitable[str] | str]
"""Takes the arguments, which fit the tool's schema; returns the result for the model.

An `async` tool's is a coroutine function. It must not block: a call that blocks holds up all sessions. It
is cancelled when the turn is stopped or the time is up. A `thread` tool's and a `process` tool's is a plain
function, and the latter's can be pickled. What it raises becomes the result `failed` and harms nobody;
the message of an `EngineError` is told to the model as it is.
"""

_NO_PARAMETERS: dict[str, object] = {"type": "object", "properties": {}}


class Tool(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Something that a model may ask for.

    - `runs`: where, and with it what kind of function it is.
    - `parameters`: the JSON schema of its arguments, an object's.
    - `needs_confirmation`: it waits for a person, unless the session's approval mode says otherwise.
    - `read_only`: it changes nothing. It is offered in plan mode, and may be called again after a crash.
    - `group`: calls of tools of one group run one after the other, in the order in which they were asked
      for; without a group, beside all others.
    - `timeout_seconds`: a call that takes longer is stopped, and has failed.
    - `output_limit_bytes`: what is longer in UTF-8 is cut in the middle, with a mark that says so.
    - `origin`: the MCP server that it is from, by its id.
    - `check`: says what is wrong with the arguments, or "", and is asked instead of the schema.
    - `find_problem`: says why the tool cannot be called just now, or "". It must not block.
    """

    name: str
    description: str
    function: ToolFunction
    runs: ToolKind = ToolKind.ASYNC
    parameters: Mapping[str, object] = {}
    needs_confirmation: bool = False
    read_only: bool = False
    group: str = ""
    timeout_seconds: float = 120.0
    output_limit_bytes: int = 100_000
    origin: str = ""
    check: Callable[[Mapping[str, object]], str] | None = None
    find_problem: Callable[[], str] | None = None

    @cached_property
    def schema(self) -> ArgumentsSchema:
        """That of `parameters`. Of a tool that is from elsewhere no regular expression is tried."""
        return ArgumentsSchema(self.parameters, trusted=not self.origin)

    @cached_property
    def definition(self) -> ToolDefinition:
        return ToolDefinition(
            name=self.name,
            description=self.description,
            parameters=msgspec.Raw(msgspec.json.encode(self.parameters or _NO_PARAMETERS)),
        )
