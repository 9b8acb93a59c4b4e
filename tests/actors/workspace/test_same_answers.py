"""Both programs, and git itself, agree on random trees and rules.

The examples are the same in every run: which ripgrep or git is installed is not ours to choose.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TypeAlias

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.errors import EngineError
from actors.scan.globs import compile_glob, expand_braces
from actors.scan.ignoring import NO_RULES, rebased
from actors.workspace import PythonBackend, RipgrepBackend, find_backend
from tests.actors.workspace.conftest import Caller

Tree: TypeAlias = tuple[set[str], dict[str, list[str]]]

NAMES = ["a", "b", "ab", "a.py", "b.txt", "x y", "[a]"]
GLOB_PIECES = ["a", "b", "*", "**", "?", "/", "/", ".py", ".txt", "[ab]", "[!a]", r"\*", "x y", r"\[a\]"]
PATTERN_PIECES = [
    "a",
    "b",
    ".",
    "x",
    "^",
    "$",
    r"\w",
    r"\d",
    r"\s",
    r"\b",
    "[ab]",
    "[^a]",
    "(a|b)",
    "a*",
    "b+?",
]


def joined(pieces: list[str], separator: str = "", most: int = 5) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(pieces), min_size=1, max_size=most).map(separator.join)


def trees(names: list[str]) -> st.SearchStrategy[Tree]:
    """Files, and by folder the rules of its `.gitignore`."""
    rules = st.dictionaries(st.sampled_from(["", "a", "b", "a/b"]), st.lists(RULES, max_size=4))
    return st.tuples(st.sets(joined(names, "/", 3), max_size=8), rules)


PATHS = joined(NAMES, "/", 3)
RULES = st.tuples(st.sampled_from(["", "", "!"]), joined(GLOB_PIECES), st.sampled_from(["", "", "/"])).map(
    "".join
)
TEXTS = joined(["a", "b", "x", "1", "ü", " ", ".", "\t", "\n", "\n", "\r\n"], most=40)


def grow(root: Path, tree: Tree) -> None:
    paths, rules = tree
    for path in sorted(paths):
        file = root / path
        if not any(parent.is_file() for parent in file.parents) and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("needle\n")
    for folder, lines in rules.items():
        if (root / folder).is_dir():
            (root / folder / ".gitignore").write_text("\n".join(lines))


@pytest.fixture
def ripgrep() -> RipgrepBackend:
    found = find_backend()
    if not isinstance(found, RipgrepBackend):
        pytest.skip("ripgrep is not installed: pip install 'greenroom[search]'")
    return found


def found_by_python(root: Path, path: str = "", glob: str = "*") -> list[str]:
    answer = trio.run(lambda: Caller(root, PythonBackend())("find", path=path, glob=glob))
    return [] if answer == "Nothing fits." else answer.splitlines()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@settings(max_examples=40, deadline=None, derandomize=True)
@given(tree=trees(NAMES))  # for git, `[!a]` is half an ü
def test_what_is_ignored_is_what_git_ignores(tree: Tree) -> None:
    with tempfile.TemporaryDirectory() as path:
        root = Path(path)
        grow(root, tree)
        git = ["git", "-c", "core.quotePath=false", "-c", "core.excludesFile=/dev/null", "-C", path]
        subprocess.run([*git, "init", "-q"], check=True)
        listed = subprocess.run(
            [*git, "ls-files", "--others", "--exclude-standard", "-z"], check=True, capture_output=True
        )

        names = listed.stdout.decode().split("\0")
        visible = {name for name in names if name and "/.git" not in f"/{name}"}
        assert set(found_by_python(root)) == visible


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    tree=trees([*NAMES, "ü"]),
    glob=joined([*GLOB_PIECES, "ü"]),
    below=st.sampled_from(["", "a", "b", "a/b"]),
    pattern=joined([*PATTERN_PIECES, "ü"], most=4),
    text=TEXTS,
)
def test_both_programs_answer_the_same(
    ripgrep: RipgrepBackend,
    tree: Tree,
    glob: str,
    below: str,
    pattern: str,
    text: str,
) -> None:
    with tempfile.TemporaryDirectory() as path:
        root = Path(path)
        grow(root, tree)
        (root / "text").write_text(text, newline="")

        async def ask(caller: Caller) -> list[str]:
            return [
                await answer(caller, "find", glob=glob, path=below),
                await answer(caller, "search", pattern="needle", glob=glob, path=below),
                await answer(caller, "search", pattern=pattern, path="text", context_lines=1),
            ]

        assert trio.run(ask, Caller(root, ripgrep)) == trio.run(ask, Caller(root, PythonBackend()))


async def answer(caller: Caller, tool: str, **arguments: object) -> str:
    try:
        return await caller(tool, **arguments)
    except EngineError as error:
        return error.message if error.message.startswith("glob") else "refused"


@given(rules=st.lists(RULES, max_size=5), folder=PATHS, path=PATHS, is_folder=st.booleans())
def test_a_rule_that_is_moved_to_the_root_says_the_same(
    rules: list[str], folder: str, path: str, *, is_folder: bool
) -> None:
    moved = [line for rule in rules if (line := rebased(rule, folder)) is not None]
    there = NO_RULES.below(folder, rules)
    at_root = NO_RULES.below("", moved)

    for tried in (f"{folder}/{path}", f"{folder}/a/{path}"):
        assert at_root.ignores(tried, is_folder=is_folder) == there.ignores(tried, is_folder=is_folder)


@pytest.mark.parametrize(
    ("glob", "expanded"),
    [
        ("a", ["a"]),
        ("{a,b}", ["a", "b"]),
        ("x{a,b}{c,d}", ["xac", "xad", "xbc", "xbd"]),
        ("{a,b{c,d}}", ["a", "bc", "a", "bd"]),
        ("{a}", ["{a}"]),
        ("{a", ["{a"]),
        ("a}{b,c}", ["a}b", "a}c"]),
        (r"\{a,b}", [r"\{a,b}"]),
        ("{,x}a", ["a", "xa"]),
    ],
)
def test_braces_are_alternatives(glob: str, expanded: list[str]) -> None:
    assert sorted(expand_braces(glob)) == sorted(expanded)


def test_too_many_alternatives_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 64 alternatives"):
        expand_braces("{a,b}" * 20)


@given(st.text(st.sampled_from("ab*?[]!^-\\/{},. ü&~|")))
def test_a_text_is_a_glob_or_a_value_error(glob: str) -> None:
    try:
        expression = compile_glob(glob)
    except ValueError:
        return
    expression.fullmatch("a/b.py")
