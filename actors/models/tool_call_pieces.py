"""Says which tool call a streamed piece belongs to, for servers that disagree on how to mark it."""

from __future__ import annotations

import msgspec

from actors.conversation import ToolCallPart

__all__ = ["ToolCallPieces"]


class _OpenCall:
    __slots__ = ("arguments", "call_id", "name", "position")

    def __init__(self, position: int) -> None:
        self.position = position
        self.call_id = ""
        self.name = ""
        self.arguments: list[str] = []

    def is_complete(self) -> bool:
        """Whether the arguments so far are one whole JSON object, to which nothing can be appended."""
        if not self.arguments or not self.arguments[-1].rstrip().endswith("}"):
            return False
        try:
            msgspec.json.decode("".join(self.arguments))
        except (msgspec.DecodeError, RecursionError):
            return False
        return True


class ToolCallPieces:
    """Assigns the pieces of one answer to its calls, numbered from 0 in the order in which they begin.

    A known id wins; a new id on an occupied index begins a new call; a piece with neither id nor index goes
    on with the current call. Ids that come late are adopted, empty ids and names say nothing. Servers that
    put every call at index 0 under an empty or the same id are told apart by the name: a named piece begins
    a new call where the name differs, or where the call's arguments are already complete.
    """

    __slots__ = ("_by_id", "_by_index", "_calls")

    def __init__(self) -> None:
        self._calls: list[_OpenCall] = []
        self._by_id: dict[str, _OpenCall] = {}
        self._by_index: dict[int, _OpenCall] = {}

    def add(self, call_id: str, index: int | None, name: str, arguments: str) -> ToolCallPart | None:
        """The piece as a part of our numbering; None if it says nothing new."""
        known = self._find(call_id, index)
        if known is None and not (call_id or name or arguments):
            return None
        begins = known is None or _begins_another(known, call_id, name, arguments)
        call = self._begin() if known is None or begins else known
        if index is not None:
            self._by_index[index] = call
        new_id = new_name = ""
        if begins and call_id in self._by_id:
            # Two calls under one id: this one gets an id of ours at the end, its later pieces go here.
            self._by_id[call_id] = call
        if call_id and not call.call_id and call_id not in self._by_id:
            call.call_id = new_id = call_id
            self._by_id[call_id] = call
        if name and not call.name:
            call.name = new_name = name
        if arguments:
            call.arguments.append(arguments)
        if not (begins or new_id or new_name or arguments):
            return None
        return ToolCallPart(call.position, new_id, new_name, arguments)

    def finish(self) -> list[ToolCallPart]:
        """Give an id of our own to every call that got none or that of another: results refer to it."""
        parts: list[ToolCallPart] = []
        for call in self._calls:
            if not call.call_id:
                call_id = f"call_{call.position}"
                while call_id in self._by_id:
                    call_id += "_"
                call.call_id = call_id
                self._by_id[call_id] = call
                parts.append(ToolCallPart(call.position, call_id))
        return parts

    def _find(self, call_id: str, index: int | None) -> _OpenCall | None:
        if call_id in self._by_id:
            return self._by_id[call_id]
        if index is not None:
            return self._by_index.get(index)
        return self._calls[-1] if self._calls else None

    def _begin(self) -> _OpenCall:
        call = _OpenCall(len(self._calls))
        self._calls.append(call)
        return call


def _begins_another(call: _OpenCall, call_id: str, name: str, arguments: str) -> bool:
    if call_id and call.call_id and call_id != call.call_id:
        return True
    if not name or not call.name:
        return False
    is_same_id = call_id != "" and call_id == call.call_id
    return (name != call.name and not is_same_id) or (arguments != "" and call.is_complete())
