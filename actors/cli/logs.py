"""The log of a command: silent by default, structured, on standard error."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

__all__ = ["configure_logging"]

_STRANGERS = ("mcp", "client", "httpx2")
"""The loggers of the MCP SDK. Without a handler, what they warn of would go to standard error."""

_LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


def configure_logging(*, verbosity: int, log_format: Literal["console", "json"]) -> None:
    """Show the log from INFO on with verbosity 1, from DEBUG with 2; with 0, nothing at all."""
    for name in _STRANGERS:
        logging.getLogger(name).addHandler(logging.NullHandler())
    if verbosity == 0:
        return
    renderer: structlog.typing.Processor
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        # The default shows the variables of each frame, message texts and keys among them.
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_logger_name,
                structlog.stdlib.add_log_level,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([structlog.processors.format_exc_info] if log_format == "json" else []),
                renderer,
            ],
        )
    )
    level = _LEVELS[min(verbosity, len(_LEVELS) - 1)]
    for name in ("greenroom", "pykka"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)
