"""Runs the calls of tools for all sessions of an engine."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import assert_never, cast

import msgspec
import outcome
import trio

from actors.conversation import ToolStatus
from actors.errors import EngineError
from actors.tools.output import bounded
from actors.tools.process_call import ProcessCall
from actors.tools.task_call import TaskCall
from actors.tools.threads import ToolThreads, ToolTimeoutError
from actors.tools.tool import Tool, ToolContext, ToolKind
from runtime import NotPicklableError, WorkerDiedError, get_logger, run_killable

__all__ = ["ToolOutcome", "ToolRunner", "ToolStatistics"]

_log = get_logger("tools")

_PROCESSES = max(4, os.cpu_count() or 1)
"""More than there are cores, where those are few: such tools wait, too."""

_MOST_CHARACTERS = 2000
"""Of an error's text."""


class _ToolRaisedError(Exception):
    """Its cause is what an async tool has raised."""


class ToolOutcome(msgspec.Struct, frozen=True):
    """How a call has ended, and what the model is told."""

    status: ToolStatus
    output: str


class ToolStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What the tools of an engine have done so far; `running` and `left` are what there is now.

    - `timed_out`: calls that took longer than their tool may.
    - `truncated`: results that were cut, since they were longer than their tool's may be.
    - `abandoned`: calls that went on when they were stopped, or when their time was up.
    - `left`: those of them that still go on, as tasks or threads. What they return is dropped.
    """

    calls: int
    running: int
    timed_out: int
    truncated: int
    abandoned: int
    left: int


class ToolRunner:
    """Each call ends in time, with a result of bounded length, whatever its tool does. One an engine.

    - `start_soon` starts a trio task that belongs to no session: an async tool that ignores its
      cancellation is left alone there. It may go on; a program that ends waits for it, as trio does.
    - `threads`: so many thread tools run at a time, those that were left alone not counted.
    - `most_left_threads`: where so many were left alone, thread tools are refused.
    - `processes`: so many process tools run at a time; None: as many as there are cores, at least four.
    - `grace_seconds`: so long a stopped async call may take to clean up before it is left alone.

    Belongs to trio's thread.
    """

    def __init__(
        self,
        start_soon: Callable[[Callable[[], Awaitable[object]]], None],
        *,
        threads: int = 40,
        most_left_threads: int = 400,
        processes: int | None = None,
        grace_seconds: float = 2.0,
    ) -> None:
        self._start_soon = start_soon
        self._threads = ToolThreads(threads, most_left_threads)
        self._processes = trio.CapacityLimiter(processes or _PROCESSES)
        self._grace_seconds = grace_seconds
        self._calls: set[TaskCall] = set()
        self._left: set[TaskCall] = set()
        self._left_so_far = 0
        self._begun = 0
        self._running = 0
        self._timed_out = 0
        self._truncated = 0

    async def run(self, tool: Tool, arguments: Mapping[str, object], context: ToolContext) -> ToolOutcome:
        """Call it. What it raises is a failed call, `SystemExit` and `KeyboardInterrupt` too.

        Cancelled, this ends when the call has ended, or after the grace.
        """
        self._begun += 1
        self._running += 1
        try:
            output, cut = bounded(await self._output_of(tool, arguments, context), tool.output_limit_bytes)
        except ToolTimeoutError:
            self._timed_out += 1
            return ToolOutcome(ToolStatus.FAILED, f"The tool timed out after {tool.timeout_seconds:g} s.")
        except trio.Cancelled:
            raise
        except BaseException as failure:  # noqa: BLE001 - translation edge: a tool may raise anything
            error = _single(failure)
            _log.warning(
                "tool failed", tool=tool.name, session_id=context.session_id, reason=type(error).__name__
            )
            output, _ = bounded(_told(error), tool.output_limit_bytes)
            return ToolOutcome(ToolStatus.FAILED, output)
        finally:
            self._running -= 1
        self._truncated += cut
        return ToolOutcome(ToolStatus.SUCCEEDED, output)

    def statistics(self) -> ToolStatistics:
        return ToolStatistics(
            calls=self._begun,
            running=self._running,
            timed_out=self._timed_out,
            truncated=self._truncated,
            abandoned=self._left_so_far + self._threads.left_so_far,
            left=len(self._left) + self._threads.left,
        )

    def close(self) -> None:
        """Ask all async calls to end, again those that were left alone."""
        for call in self._calls:
            call.recall()

    async def _output_of(self, tool: Tool, arguments: Mapping[str, object], context: ToolContext) -> str:
        match tool.runs:
            case ToolKind.ASYNC:
                return await self._in_task(tool, arguments, context)
            case ToolKind.THREAD:
                function = cast("Callable[[], str]", partial(tool.function, arguments, context))
                return await self._threads.run(function, tool.timeout_seconds)
            case ToolKind.PROCESS:
                return await self._in_process(tool, arguments, context)
            case _:
                assert_never(tool.runs)

    async def _in_process(self, tool: Tool, arguments: Mapping[str, object], context: ToolContext) -> str:
        async with self._processes:
            with trio.move_on_after(tool.timeout_seconds):
                call = ProcessCall.of(tool, arguments, context)
                # The time begins when there is room: no second queue after that.
                return await run_killable(call, limiter=trio.CapacityLimiter(1))
            raise ToolTimeoutError

    async def _in_task(self, tool: Tool, arguments: Mapping[str, object], context: ToolContext) -> str:
        call = TaskCall(cast("Callable[[], Awaitable[str]]", partial(tool.function, arguments, context)))
        self._calls.add(call)
        self._start_soon(partial(self._run_task, call))
        try:
            with trio.move_on_after(tool.timeout_seconds):
                await call.over.wait()
        except trio.Cancelled:
            await self._stop(call, tool, context)
            raise
        if call.result is None:
            await self._stop(call, tool, context)
            raise ToolTimeoutError
        if isinstance(call.result, outcome.Error):
            # Not raised as it is: a `Cancelled` of the tool's would be taken for one of its session's.
            raise _ToolRaisedError from call.result.error
        return call.result.unwrap()

    async def _run_task(self, call: TaskCall) -> None:
        try:
            await call.run()
        finally:
            self._calls.discard(call)
            self._left.discard(call)

    async def _stop(self, call: TaskCall, tool: Tool, context: ToolContext) -> None:
        call.cancel()
        with trio.move_on_after(self._grace_seconds, shield=True):
            await call.over.wait()
        if not call.over.is_set():
            call.leave()
            self._left.add(call)
            self._left_so_far += 1
            _log.warning(
                "tool ignores its cancellation, and is left alone",
                tool=tool.name,
                session_id=context.session_id,
            )


def _single(error: BaseException) -> BaseException:
    """What was raised, taken out of the groups that nurseries make of one error."""
    if isinstance(error, _ToolRaisedError):
        assert error.__cause__ is not None
        return _single(error.__cause__)
    if isinstance(error, BaseExceptionGroup):
        inner = list(cast("BaseExceptionGroup[BaseException]", error).exceptions)
        return _single(inner[0]) if len(inner) == 1 else cast("BaseException", error)
    return error


def _told(error: BaseException) -> str:
    if isinstance(error, EngineError):
        return error.message
    if isinstance(error, trio.Cancelled):
        return "The tool was stopped."
    name = type(error).__name__
    try:
        text = str(error)[:_MOST_CHARACTERS]
    except Exception:  # noqa: BLE001 - foreign code, which fails even to say why it failed
        return f"The tool failed: {name}"
    if isinstance(error, WorkerDiedError | NotPicklableError):
        return f"The tool failed: {text}"  # the name of our class would not help a model
    return f"The tool failed: {name}: {text}" if text else f"The tool failed: {name}"
