"""Whether an operation on a message would be refused, for buttons that should not be there then."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from actors.conversation import Message, Role, Text
from actors.records import SessionRecord
from actors.session.status import BUSY
from actors.tree import ConversationTree

__all__ = ["Permission", "may_delete", "may_edit", "may_retry"]


class Permission(msgspec.Struct, frozen=True, omit_defaults=True):
    """`reason` says why not."""

    allowed: bool
    reason: str = ""


_YES = Permission(allowed=True)


def may_delete(record: SessionRecord, messages: Iterable[Message], message_id: str) -> Permission:
    found = _find(record, ConversationTree(messages), message_id)
    return found if isinstance(found, Permission) else _YES


def may_edit(record: SessionRecord, messages: Iterable[Message], message_id: str) -> Permission:
    found = _find(record, ConversationTree(messages), message_id)
    if isinstance(found, Permission):
        return found
    if found.role is Role.USER and isinstance(found.content, Text):
        return _YES
    return Permission(allowed=False, reason="only a user's text can be edited")


def may_retry(record: SessionRecord, messages: Iterable[Message], message_id: str) -> Permission:
    tree = ConversationTree(messages)
    found = _find(record, tree, message_id)
    if isinstance(found, Permission):
        return found
    if found.role is not Role.ASSISTANT:
        return Permission(allowed=False, reason="only an answer can be tried again")
    if tree.question_of(message_id) is None:
        return Permission(allowed=False, reason="its question is gone")
    return _YES


def _find(record: SessionRecord, tree: ConversationTree, message_id: str) -> Message | Permission:
    if record.status in BUSY:
        return Permission(allowed=False, reason=f"the session is {record.status.value}")
    found = tree.find(message_id)
    return found or Permission(allowed=False, reason=f"there is no message {message_id}")
