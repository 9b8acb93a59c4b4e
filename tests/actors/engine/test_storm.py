"""Random commands on an engine with little room, in an order that a seed decides."""

from __future__ import annotations

import pytest

from tests.actors.engine.storm import run_storm


@pytest.mark.parametrize("seed", range(40))
def test_after_a_storm_everything_is_answered_free_stored_once_and_shown_as_it_is(seed: int) -> None:
    report = run_storm(seed)

    assert report.turns


def test_a_storm_is_the_same_twice() -> None:
    assert run_storm(3) == run_storm(3)
