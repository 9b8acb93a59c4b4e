"""Which variables of this process the program of a server gets."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["program_environment"]

_HARMLESS = frozenset(
    {"HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"}
)


def program_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What a program needs to find itself and others. Keys of ours are not among it."""
    return {name: value for name, value in environment.items() if name in _HARMLESS}
