"""Bounds the silence between two pieces of an answer."""

from __future__ import annotations

import trio

__all__ = ["SilenceLimit"]

_SLACK = 1 / 64


class SilenceLimit:
    """Cancels `scope` when nothing was heard for `seconds`, or up to a 64th of that longer.

    A scope of its own around every read would cost as much as the read.
    """

    __slots__ = ("_renew_at", "_scope", "_seconds")

    def __init__(self, scope: trio.CancelScope, seconds: float) -> None:
        self._scope = scope
        self._seconds = seconds
        self._renew_at = trio.current_time()
        self.heard()

    def heard(self) -> None:
        """Something came: the time begins anew."""
        now = trio.current_time()
        if now >= self._renew_at:
            self._renew_at = now + self._seconds * _SLACK
            self._scope.deadline = self._renew_at + self._seconds
