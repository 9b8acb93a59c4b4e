"""`greenroom show`: one conversation of a store."""

from __future__ import annotations

import argparse

from actors.cli.arguments import Subparsers, add_store_option
from actors.cli.render_json import session_json
from actors.cli.render_text import show_session
from actors.cli.screen import Screen, write_text
from actors.cli.status import ExitStatus
from actors.cli.stored_session import stored_session
from actors.markdown import session_markdown
from actors.tree import ConversationTree

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Subparsers) -> None:
    """Add the command `show` to `greenroom`."""
    parser = subparsers.add_parser(
        "show",
        help="show one conversation",
        description="Show a conversation as it is stored: its visible branch, the one that goes on.",
    )
    parser.add_argument("session", metavar="SESSION", help="its id, or the beginning of it")
    add_store_option(parser)
    parser.add_argument(
        "--all", action="store_true", help="every message, also answers that a later one has replaced"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the session; the exit status."""
    stored = stored_session(arguments.store, arguments.session)
    record = stored.record
    visible = ConversationTree(stored.messages).branch(record.active_leaf_id)
    messages = stored.messages if arguments.all else visible
    set_aside = frozenset(message.message_id for message in stored.messages) - frozenset(
        message.message_id for message in visible
    )
    if arguments.json:
        write_text(session_json(record, messages))
    elif arguments.markdown:
        write_text(session_markdown(record, messages, set_aside))
    else:
        show_session(Screen(), record, messages, set_aside)
    return ExitStatus.OK
