"""The child task that runs one tool call and tells its session what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import msgspec
import trio

from actors.conversation import ToolCall, ToolStatus
from actors.session.protocol import OutputArrived, ToolEnded
from actors.tools import Tool
from runtime import get_logger

__all__ = ["run_tool"]

_log = get_logger("session")


async def run_tool(
    tool: Tool, call: ToolCall, task_id: str, tell: Callable[[OutputArrived | ToolEnded], None]
) -> None:
    """Run one call. Ends with exactly one `ToolEnded`, unless it is cancelled: then with none."""

    def show(text: str) -> None:
        tell(OutputArrived(task_id, call.call_id, text))

    try:
        arguments = msgspec.json.decode(call.arguments or "{}", type=dict[str, object])
        output = await tool.function(arguments, show)
        if not isinstance(output, str):  # pyright: ignore[reportUnnecessaryIsInstance] - foreign code
            raise TypeError(f"a tool returns a text, not {type(output).__name__}")
        output.encode()
        status = ToolStatus.SUCCEEDED
    except trio.Cancelled:
        raise
    except BaseException as error:
        if _is_cancelled(error):
            raise
        _log.warning("tool failed", tool=call.name, task_id=task_id, reason=type(error).__name__)
        status, output = ToolStatus.FAILED, f"The tool failed: {type(error).__name__}: {error}"
        output = output.encode(errors="replace").decode()
    tell(ToolEnded(task_id, call.call_id, status, output))


def _is_cancelled(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error)
        return inner.subgroup(trio.Cancelled) is not None
    return False
