"""The child task that runs one tool call and tells its session what comes of it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from actors.conversation import ToolCall
from actors.session.protocol import OutputArrived, ToolEnded
from actors.tools import Tool, ToolContext, ToolRunner
from actors.tools.output import LiveOutput

__all__ = ["ToolRun"]


class ToolRun:
    """One call of a tool, in its session's thread.

    At most one `OutputArrived` of it is in the session's mailbox, as with the parts of a model call: what
    the tool shows meanwhile grows into the next one.
    """

    __slots__ = ("_call", "_context", "_output", "_runner", "_task_id", "_tell", "_tool")

    def __init__(
        self,
        tool: Tool,
        call: ToolCall,
        task_id: str,
        tell: Callable[[OutputArrived | ToolEnded], None],
        runner: ToolRunner,
        *,
        session_id: str,
        directory: str,
    ) -> None:
        self._tool = tool
        self._call = call
        self._task_id = task_id
        self._tell = tell
        self._runner = runner
        self._output = LiveOutput(tool.output_limit_bytes, self._tell_output)
        self._context = ToolContext(
            session_id=session_id,
            task_id=task_id,
            call_id=call.call_id,
            directory=directory,
            show=self._output.show,
        )

    async def run(self) -> None:
        """Run it. Ends with exactly one `ToolEnded`, unless it is cancelled: then with none."""
        # They fit the tool's schema: nothing runs that was not checked.
        arguments = msgspec.json.decode(self._call.arguments or "{}", type=dict[str, object])
        try:
            outcome = await self._runner.run(self._tool, arguments, self._context)
            self._output.end()
        finally:
            self._output.drop()
        self._tell(ToolEnded(self._task_id, self._call.call_id, outcome.status, outcome.output))

    def taken(self) -> None:
        """The session has handled what it was told last."""
        self._output.taken()

    def stopped(self) -> None:
        """Nothing of it is wanted any more."""
        self._output.drop()

    def _tell_output(self, text: str) -> None:
        self._tell(OutputArrived(self._task_id, self._call.call_id, text))
