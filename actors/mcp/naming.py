"""Names for the tools of servers: models and their providers take few characters, and no name twice."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable

import msgspec

from actors.mcp.remote_tool import RemoteTool

__all__ = ["LONGEST_NAME", "Naming", "name_tools"]

LONGEST_NAME = 64
_HASH_DIGITS = 8
_UNSAFE = re.compile(r"[^a-zA-Z0-9_-]+")


class Naming(msgspec.Struct, frozen=True):
    """The tools by the names under which they are offered, and what was done to get there."""

    tools: dict[str, RemoteTool]
    remarks: tuple[str, ...]


def name_tools(server_id: str, tools: Iterable[RemoteTool], is_taken: Callable[[str], bool]) -> Naming:
    """`server_tool` for each; where that is too long or not free, with a hash of both at its end.

    Inside a server the result does not depend on the order in which it lists them: tools whose names are
    safe as they are choose first, then the others by name. `is_taken` tells of the names of all others.
    """
    named: dict[str, RemoteTool] = {}
    once: dict[str, RemoteTool] = {}
    remarks = [
        f"two tools are named {tool.name!r}: the first one is offered"
        for tool in tools
        if once.setdefault(tool.name, tool) is not tool
    ]
    prefix = _UNSAFE.sub("_", server_id).strip("_") or "mcp"
    for tool in sorted(once.values(), key=lambda tool: (bool(_UNSAFE.search(tool.name)), tool.name)):
        plain = f"{prefix}_{_UNSAFE.sub('_', tool.name)}"
        name = plain
        if len(plain) > LONGEST_NAME or plain in named or is_taken(plain):
            digest = hashlib.sha256(f"{server_id}\0{tool.name}".encode()).hexdigest()[:_HASH_DIGITS]
            name = f"{plain[: LONGEST_NAME - _HASH_DIGITS - 1]}_{digest}"
            if name in named or is_taken(name):
                remarks.append(f"the tool {tool.name!r} is left out: its name is taken by another tool")
                continue
            why = "is too long" if len(plain) > LONGEST_NAME else "is taken"
            remarks.append(f"the tool {tool.name!r} is offered as {name}: {plain[:LONGEST_NAME]} {why}")
        named[name] = tool
    return Naming(dict(sorted(named.items())), tuple(remarks))
