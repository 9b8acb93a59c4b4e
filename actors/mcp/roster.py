"""Which servers there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from actors.connections import McpServer

__all__ = ["Change", "Roster"]


class Change(msgspec.Struct, frozen=True):
    """What is to be done: first the one, then the other."""

    ended: tuple[str, ...] = ()
    started: tuple[McpServer, ...] = ()


class Roster:
    """Which servers there are to be: those given by hand, and those of a list that others keep.

    Where both have one id, the one given by hand counts. Disabled ones are not there. It outlives the actor
    that works by it.
    """

    def __init__(self, given: Iterable[McpServer] = ()) -> None:
        self._given = _by_id(given)
        self._listed: dict[str, McpServer] = {}
        self._now = self._wanted()

    def __iter__(self) -> Iterator[McpServer]:
        return iter(tuple(self._now.values()))

    def replace_list(self, listed: Iterable[McpServer]) -> Change:
        self._listed = _by_id(listed)
        return self._change()

    def put(self, server: McpServer) -> Change:
        """Give one by hand."""
        self._given[server.server_id] = server
        return self._change()

    def remove(self, server_id: str) -> Change:
        """Also off the list, until that is replaced."""
        self._given.pop(server_id, None)
        self._listed.pop(server_id, None)
        return self._change()

    def _change(self) -> Change:
        before, self._now = self._now, self._wanted()
        return Change(
            tuple(one for one, server in before.items() if self._now.get(one) != server),
            tuple(server for one, server in self._now.items() if before.get(one) != server),
        )

    def _wanted(self) -> dict[str, McpServer]:
        wanted = {**self._listed, **self._given}
        return {one: server for one, server in sorted(wanted.items()) if server.enabled}


def _by_id(servers: Iterable[McpServer]) -> dict[str, McpServer]:
    return {server.server_id: server for server in servers}
