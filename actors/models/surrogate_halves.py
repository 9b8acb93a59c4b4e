"""Mends characters that a server cut in two."""

from __future__ import annotations

import re

__all__ = ["SurrogateHalves"]

_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole character
    r"|(?P<high>\\u[dD][89abAB][0-9a-fA-F]{2})"
    r"|(?P<low>\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\."  # another escape: what follows a backslash that is itself escaped is none
)


class SurrogateHalves:
    """Servers that count in UTF-16 may cut a character outside of the first plane, such as an emoji, and
    send its halves, each escaped, in two events. JSON readers refuse that (RFC 8259, 8.2).

    A first half is taken out of its event and put before the second half, in whichever event that comes.
    A half that stays alone is lost, as it says nothing.
    """

    __slots__ = ("_high",)

    def __init__(self) -> None:
        self._high = ""

    def mend(self, data: str) -> str:
        """The JSON text of the next event, with whole characters only."""
        if "\\u" not in data or ("\\ud" not in data and "\\uD" not in data):
            return data
        return _ESCAPES.sub(self._mended, data)

    def _mended(self, escape: re.Match[str]) -> str:
        if escape["high"]:
            self._high = escape["high"]
            return ""
        if escape["low"]:
            high, self._high = self._high, ""
            return high + escape["low"] if high else ""
        return escape[0]
