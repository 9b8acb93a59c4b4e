"""The figures at the end of a run."""

from __future__ import annotations

from actors.cli.run_summary import RunTally, summary_text
from actors.errors import ErrorCode, ErrorInfo
from actors.events import TaskOutcome
from actors.records import SessionStatus


def failed(message: str) -> TaskOutcome:
    return TaskOutcome(
        session_id="s",
        task_id="t",
        status=SessionStatus.FAILED,
        prompt="?",
        error=ErrorInfo(ErrorCode.EXECUTION_FAILED, message),
    )


def text_of(*outcomes: TaskOutcome) -> str:
    tally = RunTally(sessions=len(outcomes), turns=len(outcomes))
    for outcome in outcomes:
        tally.add(outcome)
    return summary_text(tally.summary(run_id="r", model="m", store="s.db", events=0, calls=0), tally)


def test_causes_of_one_code_are_counted_apart() -> None:
    text = text_of(failed("answered 500"), failed("a malformed chunk"), failed("answered 500"))

    assert "2 x EXECUTION_FAILED" in text
    assert "1 x EXECUTION_FAILED" in text
    assert text.index("answered 500") < text.index("a malformed chunk")


def test_numbers_in_a_message_make_no_cause_of_their_own() -> None:
    text = text_of(failed("gone after 1 part"), failed("gone after 22 parts"[:-1]))

    assert "2 x EXECUTION_FAILED" in text


def test_many_causes_are_summed_up() -> None:
    text = text_of(*(failed(f"cause {chr(97 + number)}") for number in range(11)))

    assert "3 more of 3 other kinds" in text
