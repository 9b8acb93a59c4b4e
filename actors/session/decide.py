"""The logic of a session, without I/O: `decide` changes the state and says what to do.

If it raises, the state may be half changed, and its actor must fail.
"""

from __future__ import annotations

from typing import assert_never

from actors.errors import ErrorCode, ErrorInfo
from actors.persistence.protocol import LoadFailed, Saved, SaveFailed, SessionLoaded, StoreLost
from actors.registry.protocol import Passivate, ReturnSlot
from actors.session import admission, answering, opening
from actors.session.effects import Answered, CancelCall, Effect, Now, Refused, TellRegistry, WatchSubscriber
from actors.session.protocol import (
    AbortTurn,
    CreateSession,
    GetSnapshot,
    PartsArrived,
    PrepareRelease,
    ResumeTurn,
    SessionMessage,
    SlotGranted,
    SlotQueued,
    SlotRefused,
    SubmitTurn,
    Subscribe,
    SubscriberEnded,
    TurnEnded,
    WaitTurn,
)
from actors.session.state import SessionState

__all__ = ["decide"]


def decide(  # noqa: C901 - a table, one line a message
    state: SessionState, message: SessionMessage, now: Now, request: int = 0
) -> list[Effect]:
    """One step of a session.

    `request` numbers the asker, who gets `Answered` or `Refused`, now or in a later step; 0 is nobody.
    """
    match message:
        case _ if state.failure is not None:
            return [Refused(request, state.failure)]
        # First, as one comes with every read of the network, and a pattern that does not match a Struct
        # takes 0.2 us. Only a running turn takes parts, and a session has one only when it is ready.
        case PartsArrived(task_id, parts):
            return answering.parts_arrived(state, task_id, parts, now)
        case SessionLoaded(stored):
            return opening.take_over(state, stored, now, then=_become_ready)
        case LoadFailed(_, error):
            return _load_failed(state, error, now)
        case Saved(_, epoch, revision):
            return state.saved(revision, now) if epoch == state.epoch else []
        case SaveFailed(_, epoch, _, error):
            return _fail(state, error) if epoch == state.epoch else []
        case StoreLost(error):
            return _fail(state, error)
        case PrepareRelease():
            state.releasing = True
            return _release(state, now) if state.ready else []
        case _ if not state.ready:
            state.stash(message, request)
            return []
        case CreateSession():
            error = ErrorInfo(ErrorCode.CONFLICT, f"there is a session {state.session_id} already")
            return [Refused(request, error)]
        case SubmitTurn():
            return admission.submit(state, message, now, request)
        case ResumeTurn():
            return admission.resume(state, message, request)
        case WaitTurn(task_id):
            return answering.wait(state, task_id, request)
        case AbortTurn(task_id):
            return answering.abort(state, task_id, now, request)
        case GetSnapshot():
            return [Answered(request, state.snapshot())]
        case Subscribe(subscriber):
            state.subscribers[subscriber] = None
            return [Answered(request, state.snapshot()), WatchSubscriber(subscriber)]
        case SubscriberEnded(subscriber):
            state.subscribers.pop(subscriber, None)
            return []
        case SlotGranted(task_id):
            return admission.slot_granted(state, task_id, now)
        case SlotQueued(task_id, number):
            return admission.slot_queued(state, task_id, number, now)
        case SlotRefused(task_id, error):
            return admission.slot_refused(state, task_id, error)
        case TurnEnded(task_id, error):
            return answering.turn_ended(state, task_id, error, now)
        case _:
            assert_never(message)


def _load_failed(state: SessionState, error: ErrorInfo, now: Now) -> list[Effect]:
    creation = state.take_creation() if error.code is ErrorCode.SESSION_NOT_FOUND else None
    if creation is None:
        return _fail(state, error)
    return opening.create(state, creation.new, now, then=_become_ready)


def _become_ready(state: SessionState, now: Now) -> list[Effect]:
    state.ready = True
    effects: list[Effect] = []
    for stashed, request in state.take_stash():
        effects += decide(state, stashed, now, request)
    if state.releasing:
        effects += _release(state, now)
    return effects


def _release(state: SessionState, now: Now) -> list[Effect]:
    effects = answering.abort_turn(state, state.turn, now) if state.turn is not None else []
    return effects + state.leave_if_settled()


def _fail(state: SessionState, error: ErrorInfo) -> list[Effect]:
    """The store does not have what is in memory, and never will: say so to everybody, and leave.

    The next command loads the session as the store has it.
    """
    state.failure = error
    effects: list[Effect] = [Refused(request, error) for _, request in state.take_stash()]
    turn, state.turn = state.turn, None
    if turn is not None:
        effects += turn.refuse_askers(error)
        effects += [CancelCall(), TellRegistry(ReturnSlot(state.session_id, turn.task_id))]
    return [*effects, TellRegistry(Passivate(state.session_id, error))]
