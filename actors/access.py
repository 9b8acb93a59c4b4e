"""Who may do what: one question, asked before any effect of a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from actors.errors import ErrorCode, ErrorInfo
from runtime import get_logger

__all__ = ["LOCAL", "AccessRequest", "Authorize", "allow_local", "forbidden"]

_log = get_logger("access")

LOCAL = "local"
"""The principal of a program that embeds the engine and knows no others."""


class AccessRequest(msgspec.Struct, frozen=True, kw_only=True):
    """May `principal` do this?

    `action` is the name of the command's class. A command that is about no session, or about one that
    nobody knows yet, has neither session nor owner.
    """

    principal: str
    action: str
    session_id: str | None = None
    owner_id: str | None = None
    project_id: str | None = None


Authorize: TypeAlias = Callable[[AccessRequest], bool]
"""Answers at once, without blocking; called on the scheduler's thread. If it raises, that is logged: no."""


def allow_local(request: AccessRequest) -> bool:
    """Let the local principal do everything, and nobody else anything."""
    return request.principal == LOCAL


def forbidden(authorize: Authorize, request: AccessRequest) -> ErrorInfo | None:
    """`FORBIDDEN`, naming who may not do what; None if it may be done."""
    try:
        allowed = authorize(request)
    except KeyboardInterrupt:  # of who runs the program, at any moment
        raise
    except BaseException:  # noqa: BLE001 - a hook that fails has not said yes, nor may it end the registry
        _log.exception("authorize failed", principal=request.principal, action=request.action)
        allowed = False
    if allowed:
        return None
    what = "" if request.session_id is None else f" on session {request.session_id}"
    return ErrorInfo(ErrorCode.FORBIDDEN, f"{request.principal!r} may not use {request.action}{what}")
