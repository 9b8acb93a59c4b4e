"""A second process for a test, spoken to through pipes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Child", "child"]


class Child:
    """A running task of `tests.actors.stores.child`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def report(self) -> dict[str, Any]:
        """The next report; waits for it."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the child ended without a report"
        return json.loads(line)

    def reports_to_the_end(self) -> list[dict[str, Any]]:
        assert self._process.stdout is not None
        # A killed process may leave half a line, which nobody can have acted on.
        return [json.loads(line) for line in self._process.stdout if line.endswith("\n")]

    def end(self) -> int:
        """Close its stdin and wait; its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait()

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        self._process.wait()


@contextmanager
def child(task: str, path: Path) -> Generator[Child]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.actors.stores.child", task, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    ) as process:
        try:
            yield Child(process)
        finally:
            process.kill()
