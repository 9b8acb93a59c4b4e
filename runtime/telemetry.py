"""Logging that a host can switch on, and that says nothing until then."""

from __future__ import annotations

import logging

import structlog

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
            structlog.stdlib.render_to_log_kwargs,
        ],
        cache_logger_on_first_use=True,
    )
    return logger
