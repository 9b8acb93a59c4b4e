"""What is left to do of a session, by what the store has of it."""

from __future__ import annotations

import pytest

from actors.cli.run_plan import SessionPlan
from actors.errors import ErrorCode
from actors.events import TaskOutcome
from actors.records import SessionStatus

COMPLETED, FAILED, ABORTED = SessionStatus.COMPLETED, SessionStatus.FAILED, SessionStatus.ABORTED


def outcome(prompt: str, status: SessionStatus) -> TaskOutcome:
    return TaskOutcome(session_id="s", task_id="t", status=status, prompt=prompt)


@pytest.mark.parametrize(
    ("stored", "done", "asked"),
    [
        ([], 0, False),
        ([("a", COMPLETED)], 1, False),
        ([("a", FAILED)], 0, True),
        ([("a", COMPLETED), ("b", ABORTED)], 1, True),
        ([("a", COMPLETED), ("b", COMPLETED)], 2, False),
        ([("a", COMPLETED), ("b", COMPLETED), ("and then", FAILED)], 2, False),
    ],
)
def test_it_goes_on_behind_the_answers_that_are_complete(
    stored: list[tuple[str, SessionStatus]], done: int, asked: bool
) -> None:
    plan = SessionPlan("s", ("a", "b")).after([outcome(*one) for one in stored])

    assert (plan.done, plan.asked, plan.obstacle, plan.exists) == (done, asked, None, True)


@pytest.mark.parametrize(
    ("stored", "done"),
    [
        ([("x", COMPLETED)], 0),
        ([("a", COMPLETED), ("x", ABORTED)], 1),
        ([("a", FAILED), ("x", COMPLETED)], 0),
        ([("a", COMPLETED), ("b", FAILED), ("x", COMPLETED)], 1),
    ],
)
def test_it_cannot_go_on_where_something_else_was_asked(
    stored: list[tuple[str, SessionStatus]], done: int
) -> None:
    plan = SessionPlan("s", ("a", "b", "c")).after([outcome(*one) for one in stored])

    assert plan.done == done
    assert plan.obstacle is not None
    assert plan.obstacle.code is ErrorCode.CONFLICT
