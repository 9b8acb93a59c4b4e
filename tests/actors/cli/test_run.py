"""`greenroom run`: what goes in, what comes out, and what it says meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from pathlib import Path

import pytest

from actors.upstream.settings import UpstreamSettings
from tests.actors.cli.program import CHECKOUT, environment, greenroom
from tests.actors.cli.run_program import (
    completed_once,
    endpoint,
    json_lines,
    latest_run,
    run,
    running,
    stored_sessions,
    write_records,
)
from tests.actors.cli.terminal import terminal

SHARED = CHECKOUT.parent / "shared"
QUESTIONS = SHARED / "mt_bench" / "question.jsonl"
RECORDINGS = SHARED / "streams" / "openai-chat"
needs_questions = pytest.mark.skipif(
    not QUESTIONS.exists(), reason=f"there are no questions at {QUESTIONS}"
)
needs_recordings = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason=f"there are no recordings at {RECORDINGS}"
)

SCRIPTED = ("--model", "scripted:echo", "--store", "run.db")
TURN_KEYS = {
    "session_id",
    "turn_index",
    "prompt",
    "answer",
    "thought",
    "tool_calls",
    "finish_reason",
    "usage",
    "status",
    "error",
    "time_to_first_part_seconds",
    "duration_seconds",
}


# --- what goes in -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "records"),
    [
        (b'{"turns": ["one", "two"]}\n{"turns": ["three"]}\n', [["one", "two"], ["three"]]),
        (b'{"prompt": "one"}\n{"prompt": "two"}', [["one"], ["two"]]),
        (
            b'{"question_id": 7, "turns": ["one"], "prompt": null}\n{"prompt": "two", "x": [{}]}',
            [["one"], ["two"]],
        ),
        (b"one\ntwo words\n", [["one"], ["two words"]]),
        (b'\xef\xbb\xbf{"prompt": "one"}\r\n\r\n  \r\n{"prompt": "two"}\r\n', [["one"], ["two"]]),
        ("\n\nSchöne Größe 東京 🎭\n".encode(), [["Schöne Größe 東京 🎭"]]),
    ],
    ids=["turns", "prompt", "extra keys", "plain text", "BOM, CRLF and blank lines", "beyond ASCII"],
)
async def test_every_form_of_prompts_is_asked_as_it_was_written(
    tmp_path: Path, written: bytes, records: list[list[str]]
) -> None:
    (tmp_path / "prompts").write_bytes(written)

    finished = await run("prompts", *SCRIPTED, "--json", cwd=tmp_path)

    assert (finished.status, finished.err) == (0, "")
    assert finished.summary["turns"] == sum(map(len, records))
    assert completed_once(tmp_path / "run.db", records)


async def test_a_dash_reads_standard_input_and_a_pipe_will_do_for_a_file(tmp_path: Path) -> None:
    typed = await run("-", *SCRIPTED, typed=b"one\ntwo\n", cwd=tmp_path)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"three\n",))
    writer.start()
    piped = await run("pipe", *SCRIPTED, cwd=tmp_path)
    writer.join()

    assert (typed.status, piped.status) == (0, 0)
    asked = [stored.record.title for stored in stored_sessions(tmp_path / "run.db").values()]
    assert sorted(asked) == ["one", "three", "two"]


@pytest.mark.parametrize(("sessions", "records"), [(5, ["a", "b", "c", "a", "b"]), (2, ["a", "b"])])
async def test_with_sessions_records_repeat_or_are_left_out(
    tmp_path: Path, sessions: int, records: list[str]
) -> None:
    finished = await run(
        "-", *SCRIPTED, "--sessions", str(sessions), "--json", typed=b"a\nb\nc\n", cwd=tmp_path
    )

    assert finished.summary["sessions"] == finished.summary["completed"] == sessions
    assert completed_once(tmp_path / "run.db", [[text] for text in records])


@needs_questions
async def test_the_questions_of_mt_bench_are_answered_over_http_two_turns_each(tmp_path: Path) -> None:
    async with endpoint() as served:
        finished = await run(QUESTIONS, "--base-url", served.base_url, "--json", cwd=tmp_path)
        statistics = served.upstream.statistics()

    assert finished.status == 0
    assert finished.summary["completed"] == statistics.streams_completed == 160
    # The endpoint does not count the event that says [DONE].
    assert statistics.events <= finished.summary["events"] <= statistics.events + 160
    assert statistics.streams_abandoned == 0
    records = [record["turns"] for record in json_lines(QUESTIONS)]
    assert completed_once(tmp_path / "greenroom.db", records)


async def test_no_more_turns_run_at_once_than_allowed_and_more_may_be_allowed_than_there_are(
    tmp_path: Path,
) -> None:
    texts = "".join(f"question {number}\n" for number in range(12)).encode()
    settings = UpstreamSettings(ttft_seconds=0.02, tokens_per_second=0, tokens=(5, 5))
    async with endpoint(settings) as served:
        few = await run(
            "-", "--base-url", served.base_url, "--max-concurrent", "3", typed=texts, cwd=tmp_path
        )
        peak = served.upstream.statistics().streams_peak
        many = await run(
            "-", "--base-url", served.base_url, "--max-concurrent", "5000", typed=texts, cwd=tmp_path
        )

    assert (few.status, many.status) == (0, 0)
    assert peak == 3


async def test_many_long_prompts_are_asked_whole(tmp_path: Path) -> None:
    records = [[f"{number} {'word ' * 4000}end"] for number in range(200)]
    write_records(tmp_path / "prompts", records)

    async with endpoint() as served:
        finished = await run("prompts", "--base-url", served.base_url, cwd=tmp_path)

    assert finished.status == 0
    assert completed_once(tmp_path / "greenroom.db", records)


# --- what comes out ---------------------------------------------------------------------------------


async def test_the_output_has_one_line_a_turn_with_the_agreed_keys(tmp_path: Path) -> None:
    records = [["one", "two"], ["three"]]
    write_records(tmp_path / "prompts", records)
    async with endpoint() as served:
        finished = await run("prompts", "--base-url", served.base_url, "--output", "turns", cwd=tmp_path)

    assert finished.status == 0
    lines = json_lines(tmp_path / "turns")
    assert all(set(line) == TURN_KEYS for line in lines)
    by_turn = {(line["session_id"], line["turn_index"]): line for line in lines}
    sessions = latest_run(tmp_path / "greenroom.db").session_ids
    assert {turn: line["prompt"] for turn, line in by_turn.items()} == {
        (session_id, turn_index): text
        for session_id, texts in zip(sessions, records, strict=True)
        for turn_index, text in enumerate(texts)
    }
    for line in lines:
        assert line["status"] == "completed"
        assert line["error"] is None
        assert line["finish_reason"] == "stop"
        assert line["usage"]["output_tokens"] >= 5
        assert 0 <= line["time_to_first_part_seconds"] <= line["duration_seconds"]


@needs_recordings
async def test_recorded_answers_thoughts_and_tool_calls_arrive_in_the_output(tmp_path: Path) -> None:
    names = [path.stem for path in RECORDINGS.glob("*.jsonl")]
    settings = UpstreamSettings(ttft_seconds=0, tokens_per_second=0, replay_dir=str(RECORDINGS))
    # The endpoint picks a recording by what is asked: enough questions hear all of them.
    questions = "".join(f"question {number}\n" for number in range(12 * len(names))).encode()
    async with endpoint(settings) as served:
        finished = await run(
            "-", "--base-url", served.base_url, "--output", "turns", typed=questions, cwd=tmp_path
        )

    assert finished.status == 0
    heard = {
        (line["answer"], line["thought"], json.dumps(line["tool_calls"]), line["finish_reason"])
        for line in json_lines(tmp_path / "turns")
    }
    assert len(heard) == len(names)
    with_calls = [one for one in heard if json.loads(one[2])]
    assert len(with_calls) == sum(name.endswith("-tool-call") for name in names)
    for _, _, calls, finish_reason in with_calls:
        assert finish_reason == "tool_calls"
        for call in json.loads(calls):
            assert set(call) == {"call_id", "name", "arguments"}
            assert isinstance(json.loads(call["arguments"]), dict)
    assert all(answer for answer, _, calls, _ in heard if calls == "[]")
    assert sum(bool(thought) for _, thought, _, _ in heard) >= sum(
        name.endswith("-reasoning") for name in names
    )


async def test_json_is_the_only_thing_on_standard_output_and_has_the_agreed_figures(tmp_path: Path) -> None:
    async with endpoint() as served:
        finished = await run(
            "-", "--base-url", served.base_url, "--json", typed=b"one\ntwo\n", cwd=tmp_path
        )

    summary = finished.summary
    counts = {name: summary[name] for name in ("sessions", "turns", "completed", "failed", "aborted")}
    assert counts == {"sessions": 2, "turns": 2, "completed": 2, "failed": 0, "aborted": 0}
    assert summary["events"] > 10
    assert summary["wall_seconds"] > 0
    assert summary["cpu_seconds"] > 0
    assert summary["events_per_second"] == pytest.approx(
        summary["events"] / summary["wall_seconds"], rel=0.1
    )
    assert 0 < summary["time_to_first_part"]["p50"] <= summary["time_to_first_part"]["p99"]
    assert summary["max_rss_bytes"] > 10_000_000


async def test_without_json_a_table_is_printed_and_where_the_conversations_are(tmp_path: Path) -> None:
    folder = tmp_path / ("long-name-" * 12)
    folder.mkdir()
    store = folder / "[red]of:smile:mine.db"

    finished = await run("-", "--model", "scripted:echo", "--store", store, typed=b"one\n", cwd=tmp_path)

    assert (finished.status, finished.err) == (0, "")
    assert re.search(r"turns +│ +1 ", finished.out)
    assert re.search(r"completed +│ +1 ", finished.out)
    assert finished.out.endswith(f"\nEvery conversation is in {store}\n")


async def test_a_new_run_replaces_the_output_and_adds_to_the_store(tmp_path: Path) -> None:
    for text in (b"one\n", b"two\n"):
        await run("-", *SCRIPTED, "--output", "turns", typed=text, cwd=tmp_path)

    assert [line["prompt"] for line in json_lines(tmp_path / "turns")] == ["two"]
    assert len(stored_sessions(tmp_path / "run.db")) == 2


# --- what it says meanwhile -------------------------------------------------------------------------


@pytest.mark.parametrize("verbosity", ["-v", "-vv"])
async def test_the_log_is_json_line_by_line_and_has_neither_texts_nor_keys(
    tmp_path: Path, verbosity: str
) -> None:
    question, key = "marker-of-a-question", "sk-marker-of-a-key-0123456789"
    recording = {
        "choices": [{"index": 0, "delta": {"content": "marker-of-an-answer"}, "finish_reason": "stop"}]
    }
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings" / "one.jsonl").write_text(json.dumps(recording))
    settings = UpstreamSettings(
        ttft_seconds=0, tokens_per_second=0, replay_dir=str(tmp_path / "recordings"), faults={}
    )
    async with endpoint(settings) as served:
        finished = await run(
            "-",
            *("--base-url", served.base_url, verbosity, "--log-format", "json", "--output", "turns"),
            typed=f"{question}\n".encode(),
            env=environment(OPENAI_API_KEY=key),
            cwd=tmp_path,
        )

    assert finished.status == 0
    events = [json.loads(line) for line in finished.err.splitlines()]
    assert "session status" in {event["event"] for event in events}
    assert all({"level", "timestamp"} <= set(event) for event in events)
    assert "marker-of-an-answer" in (tmp_path / "turns").read_text(), "the markers did pass through"
    for marker in (question, "marker-of-an-answer", key):
        assert marker not in finished.err + finished.out


async def test_the_log_of_a_failure_has_no_texts_nor_keys_either(tmp_path: Path) -> None:
    key = "sk-marker-of-a-key-0123456789"
    async with endpoint() as served:
        finished = await run(
            "-",
            *("--base-url", served.base_url, "--model", "openai:fault-401", "-vv"),
            typed=b"marker-of-a-question\n",
            env=environment(OPENAI_API_KEY=key),
            cwd=tmp_path,
        )

    assert finished.status == 1
    assert "session status" in finished.err
    assert "marker-of-a-question" not in finished.err + finished.out
    assert key not in finished.err + finished.out


async def test_with_a_log_in_json_even_the_stop_is_an_event_of_it(tmp_path: Path) -> None:
    slow = UpstreamSettings(ttft_seconds=0, tokens_per_second=20, tokens=(400, 400))
    write_records(tmp_path / "prompts", [["one"]])
    async with (
        endpoint(slow) as served,
        running(
            "prompts", "--base-url", served.base_url, "-v", "--log-format", "json", cwd=tmp_path
        ) as program,
    ):
        await served.has(lambda statistics: statistics.events > 3)
        program.signal(signal.SIGINT)
        finished = await program.end()

    events = [json.loads(line) for line in finished.err.splitlines()]
    assert any(event["event"].startswith("stopping") for event in events)


def test_on_a_terminal_a_live_bar_counts_the_turns(tmp_path: Path) -> None:
    prompts = write_records(tmp_path / "prompts", [["one", "two"]])

    with terminal("run", prompts, *SCRIPTED, cwd=tmp_path, term="xterm") as screen:
        status = screen.wait_for_end()

    assert status == 0
    assert "2/2" in screen.seen
    assert "events/s" in screen.seen
    assert screen.seen.index("2/2") < screen.seen.index("greenroom run")


async def test_into_a_pipe_progress_is_a_plain_line_now_and_then(tmp_path: Path) -> None:
    slow = UpstreamSettings(ttft_seconds=5.5, tokens_per_second=0, tokens=(5, 5))
    async with endpoint(slow) as served:
        finished = await run(
            "-",
            *("--base-url", served.base_url),
            typed=b"one\n",
            env=environment(FORCE_COLOR="1"),
            cwd=tmp_path,
        )

    assert finished.status == 0
    assert re.fullmatch(r"(\d+ s: 0/1 turns, 1 running, 0 failed, \d+ events/s\n){1,2}", finished.err)


async def test_the_demo_streams_from_an_endpoint_of_its_own_which_ends_with_it(tmp_path: Path) -> None:
    async with running("--demo", "-v", "--log-format", "json", "--json", cwd=tmp_path) as program:
        while json.loads(await program.error_line()).get("status") != "running":
            pass
        program.signal(signal.SIGINT)
        finished = await program.end()  # which is the end of all who hold its pipes

    assert finished.status == 130
    assert finished.summary["sessions"] == finished.summary["aborted"] == 200


def test_help_says_what_becomes_of_a_session_whose_turn_fails() -> None:
    words = " ".join(greenroom("run", "--help").stdout.decode().split())

    assert "A session whose turn fails stops there" in words
    assert "Exit status: 0 every turn completed, 1 some did not, 2 it could not begin, 130" in words


async def test_an_environment_with_another_locale_changes_nothing(tmp_path: Path) -> None:
    finished = await run(
        "-",
        *("--model", "scripted:echo", "--store", "größe.db"),
        typed="Größe\n".encode(),
        env=environment(LANG="C", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
        cwd=tmp_path,
    )

    assert (finished.status, finished.err) == (0, "")
    assert (tmp_path / "größe.db").exists()
