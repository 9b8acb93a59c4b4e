"""What came of a run: counted while it goes on, shown at its end."""

from __future__ import annotations

import re
import resource
import sys
import time
from collections import Counter

import msgspec
from rich.console import Console
from rich.table import Table

from actors.errors import ErrorInfo
from actors.events import TaskOutcome
from actors.printable import one_line
from actors.records import SessionStatus

__all__ = ["Percentiles", "RunSummary", "RunTally", "summary_text"]


_CAUSES_SHOWN = 8
_DIGITS = re.compile(r"\d+")


class Percentiles(msgspec.Struct, frozen=True):
    """Seconds; null when there was nothing to measure."""

    p50: float | None
    p99: float | None

    @classmethod
    def of(cls, values: list[float]) -> Percentiles:
        """By the nearest rank, so that each is a value that occurred."""
        ordered = sorted(values)
        if not ordered:
            return cls(None, None)
        return cls(*(ordered[max(0, -(-len(ordered) * percent // 100) - 1)] for percent in (50, 99)))


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The final figures of a run, of this process alone.

    `turns` counts what the prompts ask for; `completed`, `failed` and `aborted` how turns ended now;
    `completed_before` those that an earlier run had completed; `not_started` the rest: those of a session
    behind a turn that failed, and those that a signal forestalled. `model_calls` counts attempts, also
    those that were made again; `events` are those that the endpoint streamed. `time_to_first_part` and
    `turn_seconds` are in seconds. `errors` counts failed turns by code, `retryable_errors` those of them
    that are worth asking again.
    """

    run_id: str
    model: str
    store: str
    sessions: int
    turns: int
    completed: int
    failed: int
    aborted: int
    completed_before: int
    not_started: int
    model_calls: int
    events: int
    wall_seconds: float
    cpu_seconds: float
    events_per_second: float
    time_to_first_part: Percentiles
    turn_seconds: Percentiles
    errors: dict[str, int]
    retryable_errors: int
    max_rss_bytes: int


class RunTally:
    """Counts a run's turns as they end."""

    def __init__(self, *, sessions: int, turns: int) -> None:
        self.sessions = sessions
        self.turns = turns
        self.by_status: Counter[SessionStatus] = Counter()
        self.completed_before = 0
        self.running = 0
        self.parts = 0
        self.asked = 0
        self.errors: Counter[str] = Counter()
        self.causes: Counter[tuple[str, str]] = Counter()
        self.first_errors: dict[tuple[str, str], ErrorInfo] = {}
        self.retryable_errors = 0
        self._first_parts: list[float] = []
        self._durations: list[float] = []
        self._started_wall = time.monotonic()
        self._started_cpu = time.process_time()

    @property
    def ended(self) -> int:
        return self.completed_before + self.by_status.total()

    @property
    def wall_seconds(self) -> float:
        return time.monotonic() - self._started_wall

    def add(self, outcome: TaskOutcome) -> None:
        self.by_status[outcome.status] += 1
        self.parts += outcome.parts
        self.asked += outcome.duration_seconds is not None
        if outcome.time_to_first_part_seconds is not None:
            self._first_parts.append(outcome.time_to_first_part_seconds)
        if outcome.status is SessionStatus.COMPLETED and outcome.duration_seconds is not None:
            self._durations.append(outcome.duration_seconds)
        if outcome.status is SessionStatus.FAILED and outcome.error is not None:
            self._add_error(outcome.error)

    def _add_error(self, error: ErrorInfo) -> None:
        self.errors[error.code.value] += 1
        cause = (
            error.code.value,
            _DIGITS.sub("#", error.message),
        )  # one of them in a message is not another cause
        self.causes[cause] += 1
        self.first_errors.setdefault(cause, error)
        self.retryable_errors += error.retryable

    def summary(self, *, run_id: str, model: str, store: str, events: int, calls: int) -> RunSummary:
        wall = self.wall_seconds
        return RunSummary(
            run_id=run_id,
            model=model,
            store=store.encode(errors="replace").decode(),  # a path need not be text
            sessions=self.sessions,
            turns=self.turns,
            completed=self.by_status[SessionStatus.COMPLETED],
            failed=self.by_status[SessionStatus.FAILED],
            aborted=self.by_status[SessionStatus.ABORTED],
            completed_before=self.completed_before,
            not_started=self.turns - self.ended,
            model_calls=calls,
            events=events,
            wall_seconds=round(wall, 3),
            cpu_seconds=round(time.process_time() - self._started_cpu, 3),
            events_per_second=round(events / wall, 1) if wall else 0.0,
            time_to_first_part=Percentiles.of(self._first_parts),
            turn_seconds=Percentiles.of(self._durations),
            errors=dict(self.errors.most_common()),
            retryable_errors=self.retryable_errors,
            max_rss_bytes=_max_rss_bytes(),
        )


def summary_text(summary: RunSummary, tally: RunTally) -> str:
    """The end of a run as a table, then what went wrong and where everything is, for standard output."""
    console = Console()
    table = Table(show_header=False, title="greenroom run", title_justify="left", title_style="bold")
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_row("sessions", f"{summary.sessions:,}")
    table.add_row("turns", f"{summary.turns:,}")
    table.add_row("completed", f"[green]{summary.completed:,}[/green]")
    if summary.completed_before:
        table.add_row("completed before", f"[green]{summary.completed_before:,}[/green]")
    for label, count in (
        ("failed", summary.failed),
        ("aborted", summary.aborted),
        ("not started", summary.not_started),
    ):
        table.add_row(label, f"[red]{count:,}[/red]" if count else "0")
    table.add_row("model calls", f"{summary.model_calls:,}")
    table.add_row("events streamed", f"{summary.events:,}")
    table.add_row("events per second", f"{summary.events_per_second:,.0f}")
    table.add_row("time to first part, p50 / p99", _shown(summary.time_to_first_part))
    table.add_row("duration of a turn, p50 / p99", _shown(summary.turn_seconds))
    table.add_row("wall time", f"{summary.wall_seconds:.1f} s")
    table.add_row("CPU time of this process", f"{summary.cpu_seconds:.1f} s")
    table.add_row("memory, at most", f"{summary.max_rss_bytes / 2**20:,.0f} MiB")
    with console.capture() as captured:
        console.print(table)
        causes = tally.causes.most_common()
        for cause, count in causes[:_CAUSES_SHOWN]:
            console.out(_error_line(count, tally.first_errors[cause]), style="red", highlight=False)
        if len(causes) > _CAUSES_SHOWN:
            rest = sum(count for _, count in causes[_CAUSES_SHOWN:])
            console.out(
                f"{rest:,} more of {len(causes) - _CAUSES_SHOWN} other kinds", style="red", highlight=False
            )
        hint = "" if summary.completed + summary.completed_before == summary.turns else "; --resume goes on"
        console.out(f"Every conversation is in {one_line(summary.store)}{hint}", highlight=False)
    return captured.get()


def _error_line(count: int, error: ErrorInfo) -> str:
    """What failed, how often, and whether asking again is worth it; in the words of the first of them."""
    wait_seconds = error.details.get("retry_after_seconds")
    if not error.retryable:
        advice = "a retry would fail again"
    elif isinstance(wait_seconds, int | float):
        advice = f"worth a retry after {wait_seconds:g} s"
    else:
        advice = "worth a retry"
    return f"{count:,} x {error.code} ({advice}): {one_line(error.message)}"


def _shown(percentiles: Percentiles) -> str:
    if percentiles.p50 is None or percentiles.p99 is None:
        return "-"
    return f"{percentiles.p50:.3f} / {percentiles.p99:.3f} s"


def _max_rss_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
