"""The file of servers: what it may say, and how it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.connections import McpServer
from actors.errors import EngineError, ErrorCode
from actors.mcp.config import read_mcp_config

VARIABLES = {"TOKEN": "t0k3n", "EMPTY": ""}


def _file(folder: Path, servers: dict[str, Any]) -> Path:
    path = folder / "mcp.json"
    path.write_text(json.dumps({"mcpServers": servers}))
    return path


def _error(path: Path) -> str:
    with pytest.raises(EngineError) as info:
        read_mcp_config(path, VARIABLES)
    assert info.value.code is ErrorCode.INVALID_ARGUMENT
    assert "\n" not in info.value.message
    assert "t0k3n" not in info.value.message
    return info.value.message


def test_programs_and_urls_are_read_with_their_variables(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        {
            "web": {
                "type": "http",
                "url": "https://${HOST:-example.org}/mcp",
                "headers": {"Authorization": "Bearer ${TOKEN}"},
                "timeout": 5000,
            },
            "files": {
                "command": "npx",
                "args": ["-y", "server", "$HOME", "${EMPTY}"],
                "env": {"KEY": "${env:TOKEN}"},
                "cwd": "sub",
                "autoApprove": ["of", "others"],
            },
            "off": {"command": "x", "env": {"KEY": "${UNSET}"}, "disabled": True},
        },
    )
    assert read_mcp_config(path, VARIABLES) == (
        McpServer(
            server_id="files",
            command="npx",
            arguments=("-y", "server", "$HOME", ""),
            environment={"KEY": "t0k3n"},
            directory=str(tmp_path / "sub"),
        ),
        McpServer(server_id="off", command="x", environment={"KEY": "${UNSET}"}, enabled=False),
        McpServer(
            server_id="web",
            url="https://example.org/mcp",
            headers={"Authorization": "Bearer t0k3n"},
            timeout_seconds=5.0,
        ),
    )


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            {"command": "x", "env": {"KEY": "${UNSET}"}},
            "the environment variable UNSET is not set; set it, or",
        ),
        ({"command": "x", "args": ["${a b}"]}, "${a b} names no variable"),
        ({}, "it needs a command or a url, and not both"),
        ({"command": "x", "url": "http://x"}, "it needs a command or a url, and not both"),
        ({"command": "x", "args": "no list"}, "Expected `array`, got `str` - at `args`"),
        ({"type": "sse", "url": "http://x"}, 'the transport "sse" is not spoken'),
        ({"command": "x", "timeout": 0}, "its timeout must be more than 0 milliseconds, not 0"),
        ("npx", "Expected `object`, got `str`"),
    ],
)
def test_a_wrong_server_is_named(tmp_path: Path, entry: object, said: str) -> None:
    message = _error(_file(tmp_path, {"good": {"command": "x"}, "bad": entry}))
    assert message.startswith(f"{tmp_path / 'mcp.json'} has a wrong MCP server 'bad': ")
    assert said in message


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"servers": {}}', b"\xff", b"[" * 100_000])
def test_a_file_that_is_none_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mcp.json"
    path.write_bytes(content)
    assert _error(path).startswith(f'{path} is not of the form {{"mcpServers"')


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert (
        _error(tmp_path / "none.json")
        == f"{tmp_path / 'none.json'} cannot be read: No such file or directory"
    )
    assert "cannot be read: Is a directory" in _error(tmp_path)
    huge = tmp_path / "huge.json"
    huge.write_bytes(b" " * 1_000_001)
    assert "this is no list of MCP servers" in _error(huge)
