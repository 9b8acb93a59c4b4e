"""A model that asks for tools, and the tools that it asks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from actors.conversation import ToolResult
from actors.records import StoredSession
from actors.tree import ConversationTree

__all__ = ["TOOLS", "call", "calls", "results_in", "user_tools"]

TOOLS = '''
import threading

from actors.tools import ToolContext, tool


@tool(needs_confirmation=True)
def deploy(target: str, context: ToolContext) -> str:
    """Put the site on a server."""
    for step in ("building", "copying"):
        context.show(f"{step}\\n")
    return f"{target} is up\\nall well"


@tool(read_only=True)
def uptime() -> str:
    """Say how long it runs."""
    return "3 days"


@tool
async def hang() -> str:
    """Never come back."""
    import trio

    await trio.sleep_forever()
    return ""


def plain() -> str:
    return "no tool"
'''


def user_tools(folder: Path) -> Path:
    """Write the module `mytools` into a folder that is current for who imports it."""
    (folder / "mytools.py").write_text(TOOLS)
    return folder


def call(name: str, arguments: dict[str, Any] | None = None, *, call_id: str = "c1", index: int = 0) -> Any:
    return {
        "index": index,
        "id": call_id,
        "function": {"name": name, "arguments": json.dumps(arguments or {})},
    }


def calls(*asked: Any) -> dict[str, Any]:
    """What an answer ends with that asks for these."""
    return {"tool_calls": list(asked)}


def results_in(session: StoredSession) -> list[tuple[str, str, str]]:
    """The results of the visible branch: of which tool, how it ended, what it gave."""
    branch = ConversationTree(session.messages).branch(session.record.active_leaf_id)
    contents = (message.content for message in branch)
    return [(one.name, one.status, one.output) for one in contents if isinstance(one, ToolResult)]
