"""Which servers there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from actors.connections import McpServer

__all__ = ["Change", "Roster"]


class Change(msgspec.Struct, frozen=True):
    """What is to be done for a new list: first the one, then the other."""

    ended: tuple[str, ...] = ()
    started: tuple[McpServer, ...] = ()


class Roster:
    """The servers by id, as they were told last. It outlives the actor that works by it.

    Disabled ones are not on it.
    """

    def __init__(self, servers: Iterable[McpServer] = ()) -> None:
        self._servers: dict[str, McpServer] = {}
        self.replace(servers)

    def __iter__(self) -> Iterator[McpServer]:
        return iter(tuple(self._servers.values()))

    def __contains__(self, server_id: str) -> bool:
        return server_id in self._servers

    def replace(self, servers: Iterable[McpServer]) -> Change:
        """All servers are these now; of several with one id, the last."""
        wanted = {server.server_id: server for server in servers}
        wanted = {server_id: server for server_id, server in sorted(wanted.items()) if server.enabled}
        before, self._servers = self._servers, wanted
        return Change(
            tuple(one for one, server in before.items() if wanted.get(one) != server),
            tuple(server for one, server in wanted.items() if before.get(one) != server),
        )

    def put(self, server: McpServer) -> Change:
        return self.replace((*self, server))

    def remove(self, server_id: str) -> Change:
        return self.replace(server for server in self if server.server_id != server_id)
