"""How a session comes to its state: made new, or taken from the store and repaired."""

from __future__ import annotations

import msgspec

from actors.conversation import Message, MessageState, Role, Text
from actors.errors import ErrorCode, ErrorInfo
from actors.records import (
    PutMessage,
    PutSession,
    SessionRecord,
    SessionStatus,
    StoredSession,
    TaskRecord,
    WriteOp,
)
from actors.session.effects import Effect, Now
from actors.session.protocol import NewSession
from actors.session.state import Continuation, SessionState
from actors.session.status import BUSY
from actors.tree import ConversationTree

__all__ = ["create", "take_over"]

_CUT = ErrorInfo(ErrorCode.ABORTED, "the engine ended before the answer did")


def create(state: SessionState, new: NewSession, now: Now, *, then: Continuation) -> list[Effect]:
    state.epoch = 1
    state.record = SessionRecord(
        session_id=state.session_id,
        created_at=now.at,
        updated_at=now.at,
        title=new.title,
        model=new.model,
        system_prompt=new.system_prompt,
        owner_id=new.owner_id,
        project_id=new.project_id,
    )
    return state.write(PutSession(state.record), immediate=True, then=then)


def take_over(state: SessionState, stored: StoredSession, now: Now, *, then: Continuation) -> list[Effect]:
    """Go on from what the store has. A turn that it shows as unfinished was cut: end it, keep its text.

    `then` follows when that end is durable, so that nobody is told of one that another crash takes back.
    """
    state.record = record = stored.record
    state.tree = ConversationTree(stored.messages)
    state.epoch = stored.epoch
    state.revision = state.saved_revision = stored.revision
    ended = [
        msgspec.structs.replace(message, state=MessageState.ABORTED, error=_CUT)
        for message in state.tree
        if message.state is MessageState.STREAMING
    ]
    if not ended and record.task is not None:
        ended.append(_empty_answer(state, record.task, now))
    if not ended and record.status not in BUSY:
        return then(state, now)
    ops: list[WriteOp] = []
    for message in ended:
        state.tree.put(message)
        ops.append(PutMessage(message))
    status = SessionStatus.ABORTED if record.status in BUSY else record.status
    leaf_id = ended[-1].message_id if ended else record.active_leaf_id
    ops.append(state.change_record(now, status=status, leaf_id=leaf_id, task=None, error=record.error))
    return state.write(*ops, immediate=True, then=then)


def _empty_answer(state: SessionState, task: TaskRecord, now: Now) -> Message:
    return Message(
        message_id=state.new_id(),
        parent_id=task.question_id,
        role=Role.ASSISTANT,
        content=Text(),
        created_at=now.at,
        state=MessageState.ABORTED,
        task_id=task.task_id,
        model=state.known_record().model,
        error=_CUT,
    )
