"""The documents of the runtime: their examples run, and the tests and files that they name exist."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
DOCUMENTS = [
    PROJECT / "runtime" / name
    for name in ("README.md", "GUARANTEES.md", "supervision/README.md", "testing/README.md")
]
TEXTS = {document: document.read_text(encoding="utf-8") for document in DOCUMENTS}

# Fences that carry a file name are test_embedding_examples.py's.
EXAMPLES: list[str] = [
    example
    for text in TEXTS.values()
    for example in re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
]
PRINTED = [
    "3",
    "hello, asyncio",
    "[0, 2, 4]",
    "4, number 1",
    "contents of a and contents of b",
    "an update is lost with the same seed again\n" * 2,
]


@pytest.mark.parametrize(
    ("example", "printed"),
    list(zip(EXAMPLES, PRINTED, strict=True)),
    ids=["trio", "asyncio", "threads", "supervisor", "child", "seed"],
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
    guarantees = TEXTS[PROJECT / "runtime" / "GUARANTEES.md"].partition("## What cannot be promised")[0]
    promises = [item for item in re.split(r"\n(?=- |## )", guarantees) if item.startswith("- ")]

    assert promises
    for promise in promises:
        named = re.findall(r"`((?:supervision/)?test_\w+\.py)::(test_\w+)`", promise)
        assert named, f"no test proves: {promise}"
        for file, test in named:
            assert test in names_of_tests(file), f"{file} has no {test}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_link_leads_to_a_document(document: Path) -> None:
    for link in re.findall(r"\]\(([\w./]+\.md)[)#]", TEXTS[document]):
        assert (document.parent / link).is_file(), link


def names_of_tests(file: str) -> set[str]:
    tree = ast.parse((Path(__file__).parent / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
