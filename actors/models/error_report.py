"""What a provider says of its own failure, in whichever of the usual shapes, and what that means."""

from __future__ import annotations

import re
from typing import Any, NamedTuple, cast

import msgspec

from actors.errors import ErrorCode

__all__ = ["ErrorReport", "Meaning", "shortened"]

_QUOTE_LIMIT = 300


class Meaning(NamedTuple):
    """`kind` tells apart what shares a code, for `details`; empty: nothing more is to say."""

    code: ErrorCode
    kind: str = ""


_NO_MODEL = Meaning(ErrorCode.EXECUTOR_NOT_FOUND, "model")
_NO_MONEY = Meaning(ErrorCode.FORBIDDEN, "insufficient_quota")
_FILTERED = Meaning(ErrorCode.INVALID_ARGUMENT, "content_filter")
_TOO_LONG = Meaning(ErrorCode.CONTEXT_LIMIT)
_OVERLOADED = Meaning(ErrorCode.EXECUTION_FAILED, "overloaded")

_CONTEXT_EXCEEDED = re.compile(
    r"context[_ ](?:length|window|size|limit)|exceed_context_size|maximum prompt length"
    r"|prompt (?:is )?too long|input is too long|reduce the length of the (?:messages|prompt)"
    r"|too many (?:input )?tokens|input token count|range of input length|request_too_large"
    r"|string_above_max_length",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"content_filter|content_policy_violation|responsibleaipolicyviolation|data_inspection_failed"
    r"|content management policy",
    re.IGNORECASE,
)
_UNKNOWN_MODEL = re.compile(
    r"model_not_found|invalid_model|unknown_model|model not exist|model_not_available"
    r"|\bmodel\b.{1,200}does not exist",
    re.IGNORECASE,
)
_MONEY = re.compile(
    r"insufficient_(?:quota|balance|credits|user_quota)|exceeded_current_quota|billing|credit balance"
    r"|insufficient balance",
    re.IGNORECASE,
)
_QUOTA_MARKS = re.compile(r"rate_?limit|quota|too_many_requests|resource_exhausted", re.IGNORECASE)
_OVERLOAD_MARKS = re.compile(r"overloaded|slow_down|unavailable|at_capacity", re.IGNORECASE)
_FORBIDDEN_MARKS = re.compile(r"invalid_api_key|authentication|permission|unauthorized", re.IGNORECASE)
_NOT_FOUND_MARKS = re.compile(r"not_found_error", re.IGNORECASE)
_TIMEOUT_MARKS = re.compile(r"timeout", re.IGNORECASE)
_INVALID_MARKS = re.compile(r"invalid_request|invalid_prompt|invalid_argument|bad_?request", re.IGNORECASE)

_BY_STATUS = {
    401: Meaning(ErrorCode.FORBIDDEN, "wrong_key"),
    402: _NO_MONEY,
    403: Meaning(ErrorCode.FORBIDDEN),
    404: _NO_MODEL,
    408: Meaning(ErrorCode.TIMEOUT),
    429: Meaning(ErrorCode.QUOTA_EXCEEDED),
    503: _OVERLOADED,
    529: _OVERLOADED,
}
_BY_MARKS = (
    (_QUOTA_MARKS, Meaning(ErrorCode.QUOTA_EXCEEDED)),
    (_OVERLOAD_MARKS, _OVERLOADED),
    (_FORBIDDEN_MARKS, Meaning(ErrorCode.FORBIDDEN)),
    (_NOT_FOUND_MARKS, _NO_MODEL),
    (_TIMEOUT_MARKS, Meaning(ErrorCode.TIMEOUT)),
    (_INVALID_MARKS, Meaning(ErrorCode.INVALID_ARGUMENT)),
)
_OVERLOADED_STATUS = 529  # what Anthropic answers where it can still choose a status
# A conversation that is too long is refused with any of these.
_CONTEXT_STATUSES = frozenset({None, 400, 413, 422, 500})


class ErrorReport(msgspec.Struct, frozen=True):
    """What is worth knowing of a report: the text for people, the names of the error, a status in it."""

    message: str = ""
    marks: str = ""
    status: int | None = None

    @classmethod
    def read(cls, body: bytes) -> ErrorReport:
        try:
            found: object = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            text = body.decode("utf-8", "replace")
            # A page of markup says nothing that helps in one line.
            return cls() if text.lstrip().startswith("<") else cls(message=shortened(text))
        fields = _fields(found)
        names = [fields.get(name) for name in ("code", "type", "status")]
        inner = fields.get("innererror")
        if isinstance(inner, dict):  # Azure says there which of its filters it was
            names.append(cast("dict[str, object]", inner).get("code"))
        marks = " ".join(str(name) for name in names if name)
        status = next(
            (fields[name] for name in ("code", "status") if _is_error_status(fields.get(name))), None
        )
        return cls(shortened(_message(found)), marks, status)

    def meaning(self, status: int | None = None) -> Meaning:
        """What the error is; `status` is that of HTTP, None inside a stream that began well.

        - No more money, whatever the status: `FORBIDDEN`, `insufficient_quota`, since waiting helps nobody.
        - A limit of requests or tokens per time: `QUOTA_EXCEEDED`.
        - Overload, 503 and 529: `EXECUTION_FAILED`, `overloaded`; a retry may succeed, as after any 5xx.
        - A filter on what was asked: `INVALID_ARGUMENT`, `content_filter`.
        """
        status = self.status if status is None else status
        about = f"{self.marks} {self.message}"
        if status in {None, 400, 402, 403, 429} and self._means_money():
            return _NO_MONEY
        if status in {None, 400, 403} and _FILTER.search(about):
            return _FILTERED
        if status in {None, 400, 403, 422} and _UNKNOWN_MODEL.search(about):
            return _NO_MODEL
        if status in _BY_STATUS:
            return _BY_STATUS[status]
        if status in _CONTEXT_STATUSES and _CONTEXT_EXCEEDED.search(about):
            return _TOO_LONG
        if status is not None:
            code = ErrorCode.INVALID_ARGUMENT if status < 500 else ErrorCode.EXECUTION_FAILED
            return Meaning(code)
        for pattern, meaning in _BY_MARKS:
            if pattern.search(self.marks):
                return meaning
        return Meaning(ErrorCode.EXECUTION_FAILED)

    def stands_for_status(self) -> int | None:
        """The status that HTTP would have had without the stream, for those who count failures."""
        if self.status is not None:
            return self.status
        return _OVERLOADED_STATUS if self.meaning() is _OVERLOADED else None

    def _means_money(self) -> bool:
        # The bare words are not enough: Google tells of limits per minute in the words of a bill.
        return bool(
            _MONEY.search(self.marks)
            or re.match(r"(?i)your credit balance|insufficient balance", self.message)
        )


def shortened(text: str) -> str:
    """In one line, and not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _QUOTE_LIMIT else line[: _QUOTE_LIMIT - 3] + "..."


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
