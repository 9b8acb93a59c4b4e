"""What a caller does about each error."""

from __future__ import annotations

import pytest

from actors.caller_policy import UserAction, retry_policy
from actors.errors import EngineError, ErrorCode


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_has_a_policy_and_only_an_abort_is_silent(code: ErrorCode) -> None:
    policy = retry_policy(EngineError(code, "why"))

    assert (policy.notice is None) is (code is ErrorCode.ABORTED)
    if policy.retry_after_seconds is not None or policy.action is UserAction.TRY_AGAIN:
        assert code.retryable


@pytest.mark.parametrize(
    ("code", "action", "seconds"),
    [
        (ErrorCode.SESSION_BUSY, UserAction.WAIT, None),
        (ErrorCode.QUOTA_EXCEEDED, UserAction.NOTHING, 5.0),
        (ErrorCode.CONTEXT_LIMIT, UserAction.NEW_CHAT, None),
        (ErrorCode.NETWORK_ERROR, UserAction.TRY_AGAIN, None),
        (ErrorCode.ABORTED, UserAction.NOTHING, None),
    ],
)
def test_the_policies_that_callers_count_on(
    code: ErrorCode, action: UserAction, seconds: float | None
) -> None:
    policy = retry_policy(EngineError(code, "why"))

    assert (policy.action, policy.retry_after_seconds) == (action, seconds)


@pytest.mark.parametrize(("asked", "waits"), [(30, 30.0), (0.5, 0.5), (-1, 0.0), ("soon", 5.0)])
def test_a_provider_that_says_when_to_come_back_is_heeded(asked: str | float, waits: float) -> None:
    error = EngineError(ErrorCode.QUOTA_EXCEEDED, "slow down", retry_after_seconds=asked)

    assert retry_policy(error).retry_after_seconds == waits


def test_a_policy_that_does_not_retry_by_itself_is_not_made_to() -> None:
    error = EngineError(ErrorCode.NETWORK_ERROR, "gone", retry_after_seconds=3)

    assert retry_policy(error).retry_after_seconds is None
