"""The log of the library: silent for a host that does not ask for it, and harmless to it."""

from __future__ import annotations

import logging

import pytest
import structlog

from runtime import get_logger


def test_fields_and_context_variables_reach_standard_logging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), structlog.contextvars.bound_contextvars(tenant="a"):
        get_logger("test").info("something happened", session_id="s")

    (record,) = caplog.records
    assert record.name == "greenroom.test"
    assert record.getMessage() == "something happened"
    assert (record.__dict__["session_id"], record.__dict__["tenant"]) == ("s", "a")


@pytest.mark.parametrize("field", ["name", "args", "module", "process", "message", "asctime"])
def test_a_context_variable_that_is_called_like_a_field_of_records_is_renamed(
    caplog: pytest.LogCaptureFixture, field: str
) -> None:
    with caplog.at_level(logging.INFO), structlog.contextvars.bound_contextvars(**{field: "mine"}):
        get_logger("test").info("something happened")

    (record,) = caplog.records
    assert record.__dict__[f"{field}_"] == "mine"


def test_an_exception_stays_with_its_record(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("x")
    except ValueError:
        with caplog.at_level(logging.INFO):
            get_logger("test").exception("it failed")

    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is ValueError
