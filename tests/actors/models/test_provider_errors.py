"""What providers say when they refuse or fail, in their own words, and what becomes of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from actors.errors import EngineError, ErrorCode
from actors.models.http_errors import reported_error, status_error
from actors.models.retry_after import rate_limit_reset_seconds, retry_after_seconds

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def refusal(
    status: int, error: dict[str, Any], *, headers: dict[str, str] | None = None, key: str = "sk-1"
) -> EngineError:
    request = httpx.Request("POST", "http://model.test/v1/x", headers={"x-api-key": key} if key else {})
    response = httpx.Response(status, headers=headers, request=request)
    return status_error(response, json.dumps({"error": error}).encode(), NOW)


Told = tuple[int, str, str]
"""Status, the name of the error, the text for people."""

MEANINGS: dict[tuple[ErrorCode, str | None], list[Told]] = {
    (ErrorCode.FORBIDDEN, "wrong_key"): [
        (401, "invalid_api_key", "Incorrect API key provided"),
        (401, "authentication_error", "invalid x-api-key"),
    ],
    (ErrorCode.FORBIDDEN, None): [(403, "permission_error", "not with this key")],
    (ErrorCode.EXECUTOR_NOT_FOUND, "model"): [
        (404, "model_not_found", "The model `x` does not exist"),
        (403, "model_not_found", "Project does not have access"),
        (404, "not_found_error", "model: x"),
        (400, "invalid_request_error", "Model Not Exist"),
        (400, "invalid_model", "Invalid model: x"),
    ],
    (ErrorCode.CONTEXT_LIMIT, None): [
        (400, "context_length_exceeded", "too long"),
        (400, "", "This model's maximum context length is 8192 tokens."),
        (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
        (400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 188240 > 10"),
        (413, "request_too_large", "Request exceeds the maximum size"),
        (400, "INVALID_ARGUMENT", "The input token count (1200000) exceeds the maximum number of tokens"),
        (400, "", "Range of input length should be [1, 30720]"),
        (400, "", "This model's maximum prompt length is 131072 but the request contains 140000"),
        (500, "", "the request exceeds the available context size"),
    ],
    (ErrorCode.QUOTA_EXCEEDED, None): [
        (429, "rate_limit_exceeded", "slow down"),
        (429, "rate_limit_error", "slow down"),
        (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing."),
    ],
    (ErrorCode.FORBIDDEN, "insufficient_quota"): [
        (429, "insufficient_quota", "You exceeded your current quota, please check your billing details."),
        (429, "exceeded_current_quota_error", "Your account is suspended"),
        (402, "invalid_request_error", "Insufficient Balance"),
        (400, "invalid_request_error", "Your credit balance is too low to access the API"),
    ],
    (ErrorCode.EXECUTION_FAILED, "overloaded"): [
        (529, "overloaded_error", "Overloaded"),
        (503, "", "The engine is currently overloaded"),
    ],
    (ErrorCode.EXECUTION_FAILED, None): [(500, "server_error", "oh"), (502, "", "bad gateway")],
    (ErrorCode.INVALID_ARGUMENT, "content_filter"): [
        (400, "content_filter", "The response was filtered"),
        (400, "data_inspection_failed", "Input data may contain inappropriate content."),
    ],
    (ErrorCode.INVALID_ARGUMENT, None): [(400, "invalid_request_error", "bad temperature")],
    (ErrorCode.TIMEOUT, None): [(408, "", "late")],
}


@pytest.mark.parametrize(
    ("told", "code", "kind"),
    [(told, code, kind) for (code, kind), all_told in MEANINGS.items() for told in all_told],
)
@pytest.mark.parametrize("field", ["code", "type"])
def test_every_refusal_has_its_code_and_the_words_of_the_provider(
    told: Told, code: ErrorCode, kind: str | None, field: str
) -> None:
    status, name, message = told

    raised = refusal(status, {field: name, "message": message})

    assert (raised.code, raised.details.get("kind")) == (code, kind)
    assert raised.details["http_status"] == status
    assert message in raised.message


def test_a_url_that_is_not_there_is_told_from_a_model() -> None:
    no_url = refusal(404, {"message": "Invalid URL (POST /v1/x)"})
    no_model = refusal(404, {"message": "The model `x` does not exist"})

    assert no_url.message == (
        "http://model.test answered 404: Invalid URL (POST /v1/x) "
        "(is the base URL right, and does the server speak this wire?)"
    )
    assert no_model.message.endswith("does not exist")


def test_a_secret_of_the_url_that_a_server_quotes_is_not_shown() -> None:
    request = httpx.Request("POST", "http://bob:a-long-password@model.test/v1/x?key=a-long-secret&v=1")
    body = b'{"error": "no bob:a-long-password, nor /v1/x?key=a-long-secret"}'

    error = status_error(httpx.Response(403, request=request), body, NOW)

    assert error.message == "http://model.test answered 403: no bob:***, nor /v1/x?key=***"


def test_a_filter_that_names_itself_further_inside_is_found() -> None:
    inner = {"code": "ResponsibleAIPolicyViolation"}

    raised = refusal(400, {"code": None, "message": "filtered", "innererror": inner})

    assert (raised.code, raised.details["kind"]) == (ErrorCode.INVALID_ARGUMENT, "content_filter")


def test_a_key_that_is_missing_is_told_from_a_wrong_one() -> None:
    error = refusal(401, {"message": "unauthorized"}, key="")

    assert (error.code, error.details["kind"]) == (ErrorCode.FORBIDDEN, "missing_key")
    assert error.message.endswith("unauthorized (no API key was sent)")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"retry-after": "Tue, 01 Jan 2030 00:00:05 GMT"}, 5.0),
        ({"retry-after": "Mon, 31 Dec 2029 23:00:00 GMT"}, 0.0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_the_asked_for_pause_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_seconds(httpx.Headers(headers), NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        (
            {
                "x-ratelimit-reset-requests": "20ms",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "1h2m3.5s",
                "x-ratelimit-remaining-tokens": "100",
            },
            0.02,
        ),
        ({"x-ratelimit-reset": "12"}, 12.0),
        ({"x-ratelimit-reset": str(int(NOW.timestamp()) + 9)}, 9.0),
        ({"x-ratelimit-reset": str((int(NOW.timestamp()) + 9) * 1000)}, 9.0),
        ({"anthropic-ratelimit-input-tokens-reset": "2030-01-01T00:00:30Z"}, 30.0),
        ({"anthropic-ratelimit-input-tokens-reset": "2029-01-01T00:00:30Z"}, 0.0),
        ({"x-ratelimit-reset": "soon"}, None),
        ({"x-ratelimit-reset": "5 bananas"}, None),
        ({}, None),
    ],
)
def test_the_reset_of_a_limit_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert rate_limit_reset_seconds(httpx.Headers(headers), NOW) == pytest.approx(seconds)


def test_a_reset_counts_where_no_pause_was_asked_for_and_a_limit_was_met() -> None:
    headers = {"x-ratelimit-reset-requests": "2s"}
    limited = {"type": "rate_limit_error", "message": "slow"}

    assert refusal(429, limited, headers=headers).details["retry_after_seconds"] == 2.0
    asked = {**headers, "retry-after": "1"}
    assert refusal(429, limited, headers=asked).details["retry_after_seconds"] == 1.0
    assert "retry_after_seconds" not in refusal(500, {"message": "oh"}, headers=headers).details


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"type": "overloaded_error", "message": "no"}, 529),
        ({"code": 503, "message": "no"}, 503),
        ({"type": "api_error", "message": "no"}, None),
    ],
)
def test_an_error_inside_a_stream_has_a_status_where_it_stands_for_one(
    error: dict[str, Any], status: int | None
) -> None:
    assert reported_error(json.dumps({"error": error})).details.get("http_status") == status
