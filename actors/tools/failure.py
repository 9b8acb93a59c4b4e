"""A tool that says itself why it has failed."""

from __future__ import annotations

__all__ = ["ToolFailedError"]


class ToolFailedError(Exception):
    """Raised by a tool's function: the call has failed, and its text is the result that the model reads."""
