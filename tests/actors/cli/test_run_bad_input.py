"""What `greenroom run` refuses: a line that names the thing and the way out, status 2, nothing written."""

from __future__ import annotations

import os
import resource
import sqlite3
from pathlib import Path

import pytest

from actors.stores import SqliteStore
from tests.actors.cli.program import environment
from tests.actors.cli.run_program import Finished, contents, run

SCRIPTED = ("--model", "scripted:echo")
not_as_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prompts").write_text('{"prompt": "one"}\n')
    return tmp_path


async def refused(
    *arguments: str | Path, cwd: Path, typed: bytes = b"", limits: dict[int, int] | None = None
) -> str:
    """The one line with which these arguments are refused; nothing else may have happened."""
    before = contents(cwd)

    finished = await run(*arguments, cwd=cwd, typed=typed, limits=limits)

    assert contents(cwd) == before, "nothing is written"
    return complaint(finished)


def complaint(finished: Finished) -> str:
    assert (finished.status, finished.out) == (2, ""), finished
    assert finished.err.count("\n") == 1
    assert finished.err.endswith("\n")
    prefix, _, line = finished.err.removesuffix("\n").partition(": ")
    assert prefix in ("greenroom", "greenroom run")
    return line


# --- prompts ----------------------------------------------------------------------------------------


async def test_no_prompts_at_all(folder: Path) -> None:
    said = await refused(*SCRIPTED, cwd=folder)

    assert said == "name a file of prompts, or - for standard input; or try --demo"


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        ("missing", "cannot read the prompts from missing: No such file or directory"),
        (".", "cannot read the prompts from .: Is a directory"),
        ("two\nlines", "cannot read the prompts from two lines: No such file or directory"),
        ("x" * 300, f"cannot read the prompts from {'x' * 300}: File name too long"),
    ],
    ids=["missing", "a folder", "a name of two lines", "a name that is too long"],
)
async def test_prompts_that_cannot_be_read(folder: Path, prompts: str, said: str) -> None:
    assert await refused(prompts, *SCRIPTED, cwd=folder) == said


@not_as_root
async def test_prompts_without_permission(folder: Path) -> None:
    (folder / "secret").write_text("one\n")
    (folder / "secret").chmod(0)

    finished = await run("secret", *SCRIPTED, cwd=folder)

    assert complaint(finished) == "cannot read the prompts from secret: Permission denied"


async def test_broken_prompts_are_refused_with_the_line(folder: Path) -> None:
    typed = b'{"prompt": "one"}\n\n{"prompt": "two"\n'

    said = await refused("-", *SCRIPTED, typed=typed, cwd=folder)

    assert said.startswith("standard input, line 3 is not a JSON object: ")


async def test_empty_prompts(folder: Path) -> None:
    said = await refused("-", *SCRIPTED, typed=b"\n \n", cwd=folder)

    assert said == "standard input holds no prompts: write JSON objects or texts into it, one a line"


# --- models -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "name a model with --model PROVIDER:MODEL, or an endpoint with --base-url, or try --demo"),
        (("--model", "foo:bar"), "there is no provider 'foo'; known are "),
        (("--model", "openai:"), "'openai:' names no model; write provider:model, for example "),
        (("--demo", "--model", "foo:bar"), "there is no provider 'foo'; known are "),
        (
            ("--model", "openai"),
            "argument --model: 'openai' is not of the form PROVIDER:MODEL, such as ollama:qwen3:8b",
        ),
        (("--model", "openai:x"), "openai needs an API key; set OPENAI_API_KEY, or give the base URL"),
        (("--model", "openai:x", "--wire", "smoke"), "there is no wire 'smoke'; known are "),
        (("--base-url", "localhost:8000"), "the base URL 'localhost:8000' is not valid: "),
        (("--base-url", "http://"), "the base URL 'http://' is not valid: "),
        (
            ("--demo", "--base-url", "http://127.0.0.1:1"),
            "--demo starts an endpoint of its own: leave out --base-url",
        ),
    ],
    ids=str,
)
async def test_a_model_that_no_turn_could_use(folder: Path, options: tuple[str, ...], said: str) -> None:
    assert (await refused("prompts", *options, cwd=folder)).startswith(said)


async def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(folder: Path) -> None:
    finished = await run(
        "prompts", "--model", "openai:x", env=environment(OPENAI_API_KEY="sk-ä secret"), cwd=folder
    )

    assert (
        "the API key holds spaces, control characters or letters outside of ASCII; copy it anew"
        in complaint(finished)
    )
    assert "secret" not in finished.err
    assert list(contents(folder)) == ["prompts"]


# --- stores -----------------------------------------------------------------------------------------


async def test_a_store_in_a_missing_folder_a_folder_and_a_text_file(folder: Path) -> None:
    (folder / "notes").write_text("mine")

    missing = await refused("prompts", *SCRIPTED, "--store", "nowhere/run.db", cwd=folder)
    a_folder = await refused("prompts", *SCRIPTED, "--store", ".", cwd=folder)
    text = await refused("prompts", *SCRIPTED, "--store", "notes", cwd=folder)

    assert missing.endswith(f"there is no folder {folder / 'nowhere'}; create it or choose another path")
    assert a_folder == f"{folder}: this is a folder; name a file in it"
    assert text == f"{folder / 'notes'}: this is not a SQLite file; choose another path"


async def test_a_database_of_somebody_else(folder: Path) -> None:
    connection = sqlite3.connect(folder / "foreign.db")
    connection.execute("CREATE TABLE mine (x)")
    connection.close()

    said = await refused("prompts", *SCRIPTED, "--store", "foreign.db", cwd=folder)

    assert said == f"{folder / 'foreign.db'}: this file does not belong to Greenroom; choose another path"


async def test_a_store_that_another_process_has_open(folder: Path) -> None:
    store = SqliteStore.open(folder / "run.db")
    try:
        new = await refused("prompts", *SCRIPTED, "--store", "run.db", "--output", "turns", cwd=folder)
    finally:
        store.close()

    assert new.startswith(
        f"{folder / 'run.db'}: open for writing in process {os.getpid()}; stop that process"
    )


@not_as_root
async def test_a_store_and_an_output_in_a_folder_that_may_not_be_written(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir()
    closed.chmod(0o555)

    store = await refused("prompts", *SCRIPTED, "--store", "closed/run.db", cwd=folder)
    output = await refused("prompts", *SCRIPTED, "--output", "closed/turns", cwd=folder)

    assert "its folder may not be written" in store
    assert output == "cannot write closed/turns: permission denied; choose another path"


# --- output -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (".", "cannot write .: this is a folder; name a file in it"),
        (
            "nowhere/turns",
            "cannot write nowhere/turns: there is no folder nowhere; create it or choose another path",
        ),
        (
            "prompts/turns",
            "cannot write prompts/turns: there is no folder prompts; create it or choose another path",
        ),
        ("prompts", "--output prompts would overwrite the prompts: name another file"),
        ("./greenroom.db", "--output greenroom.db would overwrite the store: name another file"),
        ("x" * 300, f"cannot write {'x' * 300}: File name too long"),
    ],
    ids=["a folder", "no folder", "a file for a folder", "the prompts", "the store", "too long a name"],
)
async def test_output_that_cannot_be_written(folder: Path, output: str, said: str) -> None:
    assert await refused("prompts", *SCRIPTED, "--output", output, cwd=folder) == said


# --- figures and options ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [("--max-concurrent", "0"), ("--max-concurrent", "-1"), ("--max-concurrent", "x"), ("--sessions", "0")],
)
async def test_a_figure_that_counts_nothing(folder: Path, option: str, value: str) -> None:
    said = await refused("prompts", *SCRIPTED, option, value, cwd=folder)

    assert said == (
        f"argument {option}: {value!r} is not a whole number above 0 (greenroom run --help shows the usage)"
    )


async def test_an_unknown_option(folder: Path) -> None:
    said = await refused("prompts", *SCRIPTED, "--fast", cwd=folder)

    assert said == "unrecognized arguments: --fast (greenroom run --help shows the usage)"


async def test_more_turns_at_once_than_files_may_be_open(folder: Path) -> None:
    (folder / "prompts").write_text("one\n" * 200)

    said = await refused("prompts", *SCRIPTED, cwd=folder, limits={resource.RLIMIT_NOFILE: 128})
    fewer = await run(
        "prompts",
        *SCRIPTED,
        *("--max-concurrent", "64"),
        cwd=folder,
        limits={resource.RLIMIT_NOFILE: 128},
    )

    assert said == (
        "200 turns at once need about 264 open files, and the limit here is 128: lower --max-concurrent to "
        "64, or raise the limit (ulimit -Hn)"
    )
    assert fewer.status == 0
