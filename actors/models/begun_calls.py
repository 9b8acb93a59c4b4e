"""Tool calls that are streamed as blocks of their own, with a beginning and an end."""

from __future__ import annotations

from actors.conversation import ToolCallPart

__all__ = ["BegunCall", "BegunCalls"]


class BegunCall:
    """One call, at its position in the answer. `held` are arguments that its beginning had already."""

    __slots__ = ("call_id", "ended", "held", "name", "position", "written")

    def __init__(self, position: int) -> None:
        self.position = position
        self.call_id = ""
        self.name = ""
        self.held = ""
        self.written: list[str] = []
        self.ended = False


class BegunCalls:
    """The calls of one answer, numbered from 0 in the order in which they begin.

    Arguments that come whole with the beginning count if no pieces follow, those that come whole with the
    end if they say more than the pieces did. A call without any is `{}`. An id that is missing, or that of
    another call, is replaced by one of ours, since results refer to it.
    """

    __slots__ = ("_calls", "_ids")

    def __init__(self) -> None:
        self._calls: list[BegunCall] = []
        self._ids: set[str] = set()

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def latest(self) -> BegunCall | None:
        return self._calls[-1] if self._calls else None

    def begin(self, call_id: str, name: str, arguments: str = "") -> tuple[BegunCall, ToolCallPart]:
        call = BegunCall(len(self._calls))
        call.held = arguments
        self._calls.append(call)
        self._take_id(call, call_id)
        call.name = name
        return call, ToolCallPart(call.position, call.call_id, name)

    def add(self, call: BegunCall, arguments: str) -> ToolCallPart | None:
        """A piece of the arguments; None if it says nothing."""
        if not arguments or call.ended:
            return None
        call.written.append(arguments)
        return ToolCallPart(call.position, arguments=arguments)

    def end(
        self, call: BegunCall, *, arguments: str = "", call_id: str = "", name: str = ""
    ) -> list[ToolCallPart]:
        """What the end adds: a late id or name, and arguments that no piece had. Ends once."""
        if call.ended:
            return []
        call.ended = True
        new_id = new_name = ""
        if not call.call_id:
            self._take_id(call, call_id)
            new_id = call.call_id = call.call_id or self._unused_id(call)
        if name and not call.name:
            new_name = call.name = name
        written = "".join(call.written)
        whole = arguments or call.held or written or "{}"
        rest = whole.removeprefix(written) if whole.startswith(written) else ""
        if rest:
            call.written.append(rest)
        if not (new_id or new_name or rest):
            return []
        return [ToolCallPart(call.position, new_id, new_name, rest)]

    def finish(self) -> list[ToolCallPart]:
        """End the calls that were not: the answer is over."""
        return [part for call in self._calls for part in self.end(call)]

    def _take_id(self, call: BegunCall, call_id: str) -> None:
        if call_id and call_id not in self._ids:
            call.call_id = call_id
            self._ids.add(call_id)

    def _unused_id(self, call: BegunCall) -> str:
        call_id = f"call_{call.position}"
        while call_id in self._ids:
            call_id += "_"
        self._ids.add(call_id)
        return call_id
