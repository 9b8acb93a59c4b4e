"""The child task that runs one tool call and tells its session what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import msgspec
import trio

from actors.conversation import ToolCall, ToolStatus
from actors.session.protocol import OutputArrived, ToolEnded
from actors.session.storable import storable_text
from actors.tools import Tool, ToolContext
from runtime import get_logger

__all__ = ["run_tool"]

_log = get_logger("session")


async def run_tool(
    tool: Tool,
    call: ToolCall,
    task_id: str,
    tell: Callable[[OutputArrived | ToolEnded], None],
    *,
    session_id: str,
    directory: str,
) -> None:
    """Run one call. Ends with exactly one `ToolEnded`, unless it is cancelled: then with none."""

    def show(text: str) -> None:
        tell(OutputArrived(task_id, call.call_id, _storable(text)))

    context = ToolContext(
        session_id=session_id, task_id=task_id, call_id=call.call_id, directory=directory, show=show
    )

    try:
        arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, object])
        output = _storable(await tool.function(arguments, context))
        status = ToolStatus.SUCCEEDED
    except trio.Cancelled:
        raise
    except BaseException as error:
        if _is_cancelled(error):
            raise
        _log.warning("tool failed", tool=call.name, task_id=task_id, reason=type(error).__name__)
        status, output = ToolStatus.FAILED, _storable(f"The tool failed: {_named(error)}")
    tell(ToolEnded(task_id, call.call_id, status, output))


def _storable(text: str) -> str:
    """What a tool says, as a store can take it.

    Raises:
        TypeError: it is no text.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - foreign code
        raise TypeError(f"a tool says and returns text, not {type(text).__name__}")
    return storable_text(text)


def _named(error: BaseException) -> str:
    name = type(error).__name__
    try:
        return f"{name}: {error}"
    except Exception:  # noqa: BLE001 - foreign code, which fails even to say why it failed
        return name


def _is_cancelled(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error)
        return inner.subgroup(trio.Cancelled) is not None
    return False
