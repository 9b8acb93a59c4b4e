"""The edge where what HTTP stacks and providers report becomes an `EngineError`."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator
from datetime import datetime
from typing import cast

import httpx
import trio

from actors.errors import EngineError, ErrorCode
from actors.models.error_report import ErrorReport, shortened
from actors.models.retry_after import rate_limit_reset_seconds, retry_after_seconds

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

_SHORTEST_SECRET = 8  # shorter ones are dummies such as "ollama", which messages contain as words
_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE})
_SECRET_HEADERS = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)
_NO_SUCH_PATH = re.compile(r"\b(?:url|path|route|endpoint|not found|cannot post)\b", re.IGNORECASE)
_KEY_HEADERS = ("authorization", "api-key", "x-api-key", "x-goog-api-key")


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
    report = ErrorReport.read(body)
    meaning = report.meaning(status)
    kind = meaning.kind
    said = report.message or response.reason_phrase or "no reason given"
    details: dict[str, str | float] = {"http_status": status}
    if status == 401 and not _has_key(response):
        kind = "missing_key"
        said += " (no API key was sent)"
    elif status == 404 and _NO_SUCH_PATH.search(said) and "model" not in said.lower():
        said += " (is the base URL right, and does the server speak this wire?)"
    if kind:
        details["kind"] = kind
    pause = retry_after_seconds(response.headers, now)
    if pause is None and meaning.code is ErrorCode.QUOTA_EXCEEDED:
        pause = rate_limit_reset_seconds(response.headers, now)
    if pause is not None:
        details["retry_after_seconds"] = pause
    for secret in _url_secrets(response.url):
        said = said.replace(secret, "***")
    return EngineError(meaning.code, f"{endpoint} answered {status}: {said}", **details)


def reported_error(payload: str | bytes) -> EngineError:
    """The error that a provider reports inside a stream that began well."""
    report = ErrorReport.read(payload.encode() if isinstance(payload, str) else payload)
    meaning = report.meaning()
    details: dict[str, str | float] = {"kind": meaning.kind} if meaning.kind else {}
    status = report.stands_for_status()
    if status is not None:
        details["http_status"] = status
    said = report.message or "an error without a message"
    return EngineError(meaning.code, f"the provider reported: {said}", **details)


def without_secrets(error: EngineError, request_headers: httpx.Headers) -> EngineError:
    """The same error with every key of the request blotted out, for providers that quote it back."""
    message = error.message
    for header, value in request_headers.items():
        secret = value.rpartition(" ")[2]
        if _SECRET_HEADERS.search(header) and len(secret) >= _SHORTEST_SECRET:
            message = message.replace(secret, "***")
    return error if message == error.message else EngineError(error.code, message, **error.details)


def endpoint_of(url: httpx.URL) -> str:
    """Scheme, host and port: never the user info, path or query, which may hold secrets."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _url_secrets(url: httpx.URL) -> list[str]:
    """What servers should not be told in a URL, and some want to be."""
    told = [url.password, *url.params.values()]
    return [secret for secret in told if len(secret) >= _SHORTEST_SECRET]


def _has_key(response: httpx.Response) -> bool:
    return any(response.request.headers.get(name) for name in _KEY_HEADERS)


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
    return shortened(reasons[-1] if reasons else str(error) or type(error).__name__)


def _system_message(error: OSError) -> str:
    # The codes of name resolution and TLS are not errno values, and trio puts the address into `strerror`.
    if isinstance(error, socket.gaierror | ssl.SSLError):
        return error.strerror or str(error)
    return os.strerror(error.errno or 0)
