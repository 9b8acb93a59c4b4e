"""The edge where what HTTP stacks and providers report becomes an `EngineError`."""

from __future__ import annotations

import errno
import math
import os
import re
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

import httpx
import msgspec
import trio

from actors.errors import EngineError, ErrorCode

__all__ = [
    "FOREIGN_ERRORS",
    "endpoint_of",
    "foreign_error",
    "reported_error",
    "status_error",
    "without_secrets",
]

FOREIGN_ERRORS = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    OSError,
    UnicodeError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)
"""What an endpoint or the network can make a request raise. Never a cancellation."""

_QUOTE_LIMIT = 300
_SHORTEST_SECRET = 8  # shorter ones are dummies such as "ollama", which messages contain as words
_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_SECRET_HEADERS = ("authorization", "api-key", "x-api-key", "x-goog-api-key")

_CONTEXT_EXCEEDED = re.compile(
    r"context[_ ](?:length|window|size)|exceed_context_size|maximum prompt length|prompt is too long"
    r"|input is too long|reduce the length of the (?:messages|prompt)|too many (?:input )?tokens",
    re.IGNORECASE,
)
_QUOTA_MARKS = re.compile(r"rate_?limit|quota|too_many_requests|resource_exhausted", re.IGNORECASE)
_FORBIDDEN_MARKS = re.compile(r"invalid_api_key|authentication|permission|unauthorized", re.IGNORECASE)

_CODES = {
    401: ErrorCode.FORBIDDEN,
    402: ErrorCode.FORBIDDEN,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.EXECUTOR_NOT_FOUND,
    408: ErrorCode.TIMEOUT,
    429: ErrorCode.QUOTA_EXCEEDED,
}
_CONTEXT_STATUSES = frozenset({400, 413, 422})


def foreign_error(error: Exception, url: httpx.URL, timeout: httpx.Timeout) -> EngineError:
    """Say in the engine's words what `error`, one of `FOREIGN_ERRORS`, did to a request to `url`."""
    endpoint = endpoint_of(url)
    match error:
        case _ if _is_out_of_files(error):
            return EngineError(ErrorCode.NETWORK_ERROR, _out_of_files(endpoint))
        case httpx.ConnectTimeout():
            return EngineError(
                ErrorCode.TIMEOUT,
                f"cannot reach {endpoint}: no connection within {timeout.connect:g} seconds",
            )
        case httpx.TimeoutException():
            return EngineError(ErrorCode.TIMEOUT, f"{endpoint} was silent for {timeout.read:g} seconds")
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | UnicodeError():
            return EngineError(ErrorCode.INVALID_ARGUMENT, f"{endpoint} is not a usable URL: {error}")
        case httpx.LocalProtocolError():
            # The original quotes the offending header, which may be the one with the key.
            return EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"the request to {endpoint} cannot be written as HTTP; is there a line end in the API key?",
            )
        case httpx.DecodingError():
            return EngineError(
                ErrorCode.EXECUTION_FAILED, f"{endpoint} sent a body that its content encoding does not fit"
            )
        case httpx.ConnectError():
            return EngineError(ErrorCode.NETWORK_ERROR, f"cannot reach {endpoint}: {_reason(error)}")
        case httpx.ProxyError():
            return EngineError(
                ErrorCode.NETWORK_ERROR, f"cannot reach {endpoint} through the proxy: {_reason(error)}"
            )
        case _:
            return EngineError(
                ErrorCode.NETWORK_ERROR, f"the connection to {endpoint} broke: {_reason(error)}"
            )


def status_error(response: httpx.Response, body: bytes, now: datetime) -> EngineError:
    """The error that an HTTP status other than 2xx stands for; `body` may be cut off."""
    status = response.status_code
    endpoint = endpoint_of(response.url)
    if response.has_redirect_location:
        target = response.url.join(response.headers["location"])
        return EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"{endpoint} redirects to {endpoint_of(target)}{target.path}: use the new address as base URL",
            http_status=status,
        )
    report = _Report.read(body)
    details: dict[str, str | float] = {"http_status": status}
    if status == 404:
        details["kind"] = "model"
    pause = retry_after_seconds(response.headers, now)
    if pause is not None:
        details["retry_after_seconds"] = pause
    said = report.message or _describe(response)
    return EngineError(_code(status, report), f"{endpoint} answered {status}: {said}", **details)


def reported_error(payload: str | bytes) -> EngineError:
    """The error that a provider reports inside a stream that began well."""
    report = _Report.read(payload.encode() if isinstance(payload, str) else payload)
    said = report.message or "an error without a message"
    if report.status is not None:
        code = _code(report.status, report)
        return EngineError(code, f"the provider reported: {said}", http_status=report.status)
    return EngineError(_code(None, report), f"the provider reported: {said}")


def without_secrets(error: EngineError, request_headers: httpx.Headers) -> EngineError:
    """The same error with every key of the request blotted out, for providers that quote it back."""
    message = error.message
    for header in _SECRET_HEADERS:
        secret = request_headers.get(header, "").rpartition(" ")[2]
        if len(secret) >= _SHORTEST_SECRET:
            message = message.replace(secret, "***")
    return error if message == error.message else EngineError(error.code, message, **error.details)


def endpoint_of(url: httpx.URL) -> str:
    """Scheme, host and port: never the user info, path or query, which may hold secrets."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def retry_after_seconds(headers: httpx.Headers, now: datetime) -> float | None:
    """What `Retry-After` (RFC 9110, 10.2.3) asks for: seconds or a date; None where it is not readable."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return max(seconds, 0.0) if math.isfinite(seconds) else None


class _Report(msgspec.Struct, frozen=True):
    """What is worth knowing of an error body, in whichever of the usual shapes it came."""

    message: str = ""
    marks: str = ""
    status: int | None = None

    @classmethod
    def read(cls, body: bytes) -> _Report:
        try:
            found: object = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            text = body.decode("utf-8", "replace")
            # A page of markup says nothing that helps in one line.
            return cls() if text.lstrip().startswith("<") else cls(message=_shorten(text))
        message = _message(found)
        fields = _fields(found)
        marks = " ".join(str(fields[name]) for name in ("code", "type", "status") if fields.get(name))
        status = next(
            (fields[name] for name in ("code", "status") if _is_error_status(fields.get(name))), None
        )
        return cls(_shorten(message), marks, status)


def _fields(found: object) -> dict[str, Any]:
    """The object that holds the error's fields: the one under `error` if there is one."""
    if isinstance(found, list) and found:
        return _fields(cast("list[object]", found)[0])
    if not isinstance(found, dict):
        return {}
    fields = cast("dict[str, Any]", found)
    return _fields(fields["error"]) if isinstance(fields.get("error"), dict) else fields


def _message(found: object) -> str:
    """The text for people; of validation errors only `msg`, because `input` quotes the request."""
    if isinstance(found, str):
        return found
    if isinstance(found, list):
        return "; ".join(filter(None, map(_message, cast("list[object]", found))))
    if isinstance(found, dict):
        fields = cast("dict[str, object]", found)
        for name in ("error", "message", "detail", "msg"):
            if text := _message(fields.get(name)):
                return text
    return ""


def _is_error_status(value: object) -> bool:
    return isinstance(value, int) and 400 <= value <= 599


def _code(status: int | None, report: _Report) -> ErrorCode:
    about = f"{report.marks} {report.message}"
    if status in _CODES:
        return _CODES[status]
    if (status is None or status in _CONTEXT_STATUSES) and _CONTEXT_EXCEEDED.search(about):
        return ErrorCode.CONTEXT_LIMIT
    if status is None:
        if _QUOTA_MARKS.search(report.marks):
            return ErrorCode.QUOTA_EXCEEDED
        if _FORBIDDEN_MARKS.search(report.marks):
            return ErrorCode.FORBIDDEN
        return ErrorCode.EXECUTION_FAILED
    return ErrorCode.INVALID_ARGUMENT if status < 500 else ErrorCode.EXECUTION_FAILED


def _describe(response: httpx.Response) -> str:
    return response.reason_phrase or "no reason given"


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _QUOTE_LIMIT else line[: _QUOTE_LIMIT - 3] + "..."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, through causes, contexts and groups.

    httpcore re-raises `from None`, so that the context is often the only link to the `OSError`. Stops at
    an `EngineError`: that is an earlier failure, in whose handler this request was made.
    """
    pending = [error]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        if id(current) in seen or isinstance(current, EngineError):
            continue
        seen.add(id(current))
        yield current
        if isinstance(current, BaseExceptionGroup):
            pending += cast("BaseExceptionGroup[BaseException]", current).exceptions
        pending += [link for link in (current.__cause__, current.__context__) if link is not None]


def _is_out_of_files(error: Exception) -> bool:
    return any(isinstance(link, OSError) and link.errno in _OUT_OF_FILES for link in _chain(error))


def _out_of_files(endpoint: str) -> str:
    import resource  # noqa: PLC0415 - there is none on Windows, where this error does not occur either

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        f"cannot reach {endpoint}: too many open files (this process may have {soft}, at most {hard}); "
        f"raise it with `ulimit -n` or run fewer sessions at once"
    )


def _reason(error: Exception) -> str:
    """The words of the operating system or the TLS library where there are any: they are the shortest."""
    reasons = [_system_message(link) for link in _chain(error) if isinstance(link, OSError) and link.errno]
    return _shorten(reasons[-1] if reasons else str(error) or type(error).__name__)


def _system_message(error: OSError) -> str:
    # The codes of name resolution and TLS are not errno values, and trio puts the address into `strerror`.
    if isinstance(error, socket.gaierror | ssl.SSLError):
        return error.strerror or str(error)
    return os.strerror(error.errno or 0)
