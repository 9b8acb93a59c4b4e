"""Progress on standard error: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from actors.cli.run_notices import RunNotices
from actors.cli.run_summary import RunTally
from actors.records import SessionStatus

__all__ = ["show_progress"]

_LIVE_INTERVAL_SECONDS = 0.25
_PLAIN_INTERVAL_SECONDS = 5.0


async def show_progress(tally: RunTally, events: Callable[[], int], notices: RunNotices) -> None:
    """Show how a run goes until cancelled. `events` counts what was streamed so far."""
    # Not rich's idea of a terminal, which environment variables of build servers can change.
    if sys.stderr.isatty() and not notices.logged and not Console(stderr=True).is_dumb_terminal:
        with contextlib.suppress(OSError):  # the terminal is gone; the run goes on
            await _show_live(tally, events)
    else:
        await _show_plain(tally, events, notices)


async def _show_live(tally: RunTally, events: Callable[[], int]) -> None:
    progress = Progress(
        TextColumn("turns"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("[cyan]{task.fields[running]} running"),
        TextColumn("[red]{task.fields[failed]} failed"),
        TextColumn("{task.fields[rate]:,.0f} events/s"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        auto_refresh=False,  # no thread of rich's own: this task refreshes
    )
    with progress:
        task = progress.add_task("turns", total=tally.turns, running=0, failed=0, rate=0.0)
        rate = _Rate(events)
        while True:
            progress.update(
                task,
                completed=tally.ended,
                running=tally.running,
                failed=tally.by_status[SessionStatus.FAILED],
                rate=rate.now(),
                refresh=True,
            )
            try:
                await trio.sleep(_LIVE_INTERVAL_SECONDS)
            except trio.Cancelled:  # the last picture is the true one
                progress.update(
                    task,
                    completed=tally.ended,
                    running=0,
                    failed=tally.by_status[SessionStatus.FAILED],
                    refresh=True,
                )
                raise


async def _show_plain(tally: RunTally, events: Callable[[], int], notices: RunNotices) -> None:
    rate = _Rate(events)
    while True:
        await trio.sleep(_PLAIN_INTERVAL_SECONDS)
        notices.progress(
            seconds=tally.wall_seconds,
            ended=tally.ended,
            turns=tally.turns,
            running=tally.running,
            failed=tally.by_status[SessionStatus.FAILED],
            events_per_second=rate.now(),
        )


class _Rate:
    """Events per second since the last look."""

    def __init__(self, events: Callable[[], int]) -> None:
        self._events = events
        self._last = (trio.current_time(), events())

    def now(self) -> float:
        seconds, count = trio.current_time(), self._events()
        last_seconds, last_count = self._last
        self._last = (seconds, count)
        return (count - last_count) / (seconds - last_seconds) if seconds > last_seconds else 0.0
