"""The tools of a chat, as its command line names them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from actors.cli.user_tools import load_tools
from actors.connections import McpServer
from actors.errors import EngineError, ErrorCode
from actors.mcp.config import read_mcp_config
from actors.settings import process_environment
from actors.tools import Tool
from actors.workspace import Workspace, workspace_tools

__all__ = ["OwnTool", "Toolbox", "add_tool_options"]


class OwnTool(msgspec.Struct, frozen=True):
    """A tool that is not an MCP server's, and where it is from."""

    tool: Tool
    source: str


class Toolbox(msgspec.Struct, frozen=True, kw_only=True):
    """What the sessions of the chat may use. `directory` is where they work, "" where that is nowhere."""

    own: tuple[OwnTool, ...] = ()
    mcp_servers: tuple[McpServer, ...] = ()
    workspace: Workspace | None = None
    directory: str = ""

    @classmethod
    def named(cls, arguments: argparse.Namespace) -> Toolbox:
        """
        Raises:
            EngineError: `INVALID_ARGUMENT`: a folder, a file or a module cannot be used; says which.
        """
        folders = tuple(map(_folder, arguments.workspace))
        own = [OwnTool(tool, "workspace") for tool in (workspace_tools(folders) if folders else ())]
        for reference in arguments.tools:
            own += [OwnTool(tool, reference.partition(":")[0]) for tool in load_tools(reference)]
        _check_names(own)
        servers: list[McpServer] = []
        for path in arguments.mcp_config:
            servers += read_mcp_config(path, process_environment())
        return cls(
            own=tuple(own),
            mcp_servers=tuple(server for server in servers if server.enabled),
            workspace=Workspace(folders) if folders else None,
            directory=folders[0] if folders else "",
        )

    def __bool__(self) -> bool:
        return bool(self.own or self.mcp_servers)

    @property
    def tools(self) -> tuple[Tool, ...]:
        return tuple(own.tool for own in self.own)


def add_tool_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workspace",
        action="append",
        default=[],
        metavar="DIR",
        help="let the model search, find and read in this folder, and @path in a message name a file; "
        "may be repeated",
    )
    parser.add_argument(
        "--mcp-config",
        action="append",
        default=[],
        metavar="FILE",
        help="give the model the tools of the MCP servers of this file (`greenroom mcp` shows them)",
    )
    parser.add_argument(
        "--tools",
        action="append",
        default=[],
        metavar="MODULE[:NAME]",
        help="give it the @tool functions of a Python module, or this one; may be repeated",
    )


def _folder(path: str) -> str:
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"--workspace {path}: there is no such folder; create it or name another",
        )
    return os.path.realpath(folder)


def _check_names(tools: Iterable[OwnTool]) -> None:
    sources: dict[str, str] = {}
    for own in tools:
        name = own.tool.name
        if name in sources:
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"there are two tools named {name!r}, of {sources[name]} and of {own.source}: rename one, "
                "or leave one out",
            )
        sources[name] = own.source
