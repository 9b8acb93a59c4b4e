"""How many bytes does the disk take for a byte of streamed answer?

Compares, through the store's public face and in one run, the two ways to keep an answer that grows:
`append` (`AppendText`: the log of streamed text, folded at the end) and `rewrite` (`PutMessage` with the
whole text so far: the message's row again and again).

Every session streams one answer; their beginnings are spread over an answer's length, so that at any time
some begin, some grow and some end. A commit holds one write of every session that streams, as the
persistence actor's group commit does. A reader with an open transaction keeps SQLite from recycling the
-wal file, so that its size is the sum of all that was written to it.

Bias: answers are of one length and grow evenly; longer ones make `rewrite` worse, in proportion. The main
file, which checkpoints write, is left out. Times are for orientation.
"""

from __future__ import annotations

import argparse
import platform
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from actors import __version__
from actors.conversation import Message, MessageState, Role, Text
from actors.records import AppendText, PutMessage, PutSession, SessionRecord, SessionWrite, WriteOp
from actors.stores import SqliteStore

COMMITS = 40
"""Commits of an answer: twenty seconds of streaming at one commit every 500 ms."""

PIECE = "and so the answer grows by a few words, " * 4
ANSWER_BYTES = COMMITS * len(PIECE)
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
SESSIONS = (1, 10, 100, 500)


class Cost(msgspec.Struct, frozen=True):
    wal_bytes_per_answer_byte: float
    microseconds_per_write: float


class Row(msgspec.Struct, frozen=True):
    sessions: int
    append: Cost
    rewrite: Cost

    @property
    def ratio(self) -> float:
        return self.rewrite.wal_bytes_per_answer_byte / self.append.wal_bytes_per_answer_byte


class Report(msgspec.Struct, frozen=True):
    greenroom: str
    python: str
    sqlite: str
    platform: str
    bias: str
    answer_bytes: int
    commits_per_answer: int
    rows: tuple[Row, ...]
    rewrite_over_append: tuple[float, ...]


def answer(text: str, state: MessageState = MessageState.STREAMING) -> PutMessage:
    return PutMessage(
        Message(
            message_id="answer",
            parent_id="question",
            role=Role.ASSISTANT,
            content=Text(text),
            created_at=MOMENT,
            state=state,
        )
    )


def steps(layout: str) -> tuple[WriteOp, ...]:
    """What happens to one answer, commit by commit."""
    grown: list[WriteOp] = [
        AppendText("answer", text=PIECE) if layout == "append" else answer(PIECE * commit)
        for commit in range(1, COMMITS + 1)
    ]
    return (answer(""), *grown, answer(PIECE * COMMITS, MessageState.COMPLETE))


def measure(layout: str, sessions: int) -> Cost:
    ops = steps(layout)
    first_ticks = {f"session-{number}": number * len(ops) // sessions for number in range(sessions)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "greenroom.db")
        with closing(SqliteStore.open(path)) as store, closing(sqlite3.connect(path)) as reader:
            for name in first_ticks:
                record = SessionRecord(session_id=name, created_at=MOMENT, updated_at=MOMENT)
                store.commit([SessionWrite(name, 1, 1, (PutSession(record),))])
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sessions").fetchone()
            wal = path.with_name(path.name + "-wal")
            size_before = wal.stat().st_size
            started = time.perf_counter()
            for tick in range(2 * len(ops)):
                store.commit(
                    [
                        SessionWrite(name, 1, 2 + tick - first_tick, (ops[tick - first_tick],))
                        for name, first_tick in first_ticks.items()
                        if 0 <= tick - first_tick < len(ops)
                    ]
                )
            seconds = time.perf_counter() - started
            written = wal.stat().st_size - size_before
    return Cost(
        wal_bytes_per_answer_byte=round(written / (ANSWER_BYTES * sessions), 2),
        microseconds_per_write=round(seconds / (sessions * len(ops)) * 1e6, 1),
    )


def run() -> Report:
    rows = tuple(Row(count, measure("append", count), measure("rewrite", count)) for count in SESSIONS)
    return Report(
        greenroom=__version__,
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        platform=platform.platform(),
        bias="answers of one length that grow evenly; checkpoints into the main file left out",
        answer_bytes=ANSWER_BYTES,
        commits_per_answer=COMMITS,
        rows=rows,
        rewrite_over_append=tuple(round(row.ratio, 1) for row in rows),
    )


def print_table(report: Report) -> None:
    print(
        f"Greenroom {report.greenroom}, Python {report.python}, SQLite {report.sqlite}, {report.platform}"
    )
    print(f"Bias: {report.bias}.")
    print(
        f"WAL bytes per byte of answer; {report.answer_bytes} bytes in {report.commits_per_answer} commits:"
    )
    print(f"{'sessions':>9} {'append':>9} {'rewrite':>9} {'ratio':>6}")
    for row in report.rows:
        append, rewrite = row.append.wal_bytes_per_answer_byte, row.rewrite.wal_bytes_per_answer_byte
        print(f"{row.sessions:>9} {append:>9.1f} {rewrite:>9.1f} {row.ratio:>5.1f}x")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    arguments = parser.parse_args()
    report = run()
    if arguments.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report)).decode() + "\n")
    else:
        print_table(report)


if __name__ == "__main__":
    main()
