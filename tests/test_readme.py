"""The README tells the truth: its examples run, its files exist, its first two commands come first."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
FENCED = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
EXAMPLES = [code for language, code in FENCED if language == "python"]


def test_the_first_two_commands_run_the_demo_and_the_tests_in_an_environment_of_their_own() -> None:
    (_, demo), (_, tests) = FENCED[:2]

    for command in (demo, tests):
        assert command.count("\n") == 1, "a single line to copy"
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert demo.endswith(".venv/bin/greenroom run --demo\n")
    assert tests.endswith(".venv/bin/python -m pytest -q -n auto\n")


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_embedding_examples_run_as_they_are_printed(number: int, tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", EXAMPLES[number]],
        cwd=tmp_path,
        env={"PYTHONPATH": str(PROJECT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    assert "completed" in finished.stdout


def test_there_are_examples_for_trio_threads_and_asyncio() -> None:
    assert len(EXAMPLES) == 3


def test_every_file_that_the_concept_table_names_exists() -> None:
    table = re.findall(
        r"^\| [^|]+ \| ([^|]+) \|$", README.split("| concept | where |")[1], flags=re.MULTILINE
    )
    paths = {
        path for cell in table for path in re.findall(r"`((?:actors|runtime|benchmarks)/[\w./]*)`", cell)
    }

    assert len(paths) > 10
    assert [path for path in sorted(paths) if not (PROJECT / path).exists()] == []


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)

    assert [link for link in links if "://" not in link and not (PROJECT / link).exists()] == []
