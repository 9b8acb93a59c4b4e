"""What a run says on standard error while it works."""

from __future__ import annotations

import contextlib
import sys

from actors.printable import one_line
from runtime import get_logger

__all__ = ["RunNotices"]

_log = get_logger("run")


class RunNotices:
    """Lines for people, or, where the log is on, events of the log: its readers parse every line."""

    def __init__(self, *, logged: bool) -> None:
        self.logged = logged

    def warn(self, text: str) -> None:
        if self.logged:
            _log.warning(text)
        else:
            self._write(text)

    def progress(
        self, *, seconds: float, ended: int, turns: int, running: int, failed: int, events_per_second: float
    ) -> None:
        if self.logged:
            _log.info(
                "progress",
                ended=ended,
                turns=turns,
                running=running,
                failed=failed,
                events_per_second=round(events_per_second),
            )
        else:
            self._write(
                f"{seconds:.0f} s: {ended:,}/{turns:,} turns, {running:,} running, {failed:,} failed, "
                f"{events_per_second:,.0f} events/s"
            )

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads any more; the run goes on
            sys.stderr.write(f"{one_line(line)}\n")
            sys.stderr.flush()
