"""The numbers by which the user names messages and branches."""

from __future__ import annotations

import argparse
from collections.abc import Container, Sequence

import msgspec

from actors.cli.arguments import positive
from actors.cli.chat.refused import Refused
from actors.conversation import Message, Role
from actors.session.protocol import SessionSnapshot
from actors.tree import ConversationTree

__all__ = ["Branch", "answer_at", "branch_at", "branches", "count", "last_of", "message_at", "question_at"]

_WHOSE = {
    Role.USER: "a question",
    Role.ASSISTANT: "an answer",
    Role.SYSTEM: "a note",
    Role.TOOL: "a tool's result",
}


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """One way through the conversation, to its end `leaf_id`.

    It goes apart from the visible one with `first`, its message number `first_number`, and the visible one
    so from all others. Both are None in the only branch, and in a visible one that others go on from.
    """

    leaf_id: str
    messages: int
    is_visible: bool
    first: Message | None = None
    first_number: int | None = None


def count(argument: str) -> int:
    """
    Raises:
        Refused: it is no whole number above 0.
    """
    try:
        return positive(argument.removeprefix("#"))
    except argparse.ArgumentTypeError as error:
        raise Refused(str(error)) from None


def message_at(branch: Sequence[Message], argument: str) -> Message:
    """The message with this number in the visible branch, counted from 1.

    Raises:
        Refused: there is none.
    """
    number = count(argument)
    if number > len(branch):
        raise Refused(f"there is no message {number}, the last one is {len(branch)}; /history shows them")
    return branch[number - 1]


def question_at(branch: Sequence[Message], argument: str) -> Message:
    """As `message_at`, for the user's own; without a number it is the last of these."""
    return _of_role(Role.USER, branch, argument)


def answer_at(branch: Sequence[Message], argument: str) -> Message:
    """As `message_at`, for answers; without a number it is the last of these."""
    return _of_role(Role.ASSISTANT, branch, argument)


def last_of(role: Role, branch: Sequence[Message]) -> Message | None:
    return next((message for message in reversed(branch) if message.role is role), None)


def _of_role(role: Role, branch: Sequence[Message], argument: str) -> Message:
    if not argument:
        last = last_of(role, branch)
        if last is None:
            raise Refused(f"there is not {_WHOSE[role]} yet")
        return last
    message = message_at(branch, argument)
    if message.role is not role:
        raise Refused(
            f"message {count(argument)} is {_WHOSE[message.role]}, not {_WHOSE[role]}; "
            "/history shows which is which"
        )
    return message


def branches(snapshot: SessionSnapshot) -> tuple[Branch, ...]:
    """Every branch, the one whose end was made first at first."""
    tree = ConversationTree(snapshot.messages)
    inner = {message.parent_id for message in tree}
    visible = snapshot.branch
    end_id = visible[-1].message_id if visible else None
    # The visible branch may end inside the tree: at a question that is to be answered once more.
    ways = [
        tree.branch(message.message_id)
        for message in tree
        if message.message_id not in inner or message.message_id == end_id
    ]
    known = {message.message_id for message in visible}
    others = [way for way in ways if way[-1].message_id != end_id]
    known_elsewhere = {message.message_id for way in others for message in way}
    return tuple(
        _branch(way, known_elsewhere if others else known, is_visible=True)
        if way[-1].message_id == end_id
        else _branch(way, known, is_visible=False)
        for way in ways
    )


def _branch(way: Sequence[Message], known: Container[str], *, is_visible: bool) -> Branch:
    shared = sum(message.message_id in known for message in way)
    goes_apart = shared < len(way)
    return Branch(
        leaf_id=way[-1].message_id,
        messages=len(way),
        is_visible=is_visible,
        first=way[shared] if goes_apart else None,
        first_number=shared + 1 if goes_apart else None,
    )


def branch_at(snapshot: SessionSnapshot, argument: str) -> Branch:
    """
    Raises:
        Refused: there is no branch with this number.
    """
    known = branches(snapshot)
    number = count(argument)
    if number > len(known):
        raise Refused(f"there is no branch {number}, the last one is {len(known)}; /branches lists them")
    return known[number - 1]
