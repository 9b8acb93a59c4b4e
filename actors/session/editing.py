"""Changes of a session that ask no model: texts, branches, settings, what is read."""

from __future__ import annotations

import msgspec

from actors.conversation import Message, Role, SystemControl, Text
from actors.errors import ErrorInfo
from actors.events import MessageAdded, MessageChanged, MessageEdited, MessagesDeleted
from actors.records import DeleteMessages, PutMessage, WriteOp
from actors.session.asking import ask_edited
from actors.session.effects import Answered, Effect, Now
from actors.session.protocol import (
    DeleteMessage,
    EditMessage,
    GetPage,
    MessagePage,
    NewSession,
    SessionChanges,
    SwitchBranch,
    UpdateSession,
)
from actors.session.refusals import (
    LONGEST_TEXT,
    busy,
    invalid,
    not_a,
    not_unicode,
    stale,
    unknown_message,
    unusable_text,
)
from actors.session.state import SessionState
from actors.tree import visible_branch

__all__ = ["LONGEST_TITLE", "check_new", "delete", "edit", "mark_read", "page", "switch", "update"]

LONGEST_TITLE = 200
LARGEST_PAGE = 500
_TOLD_IN_CONVERSATION = ("mode", "work_mode", "model", "approval_mode")


def edit(state: SessionState, message: EditMessage, now: Now, request: int) -> list[Effect] | ErrorInfo:
    if state.turn is not None:
        return busy(state)
    found = state.tree.find(message.message_id)
    if found is None:
        return unknown_message(state, message.message_id)
    if found.role is not Role.USER or not isinstance(found.content, Text):
        return not_a(Role.USER, found)
    refusal = stale(state, message.expected_version) or unusable_text(message.text)
    if refusal is not None:
        return refusal
    if message.rerun:
        return ask_edited(state, message, now, request)
    edited = msgspec.structs.replace(
        found, content=msgspec.structs.replace(found.content, text=message.text)
    )
    state.put_message(edited)
    put = state.change_record(now)

    def stored(state: SessionState, now: Now) -> list[Effect]:
        effects = state.publish(MessageEdited(edited), None, now)
        return [*effects, *state.publish_change(put.record, None, now), Answered(request, None)]

    return state.write(PutMessage(edited), put, immediate=True, then=stored)


def delete(state: SessionState, message: DeleteMessage, now: Now, request: int) -> list[Effect] | ErrorInfo:
    if state.turn is not None:
        return busy(state)
    if state.tree.find(message.message_id) is None:
        return unknown_message(state, message.message_id)
    refusal = stale(state, message.expected_version)
    if refusal is not None:
        return refusal
    removal = state.tree.removal(message.message_id)
    leaf_id = state.known_record().active_leaf_id
    if leaf_id in removal.message_ids:
        leaf_id = removal.parent_id
    state.tree.remove(removal)
    put = state.change_record(now, active_leaf_id=leaf_id)
    ops: list[WriteOp] = [*map(PutMessage, removal.moved), DeleteMessages(removal.message_ids), put]

    def stored(state: SessionState, now: Now) -> list[Effect]:
        effects: list[Effect] = []
        for moved in removal.moved:
            effects += state.publish(MessageChanged(moved), None, now)
        # The visible branch must not end at what is gone, not even between two events.
        effects += state.publish_change(put.record, None, now)
        effects += state.publish(MessagesDeleted(removal.message_ids), None, now)
        return [*effects, Answered(request, removal.message_ids)]

    return state.write(*ops, immediate=True, then=stored)


def switch(state: SessionState, message: SwitchBranch, now: Now, request: int) -> list[Effect] | ErrorInfo:
    if state.turn is not None:
        return busy(state)
    if state.tree.find(message.message_id) is None:
        return unknown_message(state, message.message_id)
    put = state.change_record(now, active_leaf_id=state.tree.newest_leaf(message.message_id))

    def stored(state: SessionState, now: Now) -> list[Effect]:
        return [*state.publish_change(put.record, None, now), Answered(request, None)]

    return state.write(put, immediate=True, then=stored)


def update(state: SessionState, message: UpdateSession, now: Now, request: int) -> list[Effect] | ErrorInfo:
    if state.turn is not None:
        return busy(state)
    refusal = stale(state, message.expected_version) or _check_changes(message.changes)
    changes = message.changes
    if refusal is None and not (changes.model is None and changes.settings is None):
        record = state.known_record()
        refusal = state.environment.check_model(
            record.model if changes.model is None else changes.model,
            record.settings if changes.settings is None else changes.settings,
        )
    if refusal is not None:
        return refusal
    given = {
        name: value for name in changes.__struct_fields__ if (value := getattr(changes, name)) is not None
    }
    if "approval_mode" in given:
        given["all_approved"] = False  # a new rule takes back what was said under the old one
    notes = _notes(state, given, now)
    for note in notes:
        state.put_message(note)
    if notes:
        given["active_leaf_id"] = notes[-1].message_id
    put = state.change_record(now, **given)

    def stored(state: SessionState, now: Now) -> list[Effect]:
        effects: list[Effect] = []
        for note in notes:
            effects += state.publish(MessageAdded(note), None, now)
        effects += state.publish_change(put.record, None, now)
        return [*effects, Answered(request, state.snapshot())]

    return state.write(*map(PutMessage, notes), put, immediate=True, then=stored)


def _check_changes(changes: SessionChanges) -> ErrorInfo | None:
    if changes.title is not None and len(changes.title) > LONGEST_TITLE:
        return invalid(f"a title has at most {LONGEST_TITLE} characters, not {len(changes.title)}")
    for name in ("max_turns", "max_parallel_calls"):
        number = getattr(changes, name)
        if number is not None and number < 1:
            return invalid(f"{name} must be at least 1, not {number}")
    problem = "" if changes.settings is None else changes.settings.problem()
    if problem:
        return invalid(problem)
    texts = tuple(
        text
        for text in (
            changes.title,
            changes.system_prompt,
            changes.directory,
            *(changes.knowledge or ()),
            *(changes.tool_modes or ()),
        )
        if text is not None
    )
    length = sum(map(len, texts))
    if length > LONGEST_TEXT:
        return invalid(
            f"system prompt and knowledge have {length:,} characters; at most {LONGEST_TEXT:,} are taken"
        )
    return not_unicode(*texts)


def check_new(new: NewSession) -> ErrorInfo | None:
    return not_unicode(new.model, new.owner_id, new.project_id) or _check_changes(
        SessionChanges(
            title=new.title,
            system_prompt=new.system_prompt,
            knowledge=new.knowledge,
            max_turns=new.max_turns,
            tool_modes=new.tool_modes,
            max_parallel_calls=new.max_parallel_calls,
            directory=new.directory,
            settings=new.settings,
        )
    )


def _notes(state: SessionState, given: dict[str, object], now: Now) -> list[Message]:
    """What changes how the session answers is said at its place in the conversation."""
    record = state.known_record()
    notes: list[Message] = []
    parent_id = record.active_leaf_id
    for setting in _TOLD_IN_CONVERSATION:
        before, after = getattr(record, setting), given.get(setting)
        if after is None or after == before or not len(state.tree):
            continue
        note = Message(
            message_id=state.new_id(),
            parent_id=parent_id,
            role=Role.SYSTEM,
            content=SystemControl(setting, str(before), str(after)),
            created_at=now.at,
        )
        parent_id = note.message_id
        notes.append(note)
    return notes


def mark_read(state: SessionState, now: Now, request: int) -> list[Effect]:
    if not state.known_record().unread_count:
        return state.when_saved(now, lambda _state, _now: [Answered(request, None)])
    put = state.change_record(now, unread_count=0)

    def stored(state: SessionState, now: Now) -> list[Effect]:
        return [*state.publish_change(put.record, None, now), Answered(request, None)]

    return state.write(put, immediate=True, then=stored)


def page(state: SessionState, message: GetPage, request: int) -> list[Effect] | ErrorInfo:
    if message.skip < 0 or not 1 <= message.take <= LARGEST_PAGE:
        return invalid(
            f"a page skips 0 or more messages and takes 1 to {LARGEST_PAGE}: "
            f"not skip {message.skip} and take {message.take}"
        )
    snapshot = state.snapshot()
    branch = visible_branch(snapshot.messages, snapshot.record.active_leaf_id)
    shown = branch[message.skip : message.skip + message.take]
    return [Answered(request, MessagePage(messages=shown, skip=message.skip, total=len(branch)))]
