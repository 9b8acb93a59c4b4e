"""The examples of runtime/README.md for hosts run, each as a program of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "runtime" / "README.md").read_text(encoding="utf-8")

# Fences that carry a file name; those without are test_readme.py's.
EXAMPLES: dict[str, str] = dict(
    re.findall(r"^```python (\w+\.py)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
)

READ_A_STREAM = """
import asyncio

import httpx

from fastapi_app import app


async def main():
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://host") as client:
            answers = await asyncio.gather(*(client.get(f"/count/{n}") for n in (0, 3, 20_000)))
    for answer in answers:
        lines = answer.text.splitlines()
        print(answer.status_code, lines == [str(n) for n in range(len(lines))], len(lines))


asyncio.run(main())
"""

LEAVE_A_STREAM = """
import asyncio

from fastapi_app import app


async def main():
    began, left = asyncio.Event(), asyncio.Event()
    received = 0

    async def receive():
        await began.wait()
        left.set()
        return {"type": "http.disconnect"}

    async def send(message):
        nonlocal received
        received += bool(message.get("body"))
        if received:
            began.set()
            await left.wait()

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": "/count/1000000000", "raw_path": b"/count/1000000000",
        "root_path": "", "query_string": b"", "headers": [], "state": {},
    }
    async with app.router.lifespan_context(app):
        await app(scope, receive, send)
        print("left", received > 0)
    print("stopped")


asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the examples as files."""
    for name, text in EXAMPLES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "read_a_stream.py").write_text(READ_A_STREAM, encoding="utf-8")
    (tmp_path / "leave_a_stream.py").write_text(LEAVE_A_STREAM, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        ("trio_program.py", "2432902008176640000"),
        ("read_a_stream.py", "200 True 0\n200 True 3\n200 True 20000"),
        ("leave_a_stream.py", "left True\nstopped"),
        ("threads.py", "10"),
    ],
)
def test_an_example_runs(folder: Path, program: str, printed: str) -> None:
    finished = subprocess.run(
        [sys.executable, program],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (finished.returncode, finished.stdout.strip(), finished.stderr) == (0, printed, "")


def test_every_example_is_run() -> None:
    assert EXAMPLES.keys() == {"trio_program.py", "fastapi_app.py", "threads.py"}
