"""runtime/README.md: its examples run, and the tests that it names exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
README = (PROJECT / "runtime" / "README.md").read_text(encoding="utf-8")

EXAMPLES: list[str] = re.findall(r"^```python\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
PRINTED = [
    "3",
    "hello, asyncio",
    "[0, 2, 4]",
    "contents of a and contents of b",
    "4, number 1",
    "an update is lost with the same seed again\n" * 2,
]


@pytest.mark.parametrize(
    ("example", "printed"),
    list(zip(EXAMPLES, PRINTED, strict=True)),
    ids=["trio", "asyncio", "threads", "child", "supervisor", "seed"],
)
def test_an_example_runs(example: str, printed: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", example],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (finished.returncode, finished.stdout.strip(), finished.stderr) == (0, printed.strip(), "")


def test_every_guarantee_names_a_test_that_exists() -> None:
    guarantees = README.partition("## Guarantees")[2].partition("What cannot be promised")[0]
    promises = guarantees.split("\n- ")[1:]

    for promise in promises:
        named = re.findall(r"`((?:supervision/)?test_\w+\.py)::(test_\w+)`", promise)
        assert named, f"no test proves: {promise}"
        for file, test in named:
            assert test in names_of_tests(file), f"{file} has no {test}"


def names_of_tests(file: str) -> set[str]:
    tree = ast.parse((Path(__file__).parent / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
