"""`greenroom run` that is stopped in the middle, and goes on with --resume: no turn lost, none twice."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from actors.conversation import MessageState, Role, Text
from actors.stores import SqliteStore
from actors.upstream.settings import UpstreamSettings
from tests.actors.cli.program import greenroom
from tests.actors.cli.run_program import (
    branch,
    completed_once,
    contents,
    endpoint,
    json_lines,
    run,
    running,
    stored_sessions,
    write_records,
)
from tests.actors.cli.terminal import CTRL_C, terminal

RECORDS = [[f"first {number}", f"second {number}"] for number in range(20)]

# Some answers end at once and some go on for minutes: a run is in the middle for as long as a test likes.
UNEVEN = UpstreamSettings(ttft_seconds=0, tokens_per_second=200, tokens=(1, 30_000), seed=1)
ENDLESS = UpstreamSettings(ttft_seconds=0, tokens_per_second=50, tokens=(9_000, 9_000))


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the traces of two finished runs, a store without one, and a file of the user's."""
    folder = tmp_path_factory.mktemp("two_runs")
    write_records(folder / "prompts", RECORDS)
    write_records(folder / "other", [["something else"]])
    for store, output in (("first.db", "others"), ("greenroom.db", "turns")):
        options = ("--model", "scripted:echo", "--store", store, "--output", output)
        assert greenroom("run", "prompts", *options, cwd=folder).returncode == 0
    SqliteStore.open(folder / "fresh.db").close()
    (folder / "notes").write_text("mine, and without a line end")
    return folder


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    return write_records(tmp_path / "prompts", RECORDS)


def turns_completed(path: Path) -> int:
    """How many turns of the store have a whole answer."""
    return sum(
        message.role is Role.ASSISTANT and message.state is MessageState.COMPLETE
        for stored in stored_sessions(path).values()
        for message in stored.messages
    )


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_stops_in_order_and_resuming_loses_no_turn_and_repeats_none(
    tmp_path: Path, prompts: Path, number: signal.Signals, status: int
) -> None:
    store = tmp_path / "greenroom.db"
    mixed = UpstreamSettings(ttft_seconds=0, tokens_per_second=100, tokens=(1, 3_000), seed=2)
    async with (
        endpoint(mixed) as served,
        running(
            prompts,
            "--base-url",
            served.base_url,
            "--output",
            "turns",
            "--max-concurrent",
            "10",
            cwd=tmp_path,
        ) as program,
    ):
        await served.has(lambda now: now.streams_running == 10 and now.events > 500)
        program.signal(number)
        finished = await program.end()
        await served.has(lambda now: now.streams_running == 0)
    lines = json_lines(tmp_path / "turns")
    aborted = [line for line in lines if line["status"] == "aborted"]

    assert finished.status == status
    assert "stopping: " in finished.err
    assert "Traceback" not in finished.err
    assert f"│ {len(aborted)} │" in " ".join(finished.out.split())
    assert "--resume goes on" in finished.out
    assert 0 < len(aborted) <= 10
    sessions = stored_sessions(store)
    for line in aborted:
        partial = branch(sessions[line["session_id"]])[-1]
        assert isinstance(partial.content, Text)
        assert (partial.role, partial.state) == (Role.ASSISTANT, MessageState.ABORTED)
        assert partial.content.text == line["answer"]
        assert line["error"]["code"] == "ABORTED"
    completed = len(lines) - len(aborted)
    assert turns_completed(store) == completed

    async with endpoint() as served:
        resumed = await run(
            prompts, "--base-url", served.base_url, "--output", "turns", "--resume", "--json", cwd=tmp_path
        )

    assert resumed.status == 0
    assert resumed.summary["completed"] == 40 - completed
    assert resumed.summary["completed_before"] == completed
    assert completed_once(store, RECORDS)
    lines = json_lines(tmp_path / "turns")
    assert {line["status"] for line in lines} == {"completed"}
    assert len({(line["session_id"], line["turn_index"]) for line in lines}) == len(lines) == 40


def test_ctrl_c_on_a_terminal_leaves_the_bar_and_prints_the_table(tmp_path: Path, prompts: Path) -> None:
    with terminal("run", prompts, "--demo", cwd=tmp_path, term="xterm") as screen:
        screen.wait_for("20 running")
        screen.type(CTRL_C)
        screen.wait_for("stopping: ")
        screen.wait_for("greenroom run")
        status = screen.wait_for_end()

    assert status == 130
    assert "Traceback" not in screen.seen


async def test_a_second_signal_does_not_wait_and_still_loses_nothing(tmp_path: Path, prompts: Path) -> None:
    async with (
        endpoint(ENDLESS) as served,
        running(prompts, "--base-url", served.base_url, cwd=tmp_path) as program,
    ):
        await served.has(lambda now: now.streams_running == 20 and now.events > 100)
        program.signal(signal.SIGINT)
        await program.error_line()
        program.signal(signal.SIGINT)
        finished = await program.end()

    assert finished.status == 130
    assert "Traceback" not in finished.err

    async with endpoint() as served:
        resumed = await run(prompts, "--base-url", served.base_url, "--resume", cwd=tmp_path)

    assert resumed.status == 0
    assert completed_once(tmp_path / "greenroom.db", RECORDS)


async def test_many_signals_at_once_are_one_stop(tmp_path: Path, prompts: Path) -> None:
    async with (
        endpoint(ENDLESS) as served,
        running(prompts, "--base-url", served.base_url, cwd=tmp_path) as program,
    ):
        await served.has(lambda now: now.streams_running == 20)
        for number in (signal.SIGINT, signal.SIGTERM) * 5:
            program.signal(number)
        finished = await program.end()

    assert finished.status in (130, 143)
    assert "Traceback" not in finished.err
    assert "completed" in finished.out


async def test_after_kill_nine_resuming_asks_every_question_exactly_once(
    tmp_path: Path, prompts: Path
) -> None:
    async with (
        endpoint(UNEVEN) as served,
        running(prompts, "--base-url", served.base_url, "--output", "turns", cwd=tmp_path) as program,
    ):
        await served.has(lambda now: now.events > 2_000)
        program.signal(signal.SIGKILL)
        killed = await program.end()

    assert killed.status == -signal.SIGKILL

    async with endpoint() as served:
        resumed = await run(
            prompts, "--base-url", served.base_url, "--output", "turns", "--resume", cwd=tmp_path
        )

    assert resumed.status == 0
    assert completed_once(tmp_path / "greenroom.db", RECORDS)
    lines = json_lines(tmp_path / "turns")
    assert {line["status"] for line in lines} == {"completed"}
    assert len({(line["session_id"], line["turn_index"]) for line in lines}) == len(lines) == 40


async def test_killed_again_and_again_it_still_comes_to_its_end(tmp_path: Path, prompts: Path) -> None:
    resume: tuple[str, ...] = ()
    for events in (300, 600, 900):
        async with (
            endpoint(UNEVEN) as served,
            running(prompts, "--base-url", served.base_url, *resume, cwd=tmp_path) as program,
        ):
            enough = events
            await served.has(lambda now, enough=enough: now.events > enough)
            program.signal(signal.SIGKILL)
            await program.end()
        resume = ("--resume",)

    async with endpoint() as served:
        resumed = await run(prompts, "--base-url", served.base_url, "--resume", cwd=tmp_path)

    assert resumed.status == 0
    assert completed_once(tmp_path / "greenroom.db", RECORDS)


async def test_resuming_a_finished_run_does_nothing_and_is_well(tmp_path: Path, prompts: Path) -> None:
    async with endpoint() as served:
        await run(prompts, "--base-url", served.base_url, "--output", "turns", cwd=tmp_path)
        before = contents(tmp_path)
        requests = served.requests

        resumed = await run(
            prompts, "--base-url", served.base_url, "--output", "turns", "--resume", "--json", cwd=tmp_path
        )

        assert served.requests == requests
    assert resumed.status == 0
    assert (resumed.summary["completed"], resumed.summary["completed_before"]) == (0, 40)
    assert contents(tmp_path) == before


async def test_a_run_is_resumed_with_as_many_sessions_as_it_has(tmp_path: Path) -> None:
    prompts = write_records(tmp_path / "prompts", [["one"], ["two"]])
    async with endpoint() as served:
        await run(
            prompts,
            *("--base-url", served.base_url, "--model", "openai:fault-500", "--sessions", "7"),
            cwd=tmp_path,
        )
        before = served.requests

        resumed = await run(prompts, "--base-url", served.base_url, "--resume", "--json", cwd=tmp_path)

        assert served.requests - before == 7
    assert (resumed.status, resumed.summary["sessions"]) == (1, 7)


async def test_the_output_of_a_killed_run_is_mended_where_it_was_cut(tmp_path: Path, prompts: Path) -> None:
    output = tmp_path / "turns"
    async with endpoint() as served:
        await run(prompts, "--base-url", served.base_url, "--output", output, cwd=tmp_path)
        whole = output.read_bytes()
        output.write_bytes(whole[:-40])

        resumed = await run(
            prompts, "--base-url", served.base_url, "--output", output, "--resume", cwd=tmp_path
        )

    assert resumed.status == 0
    lines, complete = json_lines(output), whole.splitlines(keepends=True)
    assert output.read_bytes().startswith(b"".join(complete[:-1]))
    assert len(lines) == len(complete) == 40
    assert {line["status"] for line in lines} == {"completed"}


async def test_an_output_that_was_lost_is_written_again_from_the_store(
    tmp_path: Path, prompts: Path
) -> None:
    async with endpoint() as served:
        await run(prompts, "--base-url", served.base_url, "--output", "turns", cwd=tmp_path)
        first = {(line["session_id"], line["turn_index"]): line for line in json_lines(tmp_path / "turns")}
        (tmp_path / "turns").unlink()
        await run(prompts, "--base-url", served.base_url, "--output", "turns", "--resume", cwd=tmp_path)

    again = {(line["session_id"], line["turn_index"]): line for line in json_lines(tmp_path / "turns")}
    measured = ("time_to_first_part_seconds", "duration_seconds")
    assert again == {turn: line | dict.fromkeys(measured) for turn, line in first.items()}


async def test_a_store_can_be_carried_elsewhere_and_resumed_there(tmp_path: Path, prompts: Path) -> None:
    async with endpoint() as served:
        await run(
            prompts,
            "--base-url",
            served.base_url,
            "--model",
            "openai:fault-429",
            "--store",
            "a.db",
            cwd=tmp_path,
        )
    shutil.copy(tmp_path / "a.db", tmp_path / "b.db")
    async with endpoint() as served:
        resumed = await run(
            prompts, "--base-url", served.base_url, "--store", "b.db", "--resume", "--json", cwd=tmp_path
        )

    assert resumed.summary["sessions"] == 20
    assert resumed.summary["model"] == "openai:fault-429"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            ("other",),
            "these are not the prompts of the last run in greenroom.db: resume with the same ones",
        ),
        (
            ("prompts", "--sessions", "3"),
            "the last run in greenroom.db has 20 sessions, not 3: leave out --sessions",
        ),
        (
            ("prompts", "--model", "openai:other"),
            "the last run in greenroom.db asks scripted:echo: leave out --model",
        ),
        (("prompts", "--store", "fresh.db"), "fresh.db holds no run to resume: leave out --resume"),
        (("prompts", "--store", "missing.db"), "missing.db: there is no such file"),
        (
            ("prompts", "--output", "notes"),
            "notes, line 1 is not a turn of the run that is to go on: give another --output",
        ),
        (
            ("prompts", "--output", "others"),
            "others, line 1 is not a turn of the run that is to go on: give another --output",
        ),
    ],
    ids=[
        "prompts",
        "sessions",
        "model",
        "no run",
        "no store",
        "no output of a run",
        "output of another run",
    ],
)
async def test_another_run_is_not_resumed_and_nothing_is_touched(
    tmp_path: Path, two_runs: Path, change: tuple[str, ...], complaint: str
) -> None:
    shutil.copytree(two_runs, tmp_path, dirs_exist_ok=True)
    before = contents(tmp_path)

    refused = await run(*change, "--resume", cwd=tmp_path)

    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith("greenroom: ")
    assert refused.err.endswith(f"{complaint}\n")
    assert refused.err.count("\n") == 1
    assert contents(tmp_path) == before
