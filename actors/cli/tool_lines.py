"""What is said of the tool calls of a turn while they run: when one begins, what it shows, how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import msgspec

from actors.cli.render_text import tool_call_line, tool_result_line
from actors.conversation import ToolCall, ToolStatus
from actors.records import CallRecord, CallState

__all__ = ["SayLine", "ToolLines"]

_LINES_SHOWN = 10
"""Of the live output of one call."""
_LINE_LENGTH = 160

_STATUSES = {
    CallState.SUCCESS: ToolStatus.SUCCEEDED,
    CallState.ERROR: ToolStatus.FAILED,
    CallState.CANCELLED: ToolStatus.CANCELLED,
}

SayLine: TypeAlias = Callable[[str, str], None]
"""Says a line in a style."""


class _Call(msgspec.Struct):
    """A call of a request. `place` tells calls of the same tool apart: "" where there are none."""

    call: ToolCall
    place: str
    has_begun: bool = False
    has_ended: bool = False
    lines: int = 0
    unended: str = ""


class ToolLines:
    """The calls of one turn, each said to begin once and to end once, however often one hears of it."""

    def __init__(self, say: SayLine, *, with_output: bool) -> None:
        """`with_output`: what tools show while they run is wanted, too."""
        self._say = say
        self._with_output = with_output
        self._requests: dict[str, dict[str, _Call]] = {}
        self._current: dict[str, _Call] = {}

    def update(self, message_id: str, records: Sequence[CallRecord]) -> None:
        """Where the calls that this message asks for stand now."""
        self._turn_to(message_id, [record.call for record in records])
        self.update_last(records)

    def update_last(self, records: Sequence[CallRecord]) -> None:
        """Where the calls of the last request stand now."""
        for record in records:
            call = self._current.get(record.call.call_id)
            if call is None:
                continue
            if record.state in _STATUSES:
                self._end(call, _STATUSES[record.state], record.output)
            elif record.state is CallState.EXECUTING:
                self._begin(call)

    def show_output(self, call_id: str, text: str) -> None:
        """A piece of what a running call shows; its first lines are said as they become whole."""
        call = self._current.get(call_id)
        if call is None or not self._with_output or call.lines > _LINES_SHOWN:
            return
        *whole, call.unended = (call.unended + text).split("\n")
        for line in whole:
            self._say_output(call, line)
        call.unended = call.unended[: _LINE_LENGTH + 1]  # a line without an end is not kept without end

    def begin_request(self, message_id: str, calls: Sequence[ToolCall]) -> None:
        """This message asks for these calls, which may have begun."""
        self._turn_to(message_id, calls)

    def end(self, call_id: str, status: ToolStatus, output: str) -> None:
        """A call of the last request has this result."""
        if call_id in self._current:
            self._end(self._current[call_id], status, output)

    def has_said(self, call_id: str) -> bool:
        """Whether this call of the last request was said to begin."""
        return call_id in self._current and self._current[call_id].has_begun

    def _turn_to(self, message_id: str, calls: Sequence[ToolCall]) -> None:
        if message_id not in self._requests:
            self._requests[message_id] = {call.call_id: _Call(call, _place(call, calls)) for call in calls}
        self._current = self._requests[message_id]

    def _begin(self, call: _Call) -> None:
        if not call.has_begun:
            call.has_begun = True
            self._say(f"{call.place}{tool_call_line(call.call)}", "yellow")

    def _end(self, call: _Call, status: ToolStatus, output: str) -> None:
        if call.has_ended:
            return
        if status is ToolStatus.CANCELLED:
            call.has_begun = True  # one that never ran needs no beginning
        self._begin(call)
        call.has_ended = True
        if call.unended:
            self._say_output(call, call.unended)
        style = "dim" if status is ToolStatus.SUCCEEDED else "red"
        self._say(f"{call.place}{tool_result_line(call.call.name, status, output)}", style)

    def _say_output(self, call: _Call, line: str) -> None:
        call.lines += 1
        if call.lines <= _LINES_SHOWN:
            cut = line if len(line) <= _LINE_LENGTH else line[: _LINE_LENGTH - 1] + "…"
            self._say(f"  {call.place}{cut}", "dim")
        elif call.lines == _LINES_SHOWN + 1:
            self._say(f"  {call.place}…", "dim")


def _place(call: ToolCall, calls: Sequence[ToolCall]) -> str:
    alike: Iterator[int] = (
        number
        for number, other in enumerate((one for one in calls if one.name == call.name), 1)
        if other.call_id == call.call_id
    )
    return f"#{next(alike)} " if sum(one.name == call.name for one in calls) > 1 else ""
