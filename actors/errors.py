"""The one error type of the engine: what went wrong, who can help, is a retry worth it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

__all__ = ["EngineError", "ErrorCode", "ErrorInfo"]


class ErrorCode(StrEnum):
    """Every code that an `EngineError` can carry.

    The first eleven are what a turn can end with, the rest what a command can be refused with.
    """

    NETWORK_ERROR = "NETWORK_ERROR"
    TIMEOUT = "TIMEOUT"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    SESSION_BUSY = "SESSION_BUSY"
    SESSION_INVALID = "SESSION_INVALID"
    EXECUTION_FAILED = "EXECUTION_FAILED"
    EXECUTOR_NOT_FOUND = "EXECUTOR_NOT_FOUND"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    CONTEXT_LIMIT = "CONTEXT_LIMIT"
    ABORTED = "ABORTED"
    UNKNOWN = "UNKNOWN"

    QUEUE_FULL = "QUEUE_FULL"
    SESSION_MISMATCH = "SESSION_MISMATCH"
    CONFLICT = "CONFLICT"
    FORBIDDEN = "FORBIDDEN"
    INVALID_ARGUMENT = "INVALID_ARGUMENT"
    PERSISTENCE_FAILED = "PERSISTENCE_FAILED"

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later without a change by the caller."""
        return self in _RETRYABLE


_RETRYABLE = frozenset(
    {
        ErrorCode.NETWORK_ERROR,
        ErrorCode.TIMEOUT,
        ErrorCode.EXECUTION_FAILED,
        ErrorCode.QUOTA_EXCEEDED,
        ErrorCode.UNKNOWN,
        ErrorCode.QUEUE_FULL,
        ErrorCode.PERSISTENCE_FAILED,
    }
)


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as data: what messages carry and stores keep. `details` holds plain JSON values."""

    code: ErrorCode
    message: str
    details: dict[str, str | int | float] = {}

    @property
    def retryable(self) -> bool:
        return self.code.retryable

    def to_exception(self) -> EngineError:
        return EngineError(self.code, self.message, **self.details)


class EngineError(Exception):
    """Raised to callers of the engine.

    `code` is for programs, `str(error)` for people, `retryable` says whether the same call may succeed
    later, `details` names the things involved (for example `retry_after_seconds`, `http_status`).
    """

    def __init__(self, code: ErrorCode, message: str, **details: str | float) -> None:
        super().__init__(message)
        self.info = ErrorInfo(code=code, message=message, details=details)

    @property
    def code(self) -> ErrorCode:
        return self.info.code

    @property
    def message(self) -> str:
        return self.info.message

    @property
    def retryable(self) -> bool:
        return self.info.retryable

    @property
    def details(self) -> dict[str, str | int | float]:
        return self.info.details

    def __reduce__(self) -> tuple[Any, ...]:
        return (self.info.to_exception, ())
