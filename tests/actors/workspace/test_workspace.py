"""What may be read, and what is outside."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import trio

from actors.errors import EngineError, ErrorCode
from actors.workspace import PythonBackend, Workspace, workspace_tools
from tests.actors.workspace.conftest import Caller, Write


@pytest.fixture
def workspace(root: Path) -> Workspace:
    return Workspace([str(root)], largest_bytes=1_000)


def refusal(workspace: Workspace, path: str) -> str:
    with pytest.raises(EngineError) as caught:
        workspace.read_lines(path, workspace.base(""))
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    return caught.value.message


def test_a_workspace_needs_folders_that_are_there(root: Path) -> None:
    (root / "file").touch()

    for roots, message in (
        ([], "name one or more roots"),
        ([str(root / "missing")], "no such folder"),
        ([str(root / "file")], "no such folder"),
    ):
        with pytest.raises(EngineError, match=message):
            Workspace(roots)


def test_files_inside_are_read_line_by_line(write: Write, workspace: Workspace) -> None:
    write(
        {
            "a.txt": "one\r\ntwo\n\u2028three\x0c",
            "dir/ü.txt": "ü",
            "empty": "",
            "nul.txt": "a\n".encode("utf-16"),
        }
    )
    base = workspace.base("")

    assert workspace.read_lines("a.txt", base) == ["one", "two", "\u2028three\x0c"]
    assert workspace.read_lines("dir/../dir/ü.txt", base) == ["ü"]
    assert workspace.read_lines("empty", base) == []
    assert workspace.read_lines("nul.txt", base) == ["a"]


def test_links_are_followed_inside_only(root: Path, write: Write, workspace: Workspace) -> None:
    write({"dir/a.txt": "a\n"})
    outside = root.parent / "outside"
    (root / "inner").symlink_to(root / "dir")
    (root / "relative").symlink_to("dir/a.txt")
    (root / "file").symlink_to(outside / "secret.txt")
    (root / "folder").symlink_to(outside)
    (root / "chain1").symlink_to("chain2")
    (root / "chain2").symlink_to("folder/secret.txt")
    (root / "dir" / "up").symlink_to("../..")
    (root / "loop").symlink_to("loop")
    base = workspace.base("")

    assert workspace.read_lines("inner/a.txt", base) == ["a"]
    assert workspace.read_lines("relative", base) == ["a"]
    for path in (
        "file",
        "folder/secret.txt",
        "chain1",
        "dir/up/outside/secret.txt",
        "../outside/secret.txt",
        "dir/../../outside/secret.txt",
        str(outside / "secret.txt"),
        "/etc/passwd",
        "/proc/self/environ",
        "/dev/stdin",
    ):
        assert refusal(workspace, path).startswith(f"{path}: this leads outside the workspace")
    refusal(workspace, "loop")


def test_a_neighbour_whose_name_begins_as_the_root_is_outside(root: Path, workspace: Workspace) -> None:
    neighbour = root.parent / "root2"
    neighbour.mkdir()
    (neighbour / "a").touch()

    assert "outside" in refusal(workspace, "../root2/a")


def test_a_root_may_be_a_link(root: Path, write: Write) -> None:
    write({"a.txt": "a\n"})
    link = root.parent / "link"
    link.symlink_to(root)
    workspace = Workspace([str(link)])

    assert workspace.read_lines("a.txt", workspace.base("")) == ["a"]
    assert workspace.read_lines(str(link / "a.txt"), workspace.base("")) == ["a"]
    assert workspace.base(str(link)).path == root


def test_every_root_is_inside(root: Path) -> None:
    outside = root.parent / "outside"
    workspace = Workspace([str(root), str(outside)])

    assert workspace.read_lines(str(outside / "secret.txt"), workspace.base("")) == ["needle in a secret"]
    assert workspace.read_lines("secret.txt", workspace.base(str(outside))) == ["needle in a secret"]


@pytest.mark.parametrize(
    "directory", ["", "/", "/nowhere", "a\0b", "relative", "{root}/missing", "{root}/a.txt"]
)
def test_relative_paths_start_in_the_first_root_where_the_directory_is_no_folder_inside(
    root: Path, write: Write, workspace: Workspace, directory: str
) -> None:
    write({"a.txt": ""})

    assert workspace.base(directory.format(root=root)).path == root


@pytest.mark.parametrize("link", ["a", "a/b", "a/b/c.txt"])
def test_a_link_that_is_put_there_after_the_check_leads_nobody_out(
    root: Path, write: Write, workspace: Workspace, link: str
) -> None:
    write({"a/b/c.txt": "inside"})
    outside = root.parent / "outside"
    (outside / "b").mkdir()
    for path in ("b/c.txt", "c.txt"):
        (outside / path).write_text("secret")
    place = workspace.resolve("a/b/c.txt", workspace.base(""))

    (root / link).rename(root / "moved")
    target = {"a": outside, "a/b": outside, "a/b/c.txt": outside / "c.txt"}[link]
    (root / link).symlink_to(target)

    with pytest.raises(EngineError, match="cannot be read"):
        workspace.read_bytes(place, "a/b/c.txt")


def test_what_is_no_text_file_is_refused_without_waiting(
    root: Path, write: Write, workspace: Workspace
) -> None:
    write({"binary": b"a\0b", "large": "x" * 1_001, "exact": "x" * 1_000, "dir/a": ""})
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        previous = Path.cwd()
        os.chdir(root)  # the path of a socket may not be long
        try:
            listener.bind("socket")
        finally:
            os.chdir(previous)

        assert "binary file" in refusal(workspace, "binary")
        assert "larger than 1,000 bytes" in refusal(workspace, "large")
        assert "this is a folder" in refusal(workspace, "dir")
        assert "this is a folder" in refusal(workspace, "")
        assert "pipe, a socket or a device" in refusal(workspace, "pipe")
        assert "pipe, a socket or a device" in refusal(workspace, "socket")
        assert "no such file" in refusal(workspace, "missing")
        assert "no such file" in refusal(workspace, "missing/a")
        assert "cannot be read" in refusal(workspace, "binary/a")
        assert "cannot be a path" in refusal(workspace, "a\0b")
        assert "cannot be read" in refusal(workspace, "x" * 300)
        assert len(workspace.read_lines("exact", workspace.base(""))) == 1


def test_reading_leaves_no_file_open(root: Path, write: Write, workspace: Workspace) -> None:
    write({"a/b/c.txt": "x", "a/binary": b"\0"})
    os.mkfifo(root / "a" / "pipe")
    workspace.read_lines("a/b/c.txt", workspace.base(""))
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0

    workspace.read_lines("a/b/c.txt", workspace.base(""))
    for path in ("a/binary", "a/pipe", "a/b", "a/missing", "a/b/c.txt/d"):
        refusal(workspace, path)

    after = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    assert after == before


# --- the tool ---------------------------------------------------------------------------------------


@pytest.fixture
def call(root: Path) -> Caller:
    return Caller(root, PythonBackend())


async def test_read_numbers_lines_and_says_how_many_there_are(write: Write, call: Caller) -> None:
    write({"a.txt": "one\r\ntwo\nthree\n", "empty": ""})

    assert await call("read", path="a.txt") == (
        "a.txt: lines 1 to 3 of 3.\n     1\tone\n     2\ttwo\n     3\tthree"
    )
    assert (
        await call("read", path="a.txt", first_line=2, last_line=2)
        == "a.txt: lines 2 to 2 of 3.\n     2\ttwo"
    )
    assert (
        await call("read", path="a.txt", first_line=3, last_line=9)
        == "a.txt: lines 3 to 3 of 3.\n     3\tthree"
    )
    assert await call("read", path="a.txt", first_line=4) == "a.txt: the file has only 3 lines."
    assert await call("read", path="empty") == "empty: the file is empty."


async def test_read_says_how_to_go_on_where_a_file_is_long(write: Write, call: Caller) -> None:
    write({"many": "x\n" * 5_000, "wide": ("y" * 1_500 + "\n") * 100, "one": "z" * 100_000})

    many = await call("read", path="many")
    wide = await call("read", path="wide")
    one = await call("read", path="one")

    assert many.startswith("many: lines 1 to 2000 of 5000.")
    assert many.endswith("\n\n[lines 2001 to 5000 are left out: go on with first_line=2001]")
    assert len(wide.encode()) < 61_000
    assert "are left out" in wide
    assert len(one) < 2_100
    assert one.endswith("z[...]")


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("read", {"path": "a", "first_line": 3, "last_line": 2}, "is before first_line"),
        ("read", {"path": "a", "first_line": 0}, "do not fit"),
        ("read", {}, "do not fit"),
        ("read", {"path": "a", "lines": 3}, "do not fit"),
        ("search", {"pattern": ""}, "do not fit"),
        ("search", {"pattern": "x", "max_results": 100_000}, "do not fit"),
        ("find", {"glob": "*", "type": "pipe"}, "do not fit"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused(
    call: Caller, tool: str, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        await call(tool, **arguments)


def test_the_tools_change_nothing_ask_nobody_and_say_what_they_take(root: Path) -> None:
    tools = workspace_tools([str(root)])

    assert [tool.name for tool in tools] == ["find", "read", "search"]
    for tool in tools:
        assert tool.read_only
        assert not tool.needs_confirmation
        assert tool.parameters["type"] == "object"
        assert b"$ref" not in bytes(tool.definition.parameters)


async def test_many_calls_share_a_few_threads_and_programs(root: Path, write: Write) -> None:
    write({"a.txt": "x"})
    call = Caller(root, PythonBackend(), threads=1, programs=1)
    answers: list[str] = []

    async def ask(tool: str, argument: str, value: str) -> None:
        answers.append(await call(tool, **{argument: value}))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ask, "find", "glob", "*")
            nursery.start_soon(ask, "read", "path", "a.txt")

    assert sorted(answers) == ["a.txt"] * 10 + ["a.txt: lines 1 to 1 of 1.\n     1\tx"] * 10
