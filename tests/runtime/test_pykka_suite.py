"""pykka's own test suite, fetched from the package index, passes on `TrioActor`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
VERSION = version("pykka")

# pykka stops all actors of the process there, a TrioActor fails alone: see runtime/GUARANTEES.md.
DEVIATIONS = (
    "tests/test_actor.py::test_all_actors_are_stopped_on_base_exception[trio]",
    "tests/test_logging.py::test_base_exception_is_logged[trio]",
)

# Deselected are the deviations, and the tests that take no runtime; no test is skipped.
OUTCOMES = {"4.5.0": {"passed": 135, "deselected": 17}}


def fetch_suite(cache: Path) -> Path:
    """The unpacked source distribution of the installed pykka; downloaded once per version."""
    name = f"pykka-{VERSION}"
    if not (cache / name / "tests").is_dir():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "pykka"]
        fetched = subprocess.run(
            [*command, "--dest", str(cache), f"pykka=={VERSION}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if fetched.returncode != 0:
            reason = f"pykka's source distribution cannot be fetched: {fetched.stderr.strip()[-300:]}"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        with tarfile.open(cache / f"{name}.tar.gz") as archive:
            archive.extractall(cache, filter="data")
    return cache / name


def with_trio_runtime(suite: Path, workplace: Path) -> Path:
    """A copy of the suite whose table of runtimes has one entry: ours."""
    tests = workplace / "tests"
    for source in (suite / "tests").rglob("*.py"):
        target = tests / source.relative_to(suite / "tests")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    conftest = tests / "conftest.py"
    text, found = re.subn(
        r"^RUNTIMES = \{.*?^\}$",
        "from pykka_entry import trio_runtime\n\nRUNTIMES = {'trio': trio_runtime(Runtime)}",
        conftest.read_text(encoding="utf-8"),
        count=1,
        flags=re.DOTALL | re.MULTILINE,
    )
    assert found == 1, "pykka's conftest.py has no RUNTIMES table any more"
    conftest.write_text(text, encoding="utf-8")
    (workplace / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return workplace


def test_pykkas_own_suite_passes_on_trio_actors(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    cache = request.config.cache
    assert cache is not None
    suite = with_trio_runtime(fetch_suite(cache.mkdir("pykka-suite")), tmp_path)

    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "tests", "-q", "-k", "trio", "-p", "no:cacheprovider"]
        + [f"--deselect={test}" for test in DEVIATIONS],
        cwd=suite,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "tests/runtime")])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert finished.returncode == 0, finished.stdout[-6000:] + finished.stderr[-2000:]
    last_line = finished.stdout.strip().rpartition("\n")[2]
    outcomes = {outcome: int(number) for number, outcome in re.findall(r"(\d+) (\w+)", last_line)}
    assert outcomes.keys() == {"passed", "deselected"}
    assert outcomes == OUTCOMES.get(VERSION, outcomes)
