"""What a program with a user does about an error: say something, try again, or neither."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from actors.errors import EngineError, ErrorCode

__all__ = ["RetryPolicy", "UserAction", "retry_policy"]


class UserAction(StrEnum):
    """What helps."""

    NOTHING = "nothing"
    WAIT = "wait"  # until what is under way has ended
    TRY_AGAIN = "try_again"
    NEW_CHAT = "new_chat"
    CHANGE = "change"  # something in the request, the settings or the file


class RetryPolicy(msgspec.Struct, frozen=True):
    """`notice` is what to show, None to stay silent.

    `retry_after_seconds` is how long to wait before the same call is made again by itself, None to leave
    that to the user.
    """

    action: UserAction
    notice: str | None
    retry_after_seconds: float | None = None


_QUOTA_SECONDS = 5.0

_POLICIES: dict[ErrorCode, RetryPolicy] = {
    ErrorCode.NETWORK_ERROR: RetryPolicy(
        UserAction.TRY_AGAIN, "The connection failed. Check the network, then try again."
    ),
    ErrorCode.TIMEOUT: RetryPolicy(UserAction.TRY_AGAIN, "The model took too long. Try again."),
    ErrorCode.SESSION_NOT_FOUND: RetryPolicy(UserAction.CHANGE, "This chat does not exist any more."),
    ErrorCode.SESSION_BUSY: RetryPolicy(
        UserAction.WAIT, "An answer is still on its way. Wait for it, or stop it."
    ),
    ErrorCode.SESSION_INVALID: RetryPolicy(UserAction.CHANGE, "This chat cannot be used as it is."),
    ErrorCode.EXECUTION_FAILED: RetryPolicy(UserAction.TRY_AGAIN, "The answer failed. Try again."),
    ErrorCode.EXECUTOR_NOT_FOUND: RetryPolicy(
        UserAction.CHANGE, "There is no such agent. Choose another one."
    ),
    ErrorCode.QUOTA_EXCEEDED: RetryPolicy(
        UserAction.NOTHING, "Too many requests. Trying again shortly.", _QUOTA_SECONDS
    ),
    ErrorCode.CONTEXT_LIMIT: RetryPolicy(
        UserAction.NEW_CHAT, "This chat is too long for the model. Start a new one."
    ),
    ErrorCode.ABORTED: RetryPolicy(UserAction.NOTHING, None),
    ErrorCode.UNKNOWN: RetryPolicy(UserAction.TRY_AGAIN, "Something went wrong. Try again."),
    ErrorCode.QUEUE_FULL: RetryPolicy(UserAction.WAIT, "Too many chats are waiting. Try again later."),
    ErrorCode.SESSION_MISMATCH: RetryPolicy(
        UserAction.CHANGE, "This file holds another chat now. Open it again."
    ),
    ErrorCode.CONFLICT: RetryPolicy(
        UserAction.CHANGE, "Somebody else has changed this chat. Look at it, then repeat your change."
    ),
    ErrorCode.FORBIDDEN: RetryPolicy(UserAction.CHANGE, "You may not do this."),
    ErrorCode.INVALID_ARGUMENT: RetryPolicy(UserAction.CHANGE, "This cannot be done as it was asked for."),
    ErrorCode.PERSISTENCE_FAILED: RetryPolicy(
        UserAction.TRY_AGAIN, "The chat could not be stored. Free some space, then try again."
    ),
}


def retry_policy(error: EngineError) -> RetryPolicy:
    """The policy for an error; the time that a provider has asked for replaces the table's."""
    policy = _POLICIES[error.code]
    asked = error.details.get("retry_after_seconds")
    if policy.retry_after_seconds is None or not isinstance(asked, int | float):
        return policy
    return msgspec.structs.replace(policy, retry_after_seconds=max(0.0, float(asked)))
