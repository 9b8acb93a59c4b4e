"""The storm of `tests.runtime.chaos`; `python -m tests.runtime.chaos --seeds 500` is the longer run."""

from __future__ import annotations

import pytest

from tests.runtime.chaos import StormReport, run_storm

SEEDS = range(32)


@pytest.fixture(scope="module")
def reports() -> dict[int, StormReport]:
    return {}


@pytest.mark.parametrize("seed", SEEDS)
def test_after_a_storm_every_survivor_answers_and_every_message_is_accounted_for(
    seed: int, reports: dict[int, StormReport]
) -> None:
    reports[seed] = run_storm(seed)

    assert reports[seed].survivors > 100


def test_the_storms_were_real(reports: dict[int, StormReport]) -> None:
    if len(reports) < len(SEEDS):
        pytest.skip("judged over all seeds")

    for what in ("failures", "restarts", "escalations", "kills", "dead_letters"):
        assert sum(getattr(report, what) for report in reports.values()) > len(SEEDS), what


def test_a_storm_is_the_same_again_with_its_seed_and_another_with_the_next() -> None:
    first, again, other = run_storm(1), run_storm(1), run_storm(2)

    assert first == again
    assert first.trace != other.trace
