"""What a supervisor can be told, and what it refuses to be told."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import TrioActor
from runtime.supervision import Backoff, ChildSpec, Intensity, Restart, Shutdown, Strategy, Supervisor
from runtime.supervision.policy import AFFECTED, RESTARTED, Ending

REFUSED: list[tuple[Callable[[], object], str, str]] = [
    (lambda: Intensity(max_restarts=-1), "Intensity.max_restarts is -1", ">= 0"),
    (lambda: Intensity(period_seconds=0), "Intensity.period_seconds is 0", "> 0"),
    (lambda: Intensity(period_seconds=math.nan), "Intensity.period_seconds is nan", "> 0"),
    (lambda: Intensity(period_seconds=math.inf), "Intensity.period_seconds is inf", "> 0"),
    (lambda: Backoff(first_seconds=-1), "Backoff.first_seconds is -1", ">= 0"),
    (lambda: Backoff(first_seconds=math.nan), "Backoff.first_seconds is nan", ">= 0"),
    (lambda: Backoff(factor=0.5), "Backoff.factor is 0.5", ">= 1"),
    (lambda: Backoff(first_seconds=2, limit_seconds=1), "Backoff.limit_seconds is 1", ">= first_seconds"),
    (lambda: Backoff(limit_seconds=math.inf), "Backoff.limit_seconds is inf", "finite"),
    (lambda: Backoff(jitter=1.5), "Backoff.jitter is 1.5", "between 0 and 1"),
    (lambda: ChildSpec("", TrioActor), "ChildSpec.name is ''", "not empty"),
    (lambda: ChildSpec("a", cast("type[TrioActor]", 7)), "ChildSpec.start is 7", "callable"),
    (
        lambda: ChildSpec("a", TrioActor, cast("Restart", "always")),
        "restart is 'always'",
        "Restart.TRANSIENT",
    ),
    (lambda: ChildSpec("a", TrioActor, shutdown=-1), "ChildSpec.shutdown is -1", "Shutdown.KILL"),
    (
        lambda: ChildSpec("a", TrioActor, shutdown=math.nan),
        "ChildSpec.shutdown is nan",
        "Shutdown.NO_LIMIT",
    ),
    (
        lambda: ChildSpec("a", TrioActor, shutdown=cast("Shutdown", "kill")),
        "ChildSpec.shutdown is 'kill'",
        "Shutdown.KILL",
    ),
    (
        lambda: ChildSpec("a", TrioActor, significant=True),
        "significant is True",
        "False for a permanent child",
    ),
    (
        lambda: ChildSpec("a", TrioActor, registered_name=""),
        "ChildSpec.registered_name is ''",
        "not empty, or None",
    ),
]


@pytest.mark.parametrize(("make", "field", "allowed"), REFUSED)
def test_a_value_that_cannot_be_is_refused_with_its_field_and_what_is_allowed(
    make: Callable[[], object], field: str, allowed: str
) -> None:
    with pytest.raises(ValueError, match="allowed: ") as caught:
        make()
    assert field in str(caught.value)
    assert allowed in str(caught.value)


def test_the_defaults_are_otps() -> None:
    child = ChildSpec("a", TrioActor)
    assert (child.restart, child.significant) == (Restart.PERMANENT, False)
    assert (child.shutdown, TrioActor.shutdown_seconds) == (None, 5.0)  # None is that of the class
    assert Supervisor.shutdown_seconds is None  # for ever
    assert Intensity() == Intensity(max_restarts=1, period_seconds=5.0)
    assert Backoff().delay_seconds(7, chance=0.5) == 0


@pytest.mark.parametrize("shutdown", [0, 0.5, Shutdown.KILL, Shutdown.NO_LIMIT])
def test_a_child_may_have_no_time_some_or_all_to_end(shutdown: float | Shutdown) -> None:
    assert ChildSpec("a", TrioActor, shutdown=shutdown).shutdown == shutdown


def test_the_delay_grows_up_to_its_limit() -> None:
    backoff = Backoff(first_seconds=0.5, factor=2.0, limit_seconds=3.0)
    assert [backoff.delay_seconds(attempt, chance=0.9) for attempt in (1, 2, 3, 4, 5)] == [0.5, 1, 2, 3, 3]


@pytest.mark.parametrize(("first_seconds", "delay"), [(0.0, 0.0), (0.1, 30.0)])
def test_a_row_of_restarts_may_be_of_any_length(first_seconds: float, delay: float) -> None:
    assert Backoff(first_seconds).delay_seconds(1_000_000, chance=0.0) == delay


@given(
    attempt=st.integers(1, 50),
    chance=st.floats(0, 1),
    jitter=st.floats(0, 1),
    factor=st.floats(1, 10),
)
def test_jitter_takes_its_share_at_most_and_never_adds(
    attempt: int, chance: float, jitter: float, factor: float
) -> None:
    whole = Backoff(1.0, factor, 60.0).delay_seconds(attempt, chance)
    delay = Backoff(1.0, factor, 60.0, jitter).delay_seconds(attempt, chance)
    assert whole * (1 - jitter) - 1e-9 <= delay <= whole <= 60.0


def test_every_way_to_end_is_decided_for_every_restart_type() -> None:
    assert set(RESTARTED) == {(restart, ending) for restart in Restart for ending in Ending}
    assert set(AFFECTED) == set(Strategy)
