"""The benchmarks run and report what they promise. What they measure gates nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

CHECKOUT = Path(__file__).parents[1]
LIMIT_SECONDS = 300.0
"""Where a test gives up: long, as other work on the machine slows a benchmark down."""

SETTING = {"question", "python", "machine", "cores", "versions", "bias"}
SETTING_AND_LOAD = SETTING | {"load"}


def report_of(module: str) -> dict[str, Any]:
    """What the quick run of a benchmark reports."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--quick", "--json"],
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout)


def test_engine_cost_sets_every_variant_beside_the_bare_loop() -> None:
    report = report_of("benchmarks.engine_cost")

    assert report.keys() == SETTING_AND_LOAD | {"turns", "target_ratio", "rows"}
    rows = {row["variant"]: row for row in report["rows"]}
    assert rows.keys() == {"naive", "wire", "engine"}
    assert len({row["events"] for row in rows.values()}) == 1
    assert all(
        row.keys()
        == {
            "sessions",
            "variant",
            "rounds",
            "events",
            "cpu_us",
            "bare_us",
            "ratio",
            "ratio_low",
            "ratio_high",
            "endpoint_us",
            "wall_seconds",
            "bare_wall_seconds",
            "ideal_seconds",
        }
        for row in rows.values()
    )


def test_session_memory_reports_streaming_and_idle_sessions() -> None:
    report = report_of("benchmarks.session_memory")

    assert report.keys() == SETTING_AND_LOAD | {
        "target_streaming_bytes",
        "target_idle_bytes",
        "streaming",
        "idle",
    }
    assert [row["variant"] for row in report["streaming"]] == ["bare", "wire", "engine"]
    assert all(
        row.keys() == {"sessions", "variant", "bytes_per_session", "over_bare_bytes"}
        for row in report["streaming"]
    )
    assert [row.keys() for row in report["idle"]] == [{"sessions", "bytes_per_session"}]


def test_streaming_sets_the_delays_of_every_reader_beside_the_bare_loop() -> None:
    report = report_of("benchmarks.streaming")

    assert report.keys() == SETTING_AND_LOAD | {"events_per_second", "target_added_seconds", "rows"}
    rows = {row["reader"]: row for row in report["rows"]}
    assert rows.keys() == {"bare", "engine", "all followed"}
    assert all(row["delay"]["count"] > 0 for row in rows.values())
    assert rows["bare"]["added_p99"] == 0


def test_scaling_sets_the_engine_beside_the_bare_loop_at_every_size() -> None:
    report = report_of("benchmarks.scaling")

    assert report.keys() == SETTING_AND_LOAD | {"events_per_second", "target_growth", "rows"}
    assert [row["sessions"] for row in report["rows"]] == [10, 40]
    assert report["rows"][0]["growth"] == 1


def test_first_event_sets_both_stores_beside_the_direct_call() -> None:
    report = report_of("benchmarks.first_event")

    assert report.keys() == SETTING_AND_LOAD | {"rows"}
    assert {(row["others"], row["way"]) for row in report["rows"]} == {
        (others, way) for others in (0, 5) for way in ("direct", "memory", "sqlite")
    }
    assert all((row["overhead"] is None) == (row["way"] == "direct") for row in report["rows"])


def test_reloading_does_every_step_with_every_store_and_leaves_nothing_loaded() -> None:
    report = report_of("benchmarks.reloading")

    assert report.keys() == SETTING_AND_LOAD | {"sessions", "steps", "rests"}
    rounds = ["create", "ask and answer", "evict", "load", "evict", "load", "evict"]
    for store in ("memory", "sqlite"):
        assert [step["step"] for step in report["steps"] if step["store"] == store] == rounds
    assert [rest["loaded"] for rest in report["rests"]] == [0] * 6


def test_tools_sets_runner_and_engine_beside_the_bare_loop() -> None:
    report = report_of("benchmarks.tools")

    assert report.keys() == SETTING_AND_LOAD | {"sessions", "rounds", "rows", "checks"}
    rows = {row["variant"]: row for row in report["rows"]}
    assert rows.keys() == {"bare", "runner", "engine", "turn"}
    assert {row["calls"] for row in rows.values()} == {200}
    assert rows["bare"]["ratio"] == 1
    assert len(report["checks"]) == 4


def test_governor_answers_every_session_with_and_without_one() -> None:
    report = report_of("benchmarks.governor")

    assert report.keys() == SETTING_AND_LOAD | {
        "sessions",
        "requests_per_second",
        "ideal_seconds",
        "rows",
        "refused_ratio",
    }
    assert [row["way"] for row in report["rows"]] == ["each for itself", "governed"]
    for row in report["rows"]:
        assert row["answered"] == report["sessions"] == row["requests"] - row["refused"]
        assert sum(row["bars"]) == row["requests"]


def test_model_lookup_sets_every_way_beside_a_dict() -> None:
    report = report_of("benchmarks.model_lookup")

    assert report.keys() == SETTING_AND_LOAD | {"connections", "rows"}
    rows = {row["way"]: row for row in report["rows"]}
    assert rows.keys() == {"dict", "known", "alias", "config", "connection", "first", "build"}
    assert rows["dict"]["ratio"] == 1


def test_parsers_sets_every_wire_beside_msgspec_alone() -> None:
    report = report_of("benchmarks.parsers")

    assert report.keys() == SETTING_AND_LOAD | {"rounds", "rows"}
    assert {row["wire"] for row in report["rows"] if row["stream"] == "text"} == {
        "openai-chat",
        "openai-responses",
        "anthropic-messages",
    }
    assert all(row["decode_us"] > 0 and row["parse_ratio"] > 0 for row in report["rows"])


def test_all_of_the_session_engine_are_one_report() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--json", "--only", "reloading", "first_event"],
        cwd=CHECKOUT,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()
    assert list(msgspec.json.decode(done.stdout)) == ["reloading", "first_event"]


def test_runtime_runs_every_benchmark_on_every_peer_and_checks_what_came_of_it() -> None:
    report = report_of("benchmarks.runtime")

    assert report.keys() == SETTING | {"quick", "left_out", "speed", "memory", "targets"}
    peers = report["versions"].keys()
    assert peers >= {"greenroom", "pykka", "trio"}
    counts: dict[str, set[int]] = {}
    for row in report["speed"]:
        counts.setdefault(row["benchmark"], set()).add(row["count"])
    customers_may_ask_again = counts.pop("SleepingBarber")
    assert min(customers_may_ask_again) >= 351
    assert counts == {
        "PingPong": {1_500},
        "Counting": {2_000},
        "FJCreate": {100},
        "ThreadRing": {1_000},
        "Big": {2_000},
        "BndBuffer": {360},
        "BndBuffer, no work": {1_000},
        "Banking": {2_000},
        "ask": {200},
        "spawn": {100},
        "stop 10 k": {20},
        "stop 100 k": {200},
        "close 10 k": {20},
        "close 100 k": {200},
    }
    assert len(report["speed"]) == len(peers) * (len(counts) + 1)
    assert {(row["peer"], row["actors"]) for row in report["memory"]} == {
        (peer, actors) for peer in peers for actors in (50, 100, 200)
    }


def test_embed_queue_sets_every_way_beside_the_host_queue_in_every_burst() -> None:
    report = report_of("benchmarks.embed_queue")

    assert report.keys() == SETTING | {"events", "rounds", "rows"}
    ways = {"one by one", "asyncio.Queue", "HostQueue"}
    bursts = {1, 10, 100, report["events"]}
    assert {(row["burst"], row["way"]) for row in report["rows"]} == {(b, w) for b in bursts for w in ways}
    assert all(row["put_us"] > 0 and row["arrived_us"] > 0 for row in report["rows"])


def test_workspace_sets_every_program_beside_the_naive_loop() -> None:
    report = report_of("benchmarks.workspace")

    assert report.keys() == SETTING_AND_LOAD | {"files", "megabytes", "rounds", "rows"}
    ways = {row["way"] for row in report["rows"]}
    assert ways >= {"naive", "python"}
    questions = {row["question"] for row in report["rows"]}
    assert {(row["question"], row["way"]) for row in report["rows"]} == {
        (question, way) for question in questions for way in ways
    }
    assert all(row["ratio"] == 1 for row in report["rows"] if row["way"] == "naive")
