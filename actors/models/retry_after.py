"""Reads from an answer's headers how long to wait before the next request."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

__all__ = ["rate_limit_reset_seconds", "retry_after_seconds"]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd]?)")
_UNIT_SECONDS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST_DURATION = 10_000_000.0  # larger numbers are moments: seconds, or milliseconds, since 1970
_MILLISECOND_MOMENT = 100_000_000_000.0


def retry_after_seconds(headers: httpx.Headers, now: datetime) -> float | None:
    """What `Retry-After` (RFC 9110, 10.2.3) asks for, seconds or a date, or its finer `Retry-After-Ms`.

    None where neither is there or can be read.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return max(milliseconds / 1000, 0.0)
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    seconds = _number(value)
    if seconds is None:
        try:
            date = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return max(seconds, 0.0)


def rate_limit_reset_seconds(headers: httpx.Headers, now: datetime) -> float | None:
    """When the last of the limits that are used up begins anew, as `x-ratelimit-reset-*` and
    `anthropic-ratelimit-*-reset` tell it: a duration such as `6m0s`, seconds, or a moment.

    A limit of which something is left does not count.
    """
    waits: list[float] = []
    for name, value in headers.items():
        if "ratelimit" not in name or "reset" not in name:
            continue
        left = _number(headers.get(name.replace("reset", "remaining"), ""))
        seconds = _until(value.strip(), now)
        if seconds is not None and not (left is not None and left > 0):
            waits.append(seconds)
    return max(waits) if waits else None


def _until(value: str, now: datetime) -> float | None:
    number = _number(value)
    if number is None:
        return _duration(value) if value[:1].isdigit() and "-" not in value else _moment(value, now)
    if number < _LONGEST_DURATION:
        return max(number, 0.0)
    moment = number / 1000 if number >= _MILLISECOND_MOMENT else number
    return max(moment - now.timestamp(), 0.0)


def _duration(value: str) -> float | None:
    pieces = _DURATION.findall(value)
    if "".join(number + unit for number, unit in pieces) != value:
        return None
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in pieces)
    return seconds if math.isfinite(seconds) else None


def _moment(value: str, now: datetime) -> float | None:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds(), 0.0)


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
