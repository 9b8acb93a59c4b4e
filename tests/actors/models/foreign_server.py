"""A mock server of other people's making, from npm: what they think the wires are."""

from __future__ import annotations

import json
import os
import re
import selectors
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

__all__ = ["running", "server_program"]

PACKAGE = "@copilotkit/aimock"
VERSION = "1.43.0"
INSTALL_SECONDS = 120.0
START_SECONDS = 60.0


def server_program(cache: pytest.Cache, scratch: Path) -> list[str]:
    """How to start it; installed once, and found in pytest's cache from then on.

    Skips the test that wants it where there is no Node, or npm cannot have the package.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("the foreign mock server needs node and npm, which are not installed")
    home = cache.mkdir("foreign_server") / VERSION
    program = home / "node_modules" / PACKAGE / "dist" / "cli.js"
    if not program.exists():
        options = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-save")
        try:
            done = subprocess.run(
                [npm, "install", *options, "--prefix", str(scratch), f"{PACKAGE}@{VERSION}"],
                capture_output=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm could not install {PACKAGE} within {INSTALL_SECONDS:g} seconds")
        if done.returncode != 0:
            pytest.skip(f"npm could not install {PACKAGE}: {done.stderr.decode()[-300:]}")
        try:
            scratch.rename(home)
        except OSError:  # on another file system, or another process was first
            return [node, str(scratch / program.relative_to(home))]
    return [node, str(program)]


@contextmanager
def running(program: list[str], fixtures: list[dict[str, Any]], scratch: Path) -> Generator[str]:
    """The server with these fixtures, at the URL that is given."""
    path = scratch / "fixtures.json"
    path.write_text(json.dumps({"fixtures": fixtures}))
    arguments = ["--host", "127.0.0.1", "--port", "0", "--chunk-size", "7", "--fixtures", str(path)]
    with subprocess.Popen(
        [*program, *arguments, "--strict"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            yield _url(process)
        finally:
            process.terminate()


def _url(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    output = process.stdout.fileno()
    said = b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while (found := re.search(rb"listening on (http://127\.0\.0\.1:\d+)\s", said)) is None:
            assert selector.select(START_SECONDS), f"the server does not start: {said!r}"
            more = os.read(output, 4096)
            assert more, f"the server has ended: {said!r}"
            said += more
    return found[1].decode()
