"""The call of a tool in a worker process, as it travels there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from actors.tools.tool import Tool, ToolContext, ToolFunction

__all__ = ["ProcessCall"]


@dataclass(frozen=True, slots=True, repr=False)
class ProcessCall:
    """Pickled here, called there."""

    tool: str
    function: ToolFunction
    arguments: Mapping[str, object]
    session_id: str
    task_id: str
    call_id: str
    directory: str

    @classmethod
    def of(cls, tool: Tool, arguments: Mapping[str, object], context: ToolContext) -> ProcessCall:
        return cls(
            tool=tool.name,
            function=tool.function,
            arguments=arguments,
            session_id=context.session_id,
            task_id=context.task_id,
            call_id=context.call_id,
            directory=context.directory,
        )

    def __call__(self) -> str:
        context = ToolContext(
            session_id=self.session_id,
            task_id=self.task_id,
            call_id=self.call_id,
            directory=self.directory,
            show=_nobody_hears,
        )
        return cast("str", self.function(self.arguments, context))

    def __repr__(self) -> str:  # what errors of the worker process call it
        return f"the tool {self.tool}"


def _nobody_hears(_: str) -> None:
    """Live output is not brought over from a process."""
