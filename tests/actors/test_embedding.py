"""The embedding guide tells the truth: its examples run and print what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
GUIDE = (PROJECT / "actors" / "EMBEDDING.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", GUIDE, flags=re.DOTALL | re.MULTILINE
)


def test_every_example_shows_what_it_prints() -> None:
    assert len(EXAMPLES) == GUIDE.count("```python\n") == 10


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_prints_what_the_guide_says(number: int, tmp_path: Path) -> None:
    code, printed = EXAMPLES[number]
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == printed
