"""Files that a message refers to."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.conversation import FileReference
from actors.workspace import References, Workspace, extract_file_references, process_file_references
from tests.actors.workspace.conftest import Write

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("see @src/a.py", ["src/a.py"]),
        ('@a.py and (@b.py), "@c.py"; then @d.py.', ["a.py", "b.py", "c.py", "d.py"]),
        ("@a.py:12", ["a.py 12-12"]),
        ("@a.py:12-40!", ["a.py 12-40"]),
        ("@a.py:12:5", ["a.py 12-12"]),
        ("@a.py#L12", ["a.py 12-12"]),
        ("@a.py#L12-L40", ["a.py 12-40"]),
        ("@a.py#L12-40.", ["a.py 12-40"]),
        ('@"my notes.md"', ["my notes.md"]),
        ('@"my notes.md":3-4, please', ["my notes.md 3-4"]),
        ('@"app/[id].tsx"#L3', ["app/[id].tsx 3-3"]),
        ("what of @a.py: it", ["a.py"]),
        ("is it @a.py?", ["a.py"]),
        ("@Makefile and @anna", ["Makefile?", "anna?"]),
        ("@ü/naïve.txt", ["ü/naïve.txt"]),
        ("@../a @/abs/b @./c", ["../a", "/abs/b", "./c"]),
        ("@a.py @a.py @a.py:1", ["a.py", "a.py 1-1"]),
        ("@a.py:0 @a.py:9-3", ["a.py 0-0", "a.py 9-3"]),
        ("mail anna@example.org or https://x.org/@anna/b", []),
        ("git@github.com:a/b.git, a/@b.py, @@c.py", []),
        ('@ @. @/ @.. @: @"" @', []),
        ("`@pytest.fixture` and\n```\n@app.get\n``` and @a.py", ["a.py"]),
        ("```python\n@app.get\n", []),
        ("a ` b @a.py", ["a.py"]),
        ("@a.py:99999999999", ["a.py:99999999999"]),
    ],
)
def test_references_are_found_where_people_write_them(text: str, told: list[str]) -> None:
    references = extract_file_references(text)

    assert [
        reference.path
        + (f" {reference.first_line}-{reference.last_line}" if reference.first_line is not None else "")
        + ("" if reference.certain else "?")
        for reference in references
    ] == told


@settings(deadline=None)
@given(st.text(st.sampled_from('@@"`:#L-./ab1 \n~,()ü\\\0\ud800')) | st.text())
def test_extracting_never_fails_and_gives_pieces_of_the_text(text: str) -> None:
    for reference in extract_file_references(text):
        assert reference.text in text
        assert reference.path in reference.text
        assert reference.text.startswith("@")


def test_a_long_text_of_marks_is_read_in_one_go() -> None:
    for piece in ("`", "@", '@"', "~", "```\n", "@a:1-", "@a#L", '@"a":1'):
        extract_file_references(piece * 50_000)


@pytest.fixture
def workspace(root: Path) -> Workspace:
    return Workspace([str(root)])


async def process(text: str, workspace: Workspace, directory: str = "") -> References:
    return await process_file_references(
        text, workspace, now=NOW, limiter=trio.CapacityLimiter(2), directory=directory
    )


async def test_what_is_referred_to_is_read_with_its_lines_and_its_time(
    root: Path, write: Write, workspace: Workspace
) -> None:
    write({"src/a.py": "1\r\n2\n3\n4\n", "Makefile": "all:\n", "my notes.md": "note"})

    references = await process(
        f'@src/a.py @src/a.py:2-3 @src/a.py:4-99 @Makefile @nobody @"my notes.md" @{root}/src/a.py#L1',
        workspace,
    )

    assert references == References(
        found=(
            FileReference("src/a.py", NOW, "1\n2\n3\n4"),
            FileReference("src/a.py", NOW, "2\n3", 2, 3),
            FileReference("src/a.py", NOW, "4", 4, 4),
            FileReference("Makefile", NOW, "all:"),
            FileReference("my notes.md", NOW, "note"),
            FileReference("src/a.py", NOW, "1", 1, 1),
        )
    )


async def test_paths_start_in_the_directory_of_the_session(
    root: Path, write: Write, workspace: Workspace
) -> None:
    write({"a.txt": "top", "sub/a.txt": "sub"})

    references = await process("@a.txt @../a.txt", workspace, directory=str(root / "sub"))

    assert [(found.path, found.content) for found in references.found] == [
        ("a.txt", "sub"),
        (f"{root}/a.txt", "top"),
    ]


async def test_what_cannot_be_read_is_a_problem_that_names_it(
    root: Path, write: Write, workspace: Workspace
) -> None:
    write({"a.txt": "1\n2\n", "binary.bin": b"\0", "long.txt": "x" * 300_000, "dir/b": ""})
    (root / "link.txt").symlink_to(root.parent / "outside" / "secret.txt")
    os.mkfifo(root / "pipe")
    problems = {
        "missing.txt": "no such file",
        "../outside/secret.txt": "outside the workspace",
        "link.txt": "outside the workspace",
        "/etc/passwd": "outside the workspace",
        "binary.bin": "binary file",
        "long.txt": "name some of its lines",
        "dir/": "this is a folder",
        "dir": "this is a folder",
        "pipe": "pipe, a socket or a device",
        "a.txt:3": "only 2 lines",
        "a.txt:0": "numbered from 1",
        "a.txt:2-1": "numbered from 1",
    }

    references = await process(" ".join(f"@{path}" for path in problems), workspace)

    assert references.found == ()
    assert len(references.problems) == len(problems)
    for (path, reason), problem in zip(problems.items(), references.problems, strict=True):
        assert path in problem
        assert reason in problem


async def test_a_message_refers_to_so_many_files_at_most(write: Write, workspace: Workspace) -> None:
    write({f"{number}.txt": "x" for number in range(22)})

    references = await process(" ".join(f"@{number}.txt" for number in range(22)), workspace)

    assert len(references.found) == 20
    assert [problem.split(":")[0] for problem in references.problems] == ["@20.txt", "@21.txt"]


@settings(deadline=None)
@given(st.text(st.characters(codec=None)))
def test_a_path_of_any_characters_is_a_problem_at_most(path: str) -> None:
    async def check() -> None:
        workspace = Workspace([os.getcwd()])  # noqa: PTH109 - a root that is there
        references = await process(f'@"{path}" @{path}', workspace)
        assert all(isinstance(problem, str) for problem in references.problems)

    trio.run(check)
