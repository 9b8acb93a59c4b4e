"""What the listing commands write: messages, branches, sessions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from actors.cli.chat.numbering import Branch, branches
from actors.cli.chat.open_sessions import OpenSession, OpenSessions, short_id
from actors.cli.render_text import show_message
from actors.cli.screen import Screen
from actors.conversation import Message, Text
from actors.printable import one_line
from actors.records import SessionRuntime
from actors.session.protocol import SessionSnapshot
from actors.tree import ConversationTree

__all__ = ["branch_lines", "session_lines", "show_history"]

_PREVIEW_LENGTH = 60


def show_history(screen: Screen, snapshot: SessionSnapshot, take: int) -> None:
    """Write the last messages of the visible branch under their numbers."""
    branch = snapshot.branch
    left_out = max(len(branch) - take, 0)
    if left_out:
        screen.write(f"({left_out} before these: /history {len(branch)} shows all)\n", "dim")
    for number, message in enumerate(branch[left_out:], left_out + 1):
        show_message(screen, message, number=number, notes=_place(snapshot.messages, message))


def _place(messages: Sequence[Message], message: Message) -> tuple[str, ...]:
    """Which of several it is that stand beside each other in the tree."""
    siblings = [
        sibling.message_id
        for sibling in messages
        if sibling.parent_id == message.parent_id and sibling.role is message.role
    ]
    if len(siblings) == 1:
        return ()
    return (f"{siblings.index(message.message_id) + 1} of {len(siblings)}",)


def branch_lines(snapshot: SessionSnapshot) -> Iterator[str]:
    """A line for each branch: its number, a mark at the visible one, where it goes apart from others."""
    for number, branch in enumerate(branches(snapshot), 1):
        mark = "*" if branch.is_visible else " "
        yield f"{mark} {number}  {branch.messages} messages{_parting(snapshot.messages, branch)}"


def _parting(messages: Sequence[Message], branch: Branch) -> str:
    """What tells the branch from others, also where they say the same, as answers may that were retried."""
    if branch.first is None or branch.first_number is None:
        return ""
    way = ConversationTree(messages).branch(branch.leaf_id)
    later = "".join(
        f"; {number} is {place}"
        for number, message in enumerate(way[branch.first_number :], branch.first_number + 1)
        for place in _place(messages, message)
    )
    which = "".join(f" ({place})" for place in _place(messages, branch.first))
    return f", from {branch.first_number}{which} on: {_preview(branch.first)}{later}"


def _preview(message: Message) -> str:
    said = one_line(message.content.text) if isinstance(message.content, Text) else ""
    if not said:
        return f"({message.role})"
    return said if len(said) <= _PREVIEW_LENGTH else said[: _PREVIEW_LENGTH - 1] + "…"


def session_lines(sessions: OpenSessions, runtimes: Iterable[SessionRuntime]) -> Iterator[str]:
    """A line for each session of the chat: its number, a mark at the current one, how it stands."""
    known = {runtime.session_id: runtime for runtime in runtimes}
    for number, session in sessions.numbered():
        mark = "*" if session is sessions.current else " "
        about = (short_id(session.session_id), *_standing(session, known.get(session.session_id)))
        yield f"{mark} {number}  {', '.join(about)}{f': {session.label}' if session.label else ''}"


def _standing(session: OpenSession, runtime: SessionRuntime | None) -> Iterator[str]:
    if not session.is_stored:
        yield "nothing said yet"
    elif runtime is not None:
        yield runtime.status
        if runtime.unread_count:
            yield f"{runtime.unread_count} unread"
