"""`greenroom mcp`, as users start it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.actors.cli.program import environment, greenroom
from tests.actors.mcp.world import HERE

GOOD = {"command": sys.executable, "args": [str(HERE / "crooked_server.py"), "well"]}
BAD = {
    "command": sys.executable,
    "args": [str(HERE / "crooked_server.py"), "exit"],
    "env": {"SECRET_KEY": "${KEY_OF_OURS}"},
}


def _file(folder: Path, servers: dict[str, Any]) -> Path:
    path = folder / "mcp.json"
    path.write_text(json.dumps({"mcpServers": servers}))
    return path


def test_servers_are_listed_with_their_tools(tmp_path: Path) -> None:
    path = _file(tmp_path, {"good": GOOD, "off": {"command": "x", "disabled": True}})
    finished = greenroom("mcp", "--config", path)
    assert finished.stdout.decode().splitlines() == [
        "good: ready, 5 tools",
        "  good_die    asks       does die",
        "  good_echo   read-only  does echo",
        "  good_fail   asks       does fail",
        "  good_steps  asks       does steps",
        "  good_wait   asks       does wait",
        "off: disabled",
    ]
    assert (finished.returncode, finished.stderr) == (0, b"")


def test_a_broken_server_is_told_by_the_exit_status_and_hides_no_other(tmp_path: Path) -> None:
    path = _file(tmp_path, {"bad": BAD, "good": GOOD})
    finished = greenroom("mcp", "--config", path, env=environment(KEY_OF_OURS="s3cr3t-key"))
    lines = finished.stdout.decode().splitlines()
    assert lines[0] == "bad: broken: the program ended with status 1: no key in ***"
    assert lines[1] == "good: ready, 5 tools"
    assert (finished.returncode, finished.stderr) == (1, b"")


def test_one_server_as_json(tmp_path: Path) -> None:
    path = _file(tmp_path, {"bad": BAD, "good": GOOD})
    finished = greenroom("mcp", "--config", path, "--json", "good", env=environment(KEY_OF_OURS="x"))
    (server,) = json.loads(finished.stdout)
    assert (server["server_id"], server["state"], len(server["tools"])) == ("good", "ready", 5)
    assert (finished.returncode, finished.stderr) == (0, b"")


def test_a_server_that_hangs_is_given_up(tmp_path: Path) -> None:
    path = _file(tmp_path, {"slow": {**GOOD, "args": [str(HERE / "crooked_server.py"), "hang"]}})
    finished = greenroom("mcp", "--config", path, "--timeout", "0.5")
    assert finished.stdout == b"slow: broken: it was not ready within 0.5 seconds\n"
    assert (finished.returncode, finished.stderr) == (1, b"")


def test_what_the_user_can_mend_is_one_line(tmp_path: Path) -> None:
    path = _file(tmp_path, {"bad": BAD})
    for arguments, said in (
        (
            ("--config", path),
            f"{path} has a wrong MCP server 'bad': the environment variable KEY_OF_OURS is not set",
        ),
        (("--config", tmp_path / "none"), f"{tmp_path / 'none'} cannot be read: No such file or directory"),
        (("--timeout", "0"), "argument --timeout: '0' is not a number of seconds above 0"),
    ):
        finished = greenroom("mcp", *arguments)
        assert said in finished.stderr.decode()
        assert (finished.returncode, finished.stdout, finished.stderr.count(b"\n")) == (2, b"", 1)
    path = _file(tmp_path, {"good": GOOD})
    finished = greenroom("mcp", "--config", path, "best")
    assert finished.stderr.decode() == f"greenroom: {path} has no MCP server 'best'; it has: good\n"


def test_a_file_without_servers_says_so(tmp_path: Path) -> None:
    path = _file(tmp_path, {})
    finished = greenroom("mcp", "--config", path)
    assert (finished.returncode, finished.stdout.decode()) == (0, f"{path} names no MCP servers\n")


def test_without_the_extra_the_way_to_it_is_said(tmp_path: Path) -> None:
    # A package of that name that cannot be imported stands for one that is not there.
    (tmp_path / "mcp").mkdir()
    (tmp_path / "mcp" / "__init__.py").write_text("raise ImportError('No module named mcp')")
    path = _file(tmp_path, {"good": GOOD})
    variables = environment()
    variables["PYTHONPATH"] = f"{tmp_path}:{variables['PYTHONPATH']}"
    finished = greenroom("mcp", "--config", path, env=variables)
    assert b"good: broken: MCP servers need the MCP SDK (pip install 'greenroom[mcp]')" in finished.stdout
    assert (finished.returncode, finished.stderr) == (1, b"")
    assert greenroom("--version", env=variables).returncode == 0
