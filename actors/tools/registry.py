"""The tools of an engine, shared by all its sessions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from actors.errors import EngineError, ErrorCode
from actors.tools.health import ToolHealthReport, health_of
from actors.tools.tool import Tool

__all__ = ["ToolRegistry"]


class ToolRegistry:
    """The tools of an engine by name, in the order of their names: requests to a model begin alike.

    Raises:
        EngineError: `INVALID_ARGUMENT` for two tools of one name.
    """

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        # Made when it is asked for: servers bring their tools by the thousand, one by one.
        self._in_order: tuple[Tool, ...] | None = None
        for tool in tools:
            self.register_tool(tool)

    def register_tool(self, tool: Tool) -> None:
        """From the next model call on, sessions may be asked for it.

        Raises:
            EngineError: `INVALID_ARGUMENT` for a name that is taken.
        """
        if tool.name in self._tools:
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"there are two tools named {tool.name!r}: rename one of them",
            )
        self._tools[tool.name] = tool
        self._in_order = None

    def unregister_tool(self, name: str) -> None:
        """Nothing where it is not known. A call of it that is under way goes on."""
        self._tools.pop(name, None)
        self._in_order = None

    def check_tool_health(self) -> ToolHealthReport:
        """Which tools can be called now, and why the others cannot. Answers at once."""
        return health_of(self)

    def __len__(self) -> int:
        return len(self._tools)

    def __iter__(self) -> Iterator[Tool]:
        if self._in_order is None:
            self._in_order = tuple(tool for _, tool in sorted(self._tools.items()))
        return iter(self._in_order)

    def get_tool(self, name: str) -> Tool | None:
        return self._tools.get(name)
