"""`greenroom sessions`: what a store holds."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from actors.cli.arguments import Subparsers, add_store_option
from actors.cli.screen import write_text
from actors.cli.status import ExitStatus
from actors.cli.stored_session import reading_store
from actors.printable import one_line
from actors.records import SessionSummary

__all__ = ["add_parser", "run"]

_SHORTEST_TITLE = 20
_COLUMN_GAP = 3
_WIDER_THAN_ANY_TABLE = 10_000


def add_parser(subparsers: Subparsers) -> None:
    """Add the command `sessions` to `greenroom`."""
    parser = subparsers.add_parser(
        "sessions",
        help="list the conversations of a store",
        description="List the conversations of a store, the oldest first, also while a run writes to it. "
        "ASKED counts the questions of all branches.",
    )
    add_store_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the sessions; the exit status."""
    with reading_store(arguments.store) as store:
        summaries = store.list_sessions()
    if arguments.json:
        write_text(msgspec.json.encode(summaries).decode() + "\n")
    elif summaries:
        write_text(_table(summaries, Console()))
    else:
        write_text(f"{arguments.store} has no sessions yet; `greenroom chat` begins one\n")
    return ExitStatus.OK


def _table(summaries: Sequence[SessionSummary], console: Console) -> str:
    """The sessions in columns.

    A pipe gets everything. A terminal gets what fits beside the ids, which are never cut: where not even
    they fit, the lines are too long.
    """
    columns = _columns(summaries)
    titles = columns.pop("TITLE")
    if console.is_terminal:
        for dispensable in ("MODEL", "UPDATED"):
            if _room(columns, console) < _SHORTEST_TITLE:
                del columns[dispensable]
        for title in titles:
            title.truncate(max(_room(columns, console), _SHORTEST_TITLE), overflow="ellipsis")
    table = Table(box=SIMPLE_HEAD if console.is_terminal else None, show_edge=False, pad_edge=False)
    for heading in (*columns, "TITLE"):
        table.add_column(heading, justify="right" if heading == "ASKED" else "left")
    for row in zip(*columns.values(), titles, strict=True):
        table.add_row(*row)
    # Given a width, the table would cut ids to fit it.
    lines = io.StringIO()
    endless = Console(
        file=lines, force_terminal=console.is_terminal, width=_WIDER_THAN_ANY_TABLE, height=console.height
    )
    endless.print(table)
    return "".join(f"{line.rstrip()}\n" for line in lines.getvalue().splitlines())


def _columns(summaries: Sequence[SessionSummary]) -> dict[str, list[Text]]:
    return {
        "SESSION": [Text(summary.session_id) for summary in summaries],
        "STATUS": [Text(summary.status) for summary in summaries],
        "ASKED": [Text(str(summary.turns)) for summary in summaries],
        "UPDATED": [Text(f"{summary.updated_at.astimezone():%Y-%m-%d %H:%M}") for summary in summaries],
        "MODEL": [Text(one_line(summary.model)) for summary in summaries],
        "TITLE": [Text(one_line(summary.title)) for summary in summaries],
    }


def _room(columns: dict[str, list[Text]], console: Console) -> int:
    """How wide the last column can be."""
    return console.width - sum(
        max(len(heading), *(cell.cell_len for cell in cells)) + _COLUMN_GAP
        for heading, cells in columns.items()
    )
