"""`greenroom sessions`: what it lists, also while the store is written, and what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import trio

from actors.engine import Engine, open_engine
from actors.settings import EngineSettings
from actors.stores import SqliteStore
from tests.actors.cli.program import COMMAND, LIMIT_SECONDS, environment, greenroom
from tests.actors.cli.terminal import terminal

STYLE = re.compile(r"\x1b\[[\d;]*m")
TITLE = "What is the capital of the country that won the cup in 1998?"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where no store is yet."""
    return tmp_path / "chats.db"


async def hold_two_conversations(engine: Engine) -> None:
    first = await engine.create_session()
    await engine.run_turn(first.record.session_id, TITLE)
    await engine.run_turn(first.record.session_id, "And now?")
    await engine.create_session(
        session_id="named-by-the-host", title="[bold]Reds[/bold]\x1b[31m", model="ollama:x"
    )


@pytest.fixture
def filled(store: Path) -> Path:
    async def fill() -> None:
        async with open_engine(EngineSettings(store=str(store))) as engine:
            await hold_two_conversations(engine)

    trio.run(fill)
    return store


def ids_in(path: Path) -> list[str]:
    store = SqliteStore.open(path, read_only=True)
    try:
        return [summary.session_id for summary in store.list_sessions()]
    finally:
        store.close()


def test_json_is_one_array_with_every_session_the_oldest_first(filled: Path) -> None:
    listed = greenroom("sessions", "--store", filled, "--json")

    first, second = json.loads(listed.stdout)
    assert listed.returncode == 0
    assert set(first) == {
        "session_id",
        "owner_id",
        "project_id",
        "title",
        "model",
        "status",
        "turns",
        "messages",
        "created_at",
        "updated_at",
    }
    assert (first["turns"], first["messages"], first["status"]) == (2, 4, "completed")
    assert first["created_at"] < first["updated_at"] <= second["created_at"]
    assert (second["session_id"], second["model"], second["turns"]) == ("named-by-the-host", "ollama:x", 0)


def test_a_pipe_gets_one_whole_line_per_session(filled: Path) -> None:
    ids = ids_in(filled)

    heading, *lines = greenroom("sessions", "--store", filled).stdout.decode().splitlines()

    assert heading.split() == ["SESSION", "STATUS", "ASKED", "UPDATED", "MODEL", "TITLE"]
    assert [line.split()[0] for line in lines] == ids
    assert lines[0].endswith(TITLE)
    assert lines[1].endswith("[bold]Reds[/bold][31m")


@pytest.mark.parametrize("columns", [80, 200])
def test_a_terminal_of_any_width_shows_full_ids(filled: Path, columns: int) -> None:
    ids = ids_in(filled)

    with terminal("sessions", "--store", filled, columns=columns, term="xterm") as screen:
        assert screen.wait_for_end() == 0

    assert all(session_id in screen.seen for session_id in ids)
    assert (TITLE in screen.seen) == (columns == 200)
    assert all(len(line) <= columns for line in STYLE.sub("", screen.seen).splitlines())


async def test_sessions_are_listed_and_shown_while_another_process_writes(store: Path) -> None:
    async with open_engine(EngineSettings(store=str(store))) as engine:
        await hold_two_conversations(engine)

        listed = await trio.to_thread.run_sync(greenroom, "sessions", "--store", store, "--json")
        shown = await trio.to_thread.run_sync(greenroom, "show", "named", "--store", store, "--json")

    assert len(json.loads(listed.stdout)) == 2
    assert json.loads(shown.stdout)["session_id"] == "named-by-the-host"


def test_an_empty_store_says_so(store: Path) -> None:
    SqliteStore.open(store).close()

    for_people = greenroom("sessions", "--store", store)
    for_programs = greenroom("sessions", "--store", store, "--json")

    assert b"has no sessions yet" in for_people.stdout
    assert for_programs.stdout == b"[]\n"
    assert (for_people.returncode, for_programs.returncode) == (0, 0)


def test_what_is_no_store_is_refused_in_one_line_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database")
    before = sorted(tmp_path.iterdir())

    for name in ("none.db", "notes.txt", "no/such/folder.db"):
        refused = greenroom("sessions", "--store", tmp_path / name)

        assert refused.returncode == 2
        assert refused.stdout == b""
        assert refused.stderr.decode().startswith(f"greenroom: {tmp_path / name}: ")
        assert refused.stderr.count(b"\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_output_that_cannot_be_written_is_one_line(filled: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        listing = subprocess.run(
            [*COMMAND, "sessions", "--store", str(filled)],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=LIMIT_SECONDS,
            check=False,
        )

    assert listing.returncode == 2
    assert listing.stderr == b"greenroom: cannot write to standard output: No space left on device\n"
