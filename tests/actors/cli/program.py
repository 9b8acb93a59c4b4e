"""The command, started as a user would: at the other end of pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["CHECKOUT", "COMMAND", "LIMIT_SECONDS", "environment", "greenroom"]

CHECKOUT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-m", "actors.cli")
LIMIT_SECONDS = 30.0
"""Where a test gives up."""


def environment(**changes: str) -> dict[str, str]:
    """That of this process without what its user's terminal, locale and keys would change."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONPATH": str(CHECKOUT), "LANG": "C.UTF-8", **changes}


def greenroom(
    *arguments: str | Path,
    typed: bytes = b"",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end, with `typed` on its standard input."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=typed,
        capture_output=True,
        cwd=cwd or CHECKOUT,
        env=environment() if env is None else env,
        timeout=LIMIT_SECONDS,
        check=False,
    )
