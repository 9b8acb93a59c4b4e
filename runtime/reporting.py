"""The one way to log from inside the runtime: what the host's logging raises stays here."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

import trio

__all__ = ["report"]

P = ParamSpec("P")


@trio.lowlevel.enable_ki_protection
def report(log: Callable[P, object], *args: P.args, **fields: P.kwargs) -> None:
    """Call `log(*args, **fields)`, a method of a logger, and never raise.

    The handlers, filters and processors of the host run in it, on values of users that may be impossible
    to print, and in places where an exception would end a system. May be called on any thread. Only a
    Ctrl-C that comes in on a thread without trio goes through: it is for whoever runs there.
    """
    try:
        log(*args, **fields)
    except KeyboardInterrupt:
        if not trio.lowlevel.in_trio_run():
            raise
    except BaseException:  # noqa: BLE001, S110 - there is nobody left to tell
        pass
