"""Logging that a host can switch on, and that says nothing until then."""

from __future__ import annotations

import logging

import structlog
from structlog.typing import EventDict, WrappedLogger

__all__ = ["get_logger"]

logging.getLogger("greenroom").addHandler(logging.NullHandler())


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A structlog logger over the standard logger `greenroom.NAME`.

    It does not depend on structlog's global configuration, which belongs to the host: events and their
    fields arrive in standard logging as message and `extra`, context variables included.
    """
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(f"greenroom.{name}"),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            _leave_record_fields_alone,
            structlog.stdlib.render_to_log_kwargs,
        ],
        cache_logger_on_first_use=True,
    )
    return logger


# Those two are arguments of the logging call, and go to their places in the record.
_RECORD_FIELDS = {*vars(logging.makeLogRecord({})), "message", "asctime"} - {"exc_info", "stack_info"}


def _leave_record_fields_alone(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Rename what standard logging refuses in `extra`: a host may have bound `name` or `args`."""
    return {f"{key}_" if key in _RECORD_FIELDS else key: value for key, value in event.items()}
