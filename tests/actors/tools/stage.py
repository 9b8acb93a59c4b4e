"""A runner of tools, and one call of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import msgspec
import trio

from actors.tools import Tool, ToolContext, ToolOutcome, ToolRunner

__all__ = ["call_tool", "context_of", "limited", "open_runner"]


@asynccontextmanager
async def open_runner(
    *, threads: int = 40, most_left_threads: int = 400, grace_seconds: float = 2.0
) -> AsyncGenerator[ToolRunner, None]:
    """At the end nothing of it runs any more, but threads that hang."""
    async with trio.open_nursery() as nursery:
        runner = ToolRunner(
            nursery.start_soon,
            threads=threads,
            most_left_threads=most_left_threads,
            grace_seconds=grace_seconds,
        )
        try:
            yield runner
        finally:
            runner.close()


def context_of(show: Callable[[str], None] = lambda _: None) -> ToolContext:
    return ToolContext(session_id="s", task_id="t", call_id="c", directory="/work", show=show)


async def call_tool(runner: ToolRunner, tool: Tool, **arguments: object) -> ToolOutcome:
    return await runner.run(tool, arguments, context_of())


def limited(tool: Tool, timeout_seconds: float) -> Tool:
    return msgspec.structs.replace(tool, timeout_seconds=timeout_seconds)
