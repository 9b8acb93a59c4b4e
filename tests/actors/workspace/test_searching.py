"""What `search` and `find` answer, whichever program looks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from actors.errors import EngineError, ErrorCode
from actors.workspace import Backend, PythonBackend, RipgrepBackend
from tests.actors.workspace.conftest import Caller, Write

CATASTROPHE = r"^(a|aa)+$"
MORE = "There are more matches: narrow the pattern, the glob or the path."


async def test_search_gives_numbered_lines_by_file_in_the_order_of_the_paths(
    write: Write, call: Caller
) -> None:
    write({"b.py": "needle\n", "a/z.py": "x\nneedle 1\ny\nneedle 2\n", "a.py": "a needle", "c.py": "hay\n"})

    assert await call("search", pattern="needle") == (
        "4 matches in 3 files.\n\na/z.py\n2:needle 1\n--\n4:needle 2\n\na.py\n1:a needle\n\nb.py\n1:needle"
    )


async def test_search_shows_lines_around_a_match_once(write: Write, call: Caller) -> None:
    write({"a.txt": "1\n2\nneedle\n4\nneedle\n6\n7\n8\n9\nneedle\n"})

    assert await call("search", pattern="needle", context_lines=1) == (
        "3 matches in 1 file.\n\na.txt\n2-2\n3:needle\n4-4\n5:needle\n6-6\n--\n9-9\n10:needle"
    )


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ({"pattern": r"f\w+\("}, "1:foo(1)"),
        ({"pattern": "foo(", "literal": True}, "1:foo(1)"),
        ({"pattern": "FOO", "ignore_case": True}, "1:foo(1)"),
        ({"pattern": "(?i)BAR$"}, "2:bar"),
        ({"pattern": "^ba"}, "2:bar"),
        ({"pattern": "bar$"}, "2:bar"),
        ({"pattern": r"\bé\b"}, "3:é ü"),
        ({"pattern": "É", "ignore_case": True}, "3:é ü"),
        ({"pattern": "--help"}, "4:--help"),
        ({"pattern": "a.c"}, "5:a.c"),
        ({"pattern": "x{2,3}y"}, "6:xxy"),
        ({"pattern": r"[\[\]]"}, "7:a[0]"),
        ({"pattern": "a[0]", "literal": True}, "7:a[0]"),
    ],
)
async def test_search_takes_regular_expressions_and_texts(
    write: Write, call: Caller, arguments: dict[str, object], lines: str
) -> None:
    write({"a.txt": "foo(1)\r\nbar\r\né ü\n--help\na.c\nxxy\na[0]\n"})

    assert await call("search", **arguments) == f"1 match in 1 file.\n\na.txt\n{lines}"


@pytest.mark.parametrize("pattern", ["(foo", "*a", "[a", r"a(?=b)", r"(a)\1", "(?P<n", r"a\nb", "a\nb"])
async def test_search_refuses_what_is_no_pattern_and_says_the_way_out(
    write: Write, call: Caller, pattern: str
) -> None:
    write({"a.txt": "foo\n"})

    with pytest.raises(EngineError, match=r"^pattern: ") as caught:
        await call("search", pattern=pattern)

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


@pytest.mark.parametrize("tool", ["search", "find"])
async def test_a_glob_that_is_none_is_refused(call: Caller, tool: str) -> None:
    pattern = {"pattern": "x"} if tool == "search" else {}

    with pytest.raises(EngineError, match=r"^glob: .*\[ without its \]"):
        await call(tool, glob="[a", **pattern)


@pytest.mark.parametrize(
    ("glob", "paths"),
    [
        ("*.py", "a.py src/b.py src/deep/c.py"),
        ("*.{py,ts}", "a.py src/b.py src/d.ts src/deep/c.py"),
        ("src/*.py", "src/b.py"),
        ("src/**/*.py", "src/b.py src/deep/c.py"),
        ("src/**", "src/b.py src/d.ts src/deep/c.py src/gr[ü]n.txt"),
        ("**/c.py", "src/deep/c.py"),
        ("/*.py", "a.py"),
        ("[ab].py", "a.py src/b.py"),
        ("[!a].py", "src/b.py src/deep/c.py"),
        ("?.ts", "src/d.ts"),
        (r"gr\[ü\]n.*", "src/gr[ü]n.txt"),
        ("*ü*", "src/gr[ü]n.txt"),
        ("nothing", ""),
    ],
)
async def test_globs_mean_the_same_for_search_and_find(
    write: Write, call: Caller, glob: str, paths: str
) -> None:
    names = ["a.py", "src/b.py", "src/d.ts", "src/deep/c.py", "src/gr[ü]n.txt"]
    write(dict.fromkeys(names, "needle\n"))

    found = await call("find", glob=glob)
    searched = await call("search", pattern="needle", glob=glob)

    assert found.split() == (paths.split() or ["Nothing", "fits."])
    assert [line for line in searched.splitlines() if line in names] == paths.split()


async def test_hidden_ignored_and_binary_files_and_links_are_left_out(
    write: Write, call: Caller, root: Path
) -> None:
    write(
        {
            ".gitignore": "*.log\n/build/\n!keep.log\n# a comment\nodd[\n",
            ".hidden/a.txt": "needle\n",
            ".secret": "needle\n",
            "build/a.txt": "needle\n",
            "src/build/a.txt": "needle\n",
            "a.log": "needle\n",
            "keep.log": "needle\n",
            "src/.gitignore": "!a.log\ntmp\n/only_here.txt\n",
            "src/a.log": "needle\n",
            "src/b.log": "needle\n",
            "src/tmp/a.txt": "needle\n",
            "src/only_here.txt": "needle\n",
            "src/deep/only_here.txt": "needle\n",
            "binary": b"needle\0\n",
        }
    )
    (root / "link.txt").symlink_to(root / "src" / "a.log")
    (root / "out").symlink_to(root.parent / "outside")
    os.mkfifo(root / "pipe")

    searched = await call("search", pattern="needle")
    found = await call("find", glob="*")

    kept = ["keep.log", "src/a.log", "src/build/a.txt", "src/deep/only_here.txt"]
    assert [line for line in searched.splitlines()[2:] if line and not line.startswith("1:")] == kept
    assert found.split() == ["binary", *kept]


async def test_ignored_files_stay_out_below_a_folder_and_with_a_glob(write: Write, call: Caller) -> None:
    write(
        {
            ".gitignore": "*.log\n/a/gen/\n/gen2/\n",
            "a/.gitignore": "/b/x.py\ny.py\n",
            "a/b/a.log": "needle\n",
            "a/b/x.py": "needle\n",
            "a/b/y.py": "needle\n",
            "a/b/z.py": "needle\n",
            "a/gen/z.py": "needle\n",
            "a/b/gen2/z.py": "needle\n",
        }
    )

    assert (await call("find", path="a/b", glob="*")).split() == ["a/b/gen2/z.py", "a/b/z.py"]
    assert await call("find", path="a/b", glob="*.log") == "Nothing fits."
    assert await call("search", path="a/b", glob="*.log", pattern="needle") == "No matches."
    assert (await call("find", path="a", glob="b/*.py")).split() == ["a/b/z.py"]


@pytest.mark.parametrize("folder", [".github", "node_modules/x", "a [1]!#"])
async def test_a_folder_that_is_named_is_looked_into_though_it_is_hidden_or_ignored(
    write: Write, call: Caller, folder: str
) -> None:
    write(
        {".gitignore": "node_modules\n*.tmp\n", f"{folder}/a.yml": "needle\n", f"{folder}/.b": "needle\n"}
    )

    assert await call("find", path=folder, glob="*") == f"{folder}/a.yml"
    assert f"{folder}/a.yml\n1:needle" in await call("search", path=folder, pattern="needle")


async def test_one_file_is_searched_though_it_is_ignored(write: Write, call: Caller) -> None:
    write({".gitignore": "*.log\n", "a.log": "needle\n", "b.txt": "needle\n"})

    answer = await call("search", path="a.log", pattern="needle")

    assert answer == "1 match in 1 file.\n\na.log\n1:needle"


async def test_the_first_results_in_order_are_given_where_there_are_more(
    write: Write, call: Caller
) -> None:
    write({f"{name}.txt": "needle\nneedle\nneedle\n" for name in "hgfedcba"})

    searched = await call("search", pattern="needle", max_results=4, context_lines=3)
    found = await call("find", glob="*.txt", max_results=2)

    assert searched.splitlines()[0] == "4 matches in 2 files."
    assert "a.txt\n1:needle\n2:needle\n3:needle" in searched
    assert searched.endswith(
        "b.txt\n1:needle\n\nThere are more matches: narrow the pattern, the glob or the path."
    )
    assert found == "a.txt\nb.txt\n\n[only the first 2 are listed: narrow the glob or the path]"


async def test_as_many_results_as_were_asked_for_are_not_too_many(write: Write, call: Caller) -> None:
    write({"a.txt": "needle\nneedle\n", "b.txt": ""})

    assert "more" not in await call("search", pattern="needle", max_results=2)
    assert await call("find", glob="*", max_results=2) == "a.txt\nb.txt"


async def test_a_long_line_is_cut_around_its_match(write: Write, call: Caller) -> None:
    write({"a.min.js": "ü" * 100_000 + "needle" + "y" * 100_000})

    answer = await call("search", pattern="needle")

    line = answer.splitlines()[-1]
    assert "needle" in line
    assert line.startswith("1:[...]ü")
    assert line.endswith("y[...]")
    assert len(line) < 500


async def test_many_long_matches_end_in_a_note(write: Write, call: Caller) -> None:
    write({f"{number:03}.txt": ("needle" + "x" * 390 + "\n") * 5 for number in range(100)})

    answer = await call("search", pattern="needle", max_results=1000)

    assert len(answer.encode()) < 65_000
    assert answer.endswith(MORE)


async def test_files_of_other_encodings_are_searched(write: Write, call: Caller) -> None:
    write(
        {
            "bom.txt": b"\xef\xbb\xbfneedle\n",
            "latin.txt": b"caf\xe9 needle\n",
            "utf16.txt": "x\nneedle ü\n".encode("utf-16"),
        }
    )

    assert await call("search", pattern="needle") == (
        "3 matches in 3 files.\n\nbom.txt\n1:needle\n\nlatin.txt\n1:caf\ufffd needle\n\n"
        "utf16.txt\n2:needle ü"
    )


async def test_folders_are_found_with_a_slash_at_their_end(write: Write, call: Caller) -> None:
    write({"a/b/c.txt": "", ".git/x/y": "", "ignored/x": "", ".gitignore": "ignored/\n"})

    assert await call("find", glob="*", type="folder") == "a/\na/b/"
    assert await call("find", glob="*", type="any") == "a/\na/b/\na/b/c.txt"


async def test_paths_are_told_so_that_they_can_be_read(write: Write, root: Path, backend: Backend) -> None:
    write({"top.txt": "needle\n", "sub/in.txt": "needle\n"})
    caller = Caller(root, backend, directory=str(root / "sub"))

    assert await caller("find", glob="*.txt") == "in.txt"
    assert await caller("find", path="..", glob="*.txt") == f"in.txt\n{root}/top.txt"
    assert "1\tneedle" in await caller("read", path=f"{root}/top.txt")


@pytest.mark.parametrize("tool", ["search", "find"])
@pytest.mark.parametrize("path", ["..", "/etc", "out", "out/..", "a/../../outside", "/dev"])
async def test_folders_outside_are_refused(
    write: Write, root: Path, call: Caller, tool: str, path: str
) -> None:
    write({"a/x": ""})
    (root / "out").symlink_to(root.parent / "outside")
    arguments = {"pattern": "needle"} if tool == "search" else {"glob": "*"}

    with pytest.raises(EngineError, match="outside the workspace") as caught:
        await call(tool, path=path, **arguments)

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


@pytest.mark.parametrize("name", ["missing", "pipe", "long" * 100])
async def test_what_cannot_be_searched_is_refused(root: Path, call: Caller, name: str) -> None:
    os.mkfifo(root / "pipe")

    with pytest.raises(EngineError, match=r"no such folder|this is no folder"):
        await call("search", path=name, pattern="x")
    with pytest.raises(EngineError, match=r"no such folder|this is no folder"):
        await call("find", path=name, glob="*")


async def test_a_pattern_that_takes_for_ever_ends_with_a_note(write: Write, root: Path) -> None:
    write({"a.txt": "a" * 60 + "b\n"})
    caller = Caller(root, PythonBackend(), timeout_seconds=0.5)

    assert (await caller("search", pattern=CATASTROPHE)).startswith("The time was up")


async def test_a_search_that_is_cancelled_lets_the_next_one_run(write: Write, root: Path) -> None:
    write({"a.txt": "a" * 60 + "b\n", "b.txt": "needle"})
    caller = Caller(root, PythonBackend())

    for _ in range(5):  # more than there may be at a time
        with trio.move_on_after(0.05):
            await caller("search", pattern=CATASTROPHE)

    assert "b.txt" in await caller("search", pattern="needle")


async def test_modules_in_the_folder_that_is_searched_are_not_run(write: Write, call: Caller) -> None:
    trap = "raise SystemExit('taken in')\n"
    write({"json.py": trap, "re.py": trap, "actors/__init__.py": trap, "sitecustomize.py": trap})

    assert (await call("search", pattern="taken in")).startswith("4 matches")


async def test_a_program_that_is_gone_is_said(write: Write, root: Path) -> None:
    write({"a.txt": "needle\n"})
    caller = Caller(root, RipgrepBackend("/nowhere/rg"))

    with pytest.raises(EngineError, match="/nowhere/rg: this cannot be started") as caught:
        await caller("search", pattern="needle")

    assert caught.value.code is ErrorCode.EXECUTION_FAILED
