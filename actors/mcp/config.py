"""The `mcpServers` file that other programs use too."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from actors.connections import McpServer
from actors.errors import EngineError, ErrorCode

__all__ = ["read_mcp_config"]

_MOST_BYTES = 1_000_000
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?:(:-)(.*))?", re.DOTALL)


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One server. Fields that only others understand are ignored."""

    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str = ""
    url: str = ""
    server_url: str = msgspec.field(default="", name="serverUrl")
    headers: dict[str, str] = {}
    type: str = ""
    name: str = ""
    disabled: bool = False
    enabled: bool = True
    timeout: float | None = None  # milliseconds, as others have it


class _File(msgspec.Struct, frozen=True):
    servers: dict[str, msgspec.Raw] = msgspec.field(name="mcpServers")


def read_mcp_config(path: str | Path, environment: Mapping[str, str]) -> tuple[McpServer, ...]:
    """The servers of a file of the form `{"mcpServers": {ID: {"command": ..., "args": [...]}}}`, by id.

    A server has `command`, `args`, `env` and `cwd`, or `url` and `headers`; `${VAR}` and `${VAR:-default}`
    in any of their texts are replaced from `environment`. A relative `cwd` begins at the file's folder.
    `disabled` ones are there, and not enabled; their variables need not be set.

    Raises:
        EngineError: `INVALID_ARGUMENT`: the file cannot be read, or something in it is wrong; the message
            names the file and the server.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise _wrong(path, f"cannot be read: {reason}") from None
    if len(content) > _MOST_BYTES:
        raise _wrong(path, f"has more than {_MOST_BYTES} bytes: this is no list of MCP servers")
    try:
        raw = msgspec.json.decode(content, type=_File).servers
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _wrong(
            path, f'is not of the form {{"mcpServers": {{ID: {{"command": ...}}}}}}: {error}'
        ) from None
    return tuple(_server(path, one, entry, environment) for one, entry in sorted(raw.items()))


def _server(path: Path, server_id: str, raw: msgspec.Raw, environment: Mapping[str, str]) -> McpServer:
    def wrong(what: str) -> EngineError:
        return _wrong(path, f"has a wrong MCP server {server_id!r}: {what}")

    try:
        entry = msgspec.json.decode(raw, type=_Entry)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise wrong(str(error).replace("`$.", "`")) from None
    enabled = entry.enabled and not entry.disabled

    def expand(text: str) -> str:
        return _expand(text, environment, wrong) if enabled else text

    url = entry.url or entry.server_url
    if not server_id.strip():
        raise wrong("its id is empty")
    if bool(entry.command) == bool(url):
        raise wrong("it needs a command or a url, and not both")
    if entry.type == "sse":
        raise wrong('the transport "sse" is not spoken: use the server\'s streamable HTTP url')
    if entry.timeout is not None and not entry.timeout > 0:
        raise wrong(f"its timeout must be more than 0 milliseconds, not {entry.timeout:g}")
    directory = expand(entry.cwd)
    server = McpServer(
        server_id=server_id,
        name=entry.name,
        command=expand(entry.command),
        arguments=tuple(map(expand, entry.args)),
        environment={name: expand(value) for name, value in entry.env.items()},
        directory=str(path.parent / Path(directory).expanduser()) if directory else "",
        url=expand(url),
        headers={name: expand(value) for name, value in entry.headers.items()},
        enabled=enabled,
    )
    if entry.timeout is None:
        return server
    return msgspec.structs.replace(server, timeout_seconds=entry.timeout / 1000)


def _expand(text: str, environment: Mapping[str, str], wrong: Callable[[str], EngineError]) -> str:
    def value(match: re.Match[str]) -> str:
        parts = _NAME.fullmatch(match[1])
        if parts is None:
            raise wrong(f"{match[0]} names no variable")
        name, has_default, default = parts.groups()
        found = environment.get(name, "")
        if not found and has_default is None and name not in environment:
            raise wrong(
                f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
            )
        return found or default or ""

    return _VARIABLE.sub(value, text)


def _wrong(path: Path, what: str) -> EngineError:
    return EngineError(ErrorCode.INVALID_ARGUMENT, f"{path} {what}")
