"""Logging that a host can switch on, and that says nothing until then."""

from __future__ import annotations

import logging

import structlog
from structlog.typing import EventDict, WrappedLogger

from runtime.owner import current_owner

__all__ = ["add_actor", "get_logger"]

logging.getLogger("greenroom").addHandler(logging.NullHandler())


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A structlog logger over the standard logger `greenroom.NAME`.

    It does not depend on structlog's global configuration, which belongs to the host: events and their
    fields arrive in standard logging as message and `extra`, context variables included, and those of
    `add_actor`.
    """
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(f"greenroom.{name}"),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            add_actor,
            _leave_record_fields_alone,
            structlog.stdlib.render_to_log_kwargs,
        ],
        cache_logger_on_first_use=True,
    )
    return logger


def add_actor(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A structlog processor: says which actor logs, and while it works on which type of message.

    In handlers, hooks, child tasks and the threads that these start, it adds `actor`, its name or else its
    class and urn, and `message_type`. A child task belongs to the message that it was spawned for; a hook
    has none. What an event already says is left as it is. `get_logger` has it built in; for loggers of
    your own put it into `structlog.configure(processors=[...])`, before the renderer.
    """
    owner = current_owner()
    cell = None if owner is None else owner.cell
    if owner is not None and cell is not None:
        event.setdefault("actor", cell.belongings.name or str(cell))
        if owner.message_type is not None:
            event.setdefault("message_type", owner.message_type.__name__)
    return event


# Those two are arguments of the logging call, and go to their places in the record.
_RECORD_FIELDS = {*vars(logging.makeLogRecord({})), "message", "asctime"} - {"exc_info", "stack_info"}


def _leave_record_fields_alone(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Rename what standard logging refuses in `extra`: a host may have bound `name` or `args`."""
    return {f"{key}_" if key in _RECORD_FIELDS else key: value for key, value in event.items()}
