"""What connections fail with."""

from __future__ import annotations

from actors.errors import ErrorCode, ErrorInfo

__all__ = ["BUSY", "DOWN", "TOO_LONG", "throttled"]

DOWN = ErrorInfo(ErrorCode.NETWORK_ERROR, "cannot reach http://127.0.0.1:9: Connection refused")
BUSY = ErrorInfo(ErrorCode.EXECUTION_FAILED, "answered 503", {"http_status": 503})
TOO_LONG = ErrorInfo(ErrorCode.CONTEXT_LIMIT, "too long", {"http_status": 400})


def throttled(retry_after_seconds: float | None = None) -> ErrorInfo:
    details: dict[str, str | int | float] = {"http_status": 429}
    if retry_after_seconds is not None:
        details["retry_after_seconds"] = retry_after_seconds
    return ErrorInfo(ErrorCode.QUOTA_EXCEEDED, "rate limit", details)
