"""An MCP server made with the SDK. Started as a program: on standard streams, or with a port over HTTP."""

from __future__ import annotations

import base64
import os
import sys
from typing import Any

import mcp_types as types
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("honest", log_level="ERROR")


@server.tool(annotations=types.ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def pid() -> str:
    """Say which process this is."""
    return str(os.getpid())


@server.tool()
def refuse() -> str:
    """Fail."""
    raise ValueError("not today")


@server.tool(structured_output=False)
def things() -> list[Any]:
    """Give one of each kind."""
    data = base64.b64encode(b"12345").decode()
    return [
        types.TextContent(text="look:"),
        types.ImageContent(data=data, mime_type="image/png"),
        types.AudioContent(data=data, mime_type="audio/wav"),
        types.ResourceLink(name="notes", uri="file:///notes.txt", description="what was said"),
        types.EmbeddedResource(
            resource=types.TextResourceContents(uri="file:///a.txt", text="inside", mime_type="text/plain")
        ),
        types.EmbeddedResource(resource=types.BlobResourceContents(uri="file:///b.bin", blob=data)),
    ]


@server.tool()
async def grow(ctx: Context[Any]) -> str:
    """Offer one tool more."""

    def fresh() -> str:
        return "new"

    server.add_tool(fresh)
    await ctx.notify_tools_changed()
    return "grown"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run("stdio")
