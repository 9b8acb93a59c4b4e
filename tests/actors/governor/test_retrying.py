"""Which failures are worth another try, and after which pause."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.governor import CircuitPolicy, RetryPolicy
from actors.governor.retrying import Blame, blame_of, retry_after_of
from tests.actors.governor.errors import BUSY, DOWN, TOO_LONG, throttled

SILENCE = ErrorInfo(ErrorCode.TIMEOUT, "nothing for 60 s")
BROKEN = ErrorInfo(ErrorCode.EXECUTION_FAILED, "the model raised ValueError")
REFUSED = ErrorInfo(ErrorCode.FORBIDDEN, "wrong key", {"http_status": 401})
OVERLOADED = ErrorInfo(ErrorCode.EXECUTION_FAILED, "overloaded", {"http_status": 529})
BUSY_FOR = ErrorInfo(ErrorCode.EXECUTION_FAILED, "busy", {"http_status": 503, "retry_after_seconds": 2})


@pytest.mark.parametrize(
    ("error", "blame"),
    [
        (throttled(), Blame.THROTTLED),
        (OVERLOADED, Blame.THROTTLED),
        (BUSY_FOR, Blame.THROTTLED),
        (BUSY, Blame.FAILING),
        (DOWN, Blame.FAILING),
        (SILENCE, Blame.FAILING),
        (TOO_LONG, Blame.CALL),
        (REFUSED, Blame.CALL),
        (BROKEN, Blame.CALL),
    ],
)
def test_the_code_and_the_status_say_who_is_to_blame(error: ErrorInfo, blame: Blame) -> None:
    assert blame_of(error) is blame


@pytest.mark.parametrize(
    ("said", "seconds"), [(3, 3.0), (0.5, 0.5), (-1, 0.0), ("soon", None), (math.inf, None)]
)
def test_what_is_no_time_is_not_waited_for(said: float | str, seconds: float | None) -> None:
    error = ErrorInfo(ErrorCode.QUOTA_EXCEEDED, "rate limit", {"retry_after_seconds": said})
    assert retry_after_of(error) == seconds


@given(
    failures=st.integers(1, 10_000),
    chance=st.floats(0, 1),
    asked=st.none() | st.floats(0, 3600),
)
def test_a_pause_is_never_shorter_than_asked_and_chance_only_adds_to_it(
    failures: int, chance: float, asked: float | None
) -> None:
    policy = RetryPolicy(base_seconds=0.5, max_seconds=30)
    step = min(0.5 * 2.0 ** min(failures - 1, 100), 30)
    least = step if asked is None else asked

    pause = policy.pause_seconds(failures, chance, asked)

    assert least <= pause <= least + step


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (lambda: RetryPolicy(max_attempts=0), "max_attempts"),
        (lambda: RetryPolicy(base_seconds=-1), "base_seconds"),
        (lambda: RetryPolicy(max_elapsed_seconds=math.nan), "max_elapsed_seconds"),
        (lambda: CircuitPolicy(failures=0), "failures"),
        (lambda: CircuitPolicy(open_seconds=-1), "open_seconds"),
    ],
)
def test_a_field_out_of_range_is_named(wrong: object, name: str) -> None:
    assert callable(wrong)
    with pytest.raises(EngineError, match=rf"^{name} must be at least") as caught:
        wrong()
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
