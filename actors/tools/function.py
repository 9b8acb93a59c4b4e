"""Tools from Python functions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Literal, TypeAlias, overload

from actors.tools.importable import ImportedFunction
from actors.tools.python_function import PythonFunction
from actors.tools.signature import Signature, wrong_declaration
from actors.tools.tool import Tool, ToolFunction, ToolKind

__all__ = ["Runs", "tool"]

Runs: TypeAlias = Literal["async", "thread", "process"]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What all providers take."""


@overload
def tool(function: Callable[..., object], /) -> Tool: ...
@overload
def tool(
    *,
    name: str = "",
    description: str = "",
    needs_confirmation: bool = False,
    read_only: bool = False,
    group: str = "",
    timeout_seconds: float = 120.0,
    output_limit_bytes: int = 100_000,
    runs: Runs | None = None,
) -> Callable[[Callable[..., object]], Tool]: ...
def tool(
    function: Callable[..., object] | None = None,
    /,
    *,
    name: str = "",
    description: str = "",
    needs_confirmation: bool = False,
    read_only: bool = False,
    group: str = "",
    timeout_seconds: float = 120.0,
    output_limit_bytes: int = 100_000,
    runs: Runs | None = None,
) -> Tool | Callable[[Callable[..., object]], Tool]:
    """Make a tool of a function: `@tool`, `@tool(read_only=True)`, or `tool(function)` to keep both.

    The model sees the function's name, its docstring (Google, NumPy or Sphinx style) and a schema from its
    type hints: whatever msgspec can read from JSON, and `Path`. Types are taken strictly: `"3"` is no
    `int`, and the model is told so. A parameter of type `ToolContext` gets the call's own, unseen by the
    model. A result that is no text is given as JSON, None as `done`.

    `async def` runs on the engine's thread, in trio, and must not block. Other functions run in a thread,
    or with `runs="process"` in another process, which imports the function's module. The other arguments
    are those of `Tool`.

    Raises:
        EngineError: `INVALID_ARGUMENT` for a function that cannot be a tool; names function and parameter.
    """

    def decorate(function: Callable[..., object]) -> Tool:
        if not (inspect.isfunction(function) or inspect.ismethod(function)):
            raise wrong_declaration(function, "is no function: take a def, or a method of an object")
        signature = Signature(function)
        kind = _kind_of(function, runs)
        tool_name = name or getattr(function, "__name__", "")
        _check_options(function, tool_name, timeout_seconds, output_limit_bytes)
        called = PythonFunction(function, signature)
        imported = ImportedFunction.of(called) if kind is ToolKind.PROCESS else None
        return Tool(
            name=tool_name,
            description=description or signature.description,
            function=imported or _called(called, kind),
            runs=kind,
            parameters=signature.schema,
            needs_confirmation=needs_confirmation,
            read_only=read_only,
            group=group,
            timeout_seconds=timeout_seconds,
            output_limit_bytes=output_limit_bytes,
            check=signature.find_error,
            find_problem=None if imported is None else imported.find_problem,
        )

    return decorate if function is None else decorate(function)


def _called(function: PythonFunction, kind: ToolKind) -> ToolFunction:
    return function.call_async if kind is ToolKind.ASYNC else function.call


def _kind_of(function: Callable[..., object], runs: Runs | None) -> ToolKind:
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise wrong_declaration(function, "yields: a tool returns its result, and shows what comes before")
    is_async = inspect.iscoroutinefunction(function)
    if runs is None:
        return ToolKind.ASYNC if is_async else ToolKind.THREAD
    if runs not in tuple(kind.value for kind in ToolKind):
        raise wrong_declaration(function, f'runs in {runs!r}: take "async", "thread" or "process"')
    kind = ToolKind(runs)
    if is_async is not (kind is ToolKind.ASYNC):
        what = "an async def" if is_async else "a plain def"
        raise wrong_declaration(function, f"is {what}, which runs={runs!r} is not for")
    return kind


def _check_options(
    function: Callable[..., object], name: str, timeout_seconds: float, output_limit_bytes: int
) -> None:
    if not _NAME.fullmatch(name):
        raise wrong_declaration(
            function,
            f"is named {name!r}: providers take 1 to 64 letters, digits, _ and -; say tool(name=...)",
        )
    if not timeout_seconds > 0:
        raise wrong_declaration(function, f"has timeout_seconds={timeout_seconds}: it has to be above 0")
    if not output_limit_bytes > 0:
        raise wrong_declaration(
            function, f"has output_limit_bytes={output_limit_bytes}: it has to be above 0"
        )
