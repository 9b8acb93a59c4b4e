"""How much is done, in lines of Python: grows as the time does, and depends on no machine."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Effort", "count_lines"]


class Effort:
    def __init__(self) -> None:
        self.lines = 0


@contextmanager
def count_lines() -> Generator[Effort, None, None]:
    """Count the lines that this thread runs in functions that are called meanwhile."""
    effort = Effort()

    def trace(_: FrameType, event: str, __: object) -> Any:
        if event == "line":
            effort.lines += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield effort
    finally:
        sys.settrace(before)
