"""The official server of everything, from npm."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from actors.connections import McpServer
from actors.mcp.protocol import McpState
from tests.actors.mcp.world import open_world

PACKAGE = "@modelcontextprotocol/server-everything@2026.8.31"
_INSTALL_SECONDS = 120.0


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> McpServer:
    """Installed once for this run."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("the official MCP servers need node and npm, which are not installed")
    folder = tmp_path_factory.mktemp("npm")
    try:
        installed = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), PACKAGE],
            capture_output=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm has not installed {PACKAGE} within {_INSTALL_SECONDS:g} seconds")
    program = folder / "node_modules" / ".bin" / "mcp-server-everything"
    if installed.returncode or not program.exists():
        pytest.skip(f"npm cannot install {PACKAGE}: {installed.stderr.decode(errors='replace')[-300:]}")
    return McpServer(server_id="all", command=str(program), arguments=("stdio",))


async def test_its_tools_work(everything: McpServer) -> None:
    shown: list[str] = []
    async with open_world([everything]) as world:
        health = await world.health("all")
        assert health.state is McpState.READY, health.last_error
        assert {"all_echo", "all_get-sum"} <= {tool.name for tool in health.tools}
        assert health.remarks == ()
        assert await world.call("all_echo", {"message": "hello"}) == "Echo: hello"
        assert "42" in await world.call("all_get-sum", {"a": 20, "b": 22})
        assert "[image, image/png, " in await world.call("all_get-tiny-image")
        work = {"duration": 0.2, "steps": 2}
        assert "completed" in await world.call("all_trigger-long-running-operation", work, shown.append)
    assert shown == ["1/2\n", "2/2\n"]
