"""Why a line of the user cannot be obeyed."""

from __future__ import annotations

__all__ = ["Refused"]


class Refused(Exception):  # noqa: N818 - said to the user, who has made no error worth that name
    """Its text is one line for the user, with the way out; nothing has been done."""
