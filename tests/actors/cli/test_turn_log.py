"""The file of turns: appended line by line, mended after a crash, one line a turn in the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.cli.turn_log import TurnLog, TurnRecord
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.events import TaskOutcome
from actors.records import SessionStatus

COMPLETED, FAILED = SessionStatus.COMPLETED, SessionStatus.FAILED


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "turns.jsonl"


def turn(index: int, status: SessionStatus, session_id: str = "s") -> TurnRecord:
    error = ErrorInfo(ErrorCode.QUOTA_EXCEEDED, "slow down", {"retry_after_seconds": 2.0})
    outcome = TaskOutcome(
        session_id=session_id,
        task_id="t",
        status=status,
        prompt=f"question {index}",
        answer=f"answer {index} {status}",
        error=error if status is FAILED else None,
    )
    return TurnRecord.of(index, outcome)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def seen(path: Path) -> list[tuple[int, str]]:
    return [(line["turn_index"], line["status"]) for line in lines(path)]


def test_a_line_is_in_the_file_when_add_returns(path: Path) -> None:
    with TurnLog(path) as log:
        log.add(turn(0, COMPLETED))

        assert seen(path) == [(0, "completed")]


def test_an_error_says_whether_a_retry_is_worth_it(path: Path) -> None:
    with TurnLog(path) as log:
        log.add(turn(0, FAILED))

    assert lines(path)[0]["error"] == {
        "code": "QUOTA_EXCEEDED",
        "message": "slow down",
        "retryable": True,
        "details": {"retry_after_seconds": 2.0},
    }


def test_a_new_log_empties_the_file(path: Path) -> None:
    path.write_text("old\n")

    with TurnLog(path):
        assert path.read_bytes() == b""


def test_going_on_keeps_what_is_there_and_knows_what_is_completed(path: Path) -> None:
    with TurnLog(path) as log:
        log.add(turn(0, COMPLETED))
        log.add(turn(1, FAILED))

    with TurnLog(path, goes_on_with={"s"}) as log:
        assert log.has_completed("s", 0)
        assert not log.has_completed("s", 1)
        log.add(turn(1, COMPLETED))

    assert seen(path) == [(0, "completed"), (1, "failed"), (1, "completed")]


def test_tidying_leaves_the_last_line_of_a_turn_and_a_completed_one_for_good(path: Path) -> None:
    with TurnLog(path) as log:
        for index, status in ((0, COMPLETED), (1, FAILED), (2, FAILED)):
            log.add(turn(index, status))
    path.chmod(0o640)
    with TurnLog(path, goes_on_with={"s"}) as log:
        log.add(turn(2, FAILED))
        log.add(turn(1, COMPLETED))
        log.add(turn(0, FAILED))
        log.tidy()

    assert seen(path) == [(0, "completed"), (2, "failed"), (1, "completed")]
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(path.parent.iterdir()) == [path], "no other file is left"


def test_a_link_to_the_file_stays_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    with TurnLog(link) as log:
        log.add(turn(0, FAILED))
        log.add(turn(0, COMPLETED))
        log.tidy()

    assert link.is_symlink()
    assert seen(path) == [(0, "completed")]


def test_a_line_that_was_cut_is_written_again(path: Path) -> None:
    with TurnLog(path) as log:
        log.add(turn(0, COMPLETED))
        log.add(turn(1, COMPLETED))
    whole = path.read_bytes()

    for length in range(whole.index(b"\n") + 1, len(whole)):
        path.write_bytes(whole[:length])
        with TurnLog(path, goes_on_with={"s"}) as log:
            assert log.has_completed("s", 0)
            assert not log.has_completed("s", 1)
            log.add(turn(1, COMPLETED))

        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "held",
    [
        b"notes of mine",
        b"notes of mine\n",
        b'{"prompt": "a"}\n',
        b'{"session_id":"another","turn_index":0,"status":"completed"}\n',
    ],
)
def test_a_file_of_something_else_is_refused_and_left_alone(path: Path, held: bytes) -> None:
    path.write_bytes(held)

    with pytest.raises(EngineError, match="line 1 is not a turn of the run that is to go on"):
        TurnLog(path, goes_on_with={"s"})

    assert path.read_bytes() == held


def test_a_full_disk_is_an_error_that_names_the_file() -> None:
    with TurnLog(Path("/dev/full")) as log, pytest.raises(EngineError) as caught:
        log.add(turn(0, COMPLETED))

    assert caught.value.code is ErrorCode.PERSISTENCE_FAILED
    assert caught.value.message == "cannot write /dev/full: No space left on device"
