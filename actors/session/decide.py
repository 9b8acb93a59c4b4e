"""The logic of a session, without I/O: `decide` changes the state and says what to do.

If it raises, the state may be half changed, and its actor must fail.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from actors.conversation import MessageState
from actors.errors import ErrorInfo
from actors.persistence.protocol import LoadFailed, Saved, SaveFailed, SessionLoaded
from actors.records import PutMessage, PutSession, SessionRecord, SessionStatus, WriteOp
from actors.registry.protocol import ReturnSlot
from actors.session import turns
from actors.session.effects import Answered, CancelCall, Effect, Load, Now, Refused, Stop, TellRegistry
from actors.session.protocol import (
    AbortTurn,
    GetSnapshot,
    NewSession,
    PartsArrived,
    PrepareRelease,
    ResumeTurn,
    SessionMessage,
    SlotGranted,
    SlotQueued,
    SlotRefused,
    SubmitTurn,
    Subscribe,
    TurnEnded,
    Unsubscribe,
    WaitTurn,
)
from actors.session.state import SessionState
from actors.session.status import BUSY
from actors.session.tree import ConversationTree

__all__ = ["decide", "open_existing", "open_new"]


def open_existing(state: SessionState) -> list[Effect]:
    return [Load(state.session_id)]


def open_new(state: SessionState, new: NewSession, now: Now) -> list[Effect]:
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
    return state.write(PutSession(state.record), immediate=True, then=_become_ready)


def decide(  # noqa: C901 - a table, one line a message
    state: SessionState, message: SessionMessage, now: Now, request: int = 0
) -> list[Effect]:
    """One step of a session.

    `request` numbers the asker, who gets `Answered` or `Refused`, now or in a later step; 0 is nobody.
    """
    match message:
        case SessionLoaded():
            return _loaded(state, message, now)
        case LoadFailed(_, error):
            return _cannot_open(state, error)
        case Saved(_, _, revision):
            return state.saved(revision, now)
        case SaveFailed(_, _, _, error):
            return _save_failed(state, error)
        case PrepareRelease():
            return _prepare_release(state, now)
        case _ if not state.ready:
            state.stash(message, request)
            return []
        case SubmitTurn():
            return turns.submit(state, message, now, request)
        case ResumeTurn():
            return turns.resume(state, message, request)
        case WaitTurn(task_id):
            return turns.wait(state, task_id, request)
        case AbortTurn(task_id):
            return turns.abort(state, task_id, now, request)
        case GetSnapshot():
            return [Answered(request, state.snapshot())]
        case Subscribe(subscriber):
            state.subscribers[subscriber] = None
            return [Answered(request, state.snapshot())]
        case Unsubscribe(subscriber):
            state.subscribers.pop(subscriber, None)
            return [Answered(request, None)]
        case SlotGranted(task_id):
            return turns.slot_granted(state, task_id, now)
        case SlotQueued(task_id, number):
            return turns.slot_queued(state, task_id, number, now)
        case SlotRefused(task_id, error):
            return turns.slot_refused(state, task_id, error)
        case PartsArrived(task_id, parts):
            return turns.parts_arrived(state, task_id, parts, now)
        case TurnEnded(task_id, error):
            return turns.turn_ended(state, task_id, error, now)
        case _:
            assert_never(message)


def _loaded(state: SessionState, message: SessionLoaded, now: Now) -> list[Effect]:
    stored = message.stored
    state.record = stored.record
    state.tree = ConversationTree(stored.messages)
    state.epoch = stored.epoch
    state.revision = state.saved_revision = stored.revision
    return [*_repair(state, now), *_become_ready(state, now)]


def _repair(state: SessionState, now: Now) -> list[Effect]:
    """A turn that the store shows as unfinished was cut by a crash: keep what there is, marked."""
    record = state.known_record()
    cut = [message for message in state.tree if message.state is MessageState.STREAMING]
    if not cut and record.status not in BUSY:
        return []
    ops: list[WriteOp] = []
    leaf_id = record.active_leaf_id
    for message in cut:
        kept = msgspec.structs.replace(message, state=MessageState.ABORTED)
        state.tree.put(kept)
        ops.append(PutMessage(kept))
        leaf_id = kept.message_id
    status = SessionStatus.ABORTED if record.status in BUSY else record.status
    put_session = state.change_record(now, status=status, leaf_id=leaf_id, task=None, error=record.error)
    return state.write(*ops, put_session, immediate=False)


def _become_ready(state: SessionState, now: Now) -> list[Effect]:
    state.ready = True
    effects: list[Effect] = []
    for stashed, request in state.take_stash():
        effects += decide(state, stashed, now, request)
    return effects + state.leave_if_settled()


def _cannot_open(state: SessionState, error: ErrorInfo) -> list[Effect]:
    refused: list[Effect] = [Refused(request, error) for _, request in state.take_stash() if request]
    return [*refused, Stop()]


def _save_failed(state: SessionState, error: ErrorInfo) -> list[Effect]:
    """What is in memory can no longer become durable: say so to everybody who waits, and end.

    The next command loads the session as the store has it.
    """
    effects: list[Effect] = [Refused(request, error) for _, request in state.take_stash() if request]
    turn, state.turn = state.turn, None
    if turn is not None:
        effects += [Refused(request, error) for request in (turn.submitter, *turn.waiters) if request]
        effects += [CancelCall(), TellRegistry(ReturnSlot(state.session_id, turn.task_id))]
    return [*effects, Stop()]


def _prepare_release(state: SessionState, now: Now) -> list[Effect]:
    state.releasing = True
    effects = turns.abort_turn(state, state.turn, now) if state.turn is not None else []
    return effects + state.leave_if_settled()
