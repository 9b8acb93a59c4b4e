"""`greenroom run` on bad days: a turn fails with its code, the others go on, and --resume mends it."""

from __future__ import annotations

import os
import resource
import socket
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from actors.conversation import MessageState, Role
from actors.upstream.faults import Fault
from actors.upstream.settings import UpstreamSettings
from tests.actors.cli.program import COMMAND, LIMIT_SECONDS, environment
from tests.actors.cli.run_program import (
    branch,
    completed_once,
    endpoint,
    json_lines,
    latest_run,
    run,
    stored_sessions,
    write_records,
)

RECORDS = [[f"first {number}", f"second {number}"] for number in range(12)]


def faulty(fault: Fault, rate: float) -> UpstreamSettings:
    return UpstreamSettings(
        ttft_seconds=0, tokens_per_second=0, tokens=(20, 30), seed=3, faults={fault: rate}
    )


def failed(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["status"] == "failed"]


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("fault", "code", "retryable", "advice"),
    [
        (Fault.RATE_LIMIT, "QUOTA_EXCEEDED", True, "worth a retry after 1 s"),
        (Fault.SERVER_ERROR, "EXECUTION_FAILED", True, "worth a retry"),
        (Fault.UNAUTHORIZED, "FORBIDDEN", False, "a retry would fail again"),
        (Fault.DISCONNECT, "NETWORK_ERROR", True, "worth a retry"),
        (Fault.RESET, "NETWORK_ERROR", True, "worth a retry"),
        (Fault.MALFORMED, "EXECUTION_FAILED", True, "worth a retry"),
    ],
)
async def test_a_fault_fails_its_turns_only_and_resuming_completes_them(
    tmp_path: Path, fault: Fault, code: str, retryable: bool, advice: str
) -> None:
    write_records(tmp_path / "prompts", RECORDS)
    async with endpoint(faulty(fault, 0.3)) as served:
        finished = await run("prompts", "--base-url", served.base_url, "--output", "turns", cwd=tmp_path)
    lines = json_lines(tmp_path / "turns")
    failures = failed(lines)

    assert finished.status == 1
    assert 0 < len(failures) < len(RECORDS), "some sessions fail, and others do not"
    assert f"{len(failures)} x {code} ({advice}): " in finished.out
    assert "--resume goes on" in finished.out
    assert {line["error"]["code"] for line in failures} == {code}
    assert {line["error"]["retryable"] for line in failures} == {retryable}
    if fault is Fault.RATE_LIMIT:
        assert {line["error"]["details"]["retry_after_seconds"] for line in failures} == {1.0}
    # A failed first turn is the end of its session for now, and nothing else is missing.
    not_started = sum(line["turn_index"] == 0 for line in failures)
    assert len(lines) == 2 * len(RECORDS) - not_started
    if fault in (Fault.DISCONNECT, Fault.RESET, Fault.MALFORMED):
        sessions = stored_sessions(tmp_path / "greenroom.db")
        for line in failures:
            partial = branch(sessions[line["session_id"]])[-1]
            assert line["answer"]
            assert (partial.role, partial.state) == (Role.ASSISTANT, MessageState.FAILED)
            assert getattr(partial.content, "text", None) == line["answer"]

    async with endpoint() as served:
        resumed = await run(
            "prompts",
            *("--base-url", served.base_url, "--output", "turns", "--resume", "--json"),
            cwd=tmp_path,
        )
        asked = served.requests

    assert resumed.status == 0
    assert asked == resumed.summary["completed"] == len(failures) + not_started
    assert resumed.summary["completed_before"] == 2 * len(RECORDS) - asked
    assert completed_once(tmp_path / "greenroom.db", RECORDS)
    lines = json_lines(tmp_path / "turns")
    assert {line["status"] for line in lines} == {"completed"}
    assert len({(line["session_id"], line["turn_index"]) for line in lines}) == len(lines) == 24


async def test_an_endpoint_that_nobody_serves_is_a_network_error_of_every_session(tmp_path: Path) -> None:
    write_records(tmp_path / "prompts", RECORDS)

    finished = await run(
        "prompts", "--base-url", f"http://127.0.0.1:{unused_port()}/v1", "--output", "turns", cwd=tmp_path
    )

    assert finished.status == 1
    assert "12 x NETWORK_ERROR (worth a retry): cannot reach http://127.0.0.1:" in finished.out
    assert len(failed(json_lines(tmp_path / "turns"))) == 12

    async with endpoint() as served:
        resumed = await run("prompts", "--base-url", served.base_url, "--resume", cwd=tmp_path)

    assert resumed.status == 0
    assert completed_once(tmp_path / "greenroom.db", RECORDS)


async def test_a_failed_first_turn_leaves_the_second_one_unasked(tmp_path: Path) -> None:
    write_records(tmp_path / "prompts", [["one", "two"]])
    async with endpoint() as served:
        finished = await run(
            "prompts",
            *("--base-url", served.base_url, "--model", "openai:fault-500", "--json"),
            cwd=tmp_path,
        )

    summary = finished.summary
    assert (summary["turns"], summary["failed"], summary["not_started"]) == (2, 1, 1)
    assert summary["errors"] == {"EXECUTION_FAILED": 1}
    assert summary["retryable_errors"] == 1


async def test_a_turn_whose_question_cannot_be_stored_is_in_the_output_with_its_error(
    tmp_path: Path,
) -> None:
    question = "x" * 115_000
    write_records(tmp_path / "prompts", [[question, "two"]])
    # A limit on the size of files stands for a full disk. The output just fits into it, the store does not.
    finished = await run(
        "prompts",
        *("--model", "scripted:echo", "--output", "turns", "--store", "run.db"),
        cwd=tmp_path,
        limits={resource.RLIMIT_FSIZE: 120_000},
    )

    assert finished.status == 1
    assert "1 x PERSISTENCE_FAILED (worth a retry): " in finished.out
    (line,) = json_lines(tmp_path / "turns")
    assert (line["status"], line["prompt"], line["answer"]) == ("failed", question, "")
    assert line["error"]["code"] == "PERSISTENCE_FAILED"
    assert line["error"]["retryable"] is True

    resumed = await run("prompts", "--output", "turns", "--store", "run.db", "--resume", cwd=tmp_path)

    assert resumed.status == 0
    assert completed_once(tmp_path / "run.db", [[question, "two"]])
    assert [line["status"] for line in json_lines(tmp_path / "turns")] == ["completed", "completed"]


async def test_output_that_cannot_be_written_does_not_stop_the_run(tmp_path: Path) -> None:
    write_records(tmp_path / "prompts", RECORDS)

    finished = await run(
        "prompts", "--model", "scripted:echo", "--output", "/dev/full", "--json", cwd=tmp_path
    )

    assert finished.status == 1
    assert finished.err == (
        "cannot write /dev/full: No space left on device: the run goes on, and --resume writes what is "
        "missing there\n"
    )
    assert finished.summary["completed"] == 24

    resumed = await run("prompts", "--output", "turns", "--resume", cwd=tmp_path)

    assert resumed.status == 0
    assert len(json_lines(tmp_path / "turns")) == 24


async def test_a_session_that_was_led_elsewhere_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    write_records(tmp_path / "prompts", [["one"], ["two"]])
    async with endpoint() as served:
        await run("prompts", "--base-url", served.base_url, "--model", "openai:fault-500", cwd=tmp_path)
    first, second = latest_run(tmp_path / "greenroom.db").session_ids
    rename_question(tmp_path / "greenroom.db", first)

    async with endpoint() as served:
        # The model of a run stays, and this one fails on purpose; what counts is who is asked.
        resumed = await run(
            "prompts", "--base-url", served.base_url, "--resume", "--output", "turns", cwd=tmp_path
        )
        asked = served.requests

    assert resumed.status == 1
    assert asked == 1
    errors = {line["session_id"]: line["error"]["code"] for line in json_lines(tmp_path / "turns")}
    assert errors == {first: "CONFLICT", second: "EXECUTION_FAILED"}


def rename_question(store: Path, session_id: str) -> None:
    """Make the stored question of a session another one."""
    connection = sqlite3.connect(store)
    with connection:
        connection.execute(
            """
            UPDATE messages SET body = replace(body, '"one"', '"something else"')
            WHERE session = (SELECT number FROM sessions WHERE session_id = ?)
            """,
            (session_id,),
        )
    connection.close()


def test_a_reader_who_leaves_standard_output_early_is_no_failure_of_the_run(tmp_path: Path) -> None:
    write_records(tmp_path / "prompts", RECORDS)
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        finished = subprocess.run(
            [*COMMAND, "run", "prompts", "--model", "scripted:echo"],
            stdout=write_end,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=environment(),
            timeout=LIMIT_SECONDS,
            check=False,
        )
    finally:
        os.close(write_end)

    assert finished.stderr == b""
    assert finished.returncode == 141
    assert completed_once(tmp_path / "greenroom.db", RECORDS)


def test_a_full_standard_output_is_one_line_and_status_1(tmp_path: Path) -> None:
    write_records(tmp_path / "prompts", [["one"]])
    with Path("/dev/full").open("wb") as full:
        finished = subprocess.run(
            [*COMMAND, "run", "prompts", "--model", "scripted:echo"],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=environment(),
            timeout=LIMIT_SECONDS,
            check=False,
        )

    assert finished.returncode == 1
    assert finished.stderr == b"greenroom: cannot write to standard output: No space left on device\n"
    assert completed_once(tmp_path / "greenroom.db", [["one"]])
