"""The logic of a session, without I/O: `decide` changes the state and says what to do.

If it raises, the state may be half changed, and its actor must fail.
"""

from __future__ import annotations

from typing import assert_never

from actors.access import AccessRequest, forbidden
from actors.errors import ErrorCode, ErrorInfo
from actors.persistence.protocol import LoadFailed, Saved, SaveFailed, SessionLoaded, StoreLost
from actors.registry.protocol import Passivate, ReturnSlot, StaysLoaded, SubscriberRefused
from actors.session import admission, answering, asking, editing, opening, settling, tool_calls
from actors.session.effects import (
    Answered,
    Effect,
    Now,
    RefuseAll,
    Refused,
    TellRegistry,
)
from actors.session.protocol import (
    AbortTurn,
    AdmissionReport,
    CallDelayed,
    CallsStopped,
    CancelToolCalls,
    ConfirmToolCall,
    CreateSession,
    DeleteMessage,
    EditMessage,
    GetPage,
    GetSnapshot,
    ImagesRead,
    MarkRead,
    OutputArrived,
    PartsArrived,
    PrepareRelease,
    ReportAdmission,
    Rerun,
    ResumeTurn,
    RetryAnswer,
    SessionCommand,
    SessionMessage,
    SetActive,
    SlotGranted,
    SlotQueued,
    SlotRefused,
    SubmitTurn,
    Subscribe,
    SubscriberEnded,
    SubscriptionStarted,
    SwitchBranch,
    ToolEnded,
    ToolStopped,
    TurnEnded,
    UpdateSession,
    WaitTurn,
)
from actors.session.refusals import unloading, wrong_request_id
from actors.session.state import SessionState
from actors.session.turn import Phase

__all__ = ["decide"]


def decide(state: SessionState, message: SessionMessage, now: Now, request: int = 0) -> list[Effect]:
    """One step of a session.

    `request` numbers the asker, who gets `Answered` or `Refused`, now or in a later step; 0 is nobody.
    """
    # First and apart, since one comes with every read of the network.
    if type(message) is PartsArrived:
        return answering.parts_arrived(state, message.task_id, message.parts, now)
    if type(message) is CallsStopped:
        return state.calls_stopped(message.number)
    if state.failure is not None:
        if isinstance(message, ReportAdmission):  # to a registry that may not have heard the goodbye
            state.calls_stopped(state.stopping)  # it has forgotten the slot
            return [TellRegistry(Passivate(state.session_id, error=state.failure))]
        return [Refused(request, state.failure)]
    return state.hold_back(_step(state, message, now, request) + _what_is_next(state, now))


def _step(  # noqa: C901 - a table, one line a message
    state: SessionState, message: SessionMessage, now: Now, request: int
) -> list[Effect]:
    match message:
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
        case SubscriberEnded(subscriber):
            state.events.subscribers.pop(subscriber, None)
            return []
        case PartsArrived(task_id, parts):
            return answering.parts_arrived(state, task_id, parts, now)
        case CallDelayed():
            return answering.call_delayed(state, message, now)
        case TurnEnded(task_id, error):
            return answering.turn_ended(state, task_id, error, now)
        case OutputArrived(task_id, call_id, text):
            return tool_calls.output_arrived(state, task_id, call_id, text, now)
        case ToolEnded():
            return tool_calls.ended(state, message, now)
        case ToolStopped():
            return tool_calls.stopped(state, message, now)
        case ImagesRead():
            return answering.images_read(state, message, now)
        case CallsStopped(number):
            return state.calls_stopped(number)
        case _ if not state.ready:
            state.stash(message, request)
            return []
        case PrepareRelease(abort):
            return _release(state, now, abort=abort)
        case SetActive(active):
            state.active = active
            return []
        case ReportAdmission():
            return _report(state)
        case SlotGranted(task_id):
            return admission.slot_granted(state, task_id, now)
        case SlotQueued(task_id, number):
            return admission.slot_queued(state, task_id, number, now)
        case SlotRefused(task_id, error):
            return admission.slot_refused(state, task_id, error)
        case _:
            return _obey(state, message, now, request)


def _obey(state: SessionState, command: SessionCommand, now: Now, request: int) -> list[Effect]:
    refusal = _check_access(state, command) or (unloading(state) if state.said_goodbye else None)
    if refusal is not None:
        effects = _leave_out(state, command) if isinstance(command, Subscribe) else []
        return [*effects, Refused(request, refusal)]
    if isinstance(command, SubmitTurn | ResumeTurn | RetryAnswer | EditMessage | Rerun):
        wrong = wrong_request_id(command.request_id)
        if wrong is not None:
            return [Refused(request, wrong)]
        known = admission.repeated(state, command.request_id, now, request)
        if known is not None:
            return known
    outcome = _command(state, command, now, request)
    return [Refused(request, outcome)] if isinstance(outcome, ErrorInfo) else outcome


def _leave_out(state: SessionState, command: Subscribe) -> list[Effect]:
    """The registry has written the subscriber down with the command, for the next incarnation.

    It is told before the asker, who may ask again at once.
    """
    state.events.subscribers.pop(command.subscriber, None)
    return [TellRegistry(SubscriberRefused(state.session_id, command.subscriber))]


def _command(  # noqa: C901 - a table, one line a command
    state: SessionState, command: SessionCommand, now: Now, request: int
) -> list[Effect] | ErrorInfo:
    match command:
        case CreateSession():
            return ErrorInfo(ErrorCode.CONFLICT, f"there is a session {state.session_id} already")
        case SubmitTurn():
            return admission.submit(state, command, now, request)
        case ResumeTurn():
            return asking.resume(state, command, request)
        case RetryAnswer():
            return asking.retry(state, command, request)
        case EditMessage():
            return editing.edit(state, command, now, request)
        case Rerun():
            return asking.rerun(state, command, now, request)
        case ConfirmToolCall():
            return tool_calls.confirm(state, command, now, request)
        case CancelToolCalls():
            return tool_calls.cancel(state, command, now, request)
        case WaitTurn(task_id):
            return settling.wait(state, task_id, now, request)
        case AbortTurn(task_id):
            return settling.abort(state, task_id, now, request)
        case DeleteMessage():
            return editing.delete(state, command, now, request)
        case SwitchBranch():
            return editing.switch(state, command, now, request)
        case UpdateSession():
            return editing.update(state, command, now, request)
        case MarkRead():
            return editing.mark_read(state, now, request)
        case GetSnapshot():
            return [Answered(request, state.snapshot())]
        case GetPage():
            return editing.page(state, command, request)
        case Subscribe(subscriber, cursor):
            missed = state.events.subscribe(subscriber, cursor)
            snapshot = state.snapshot() if missed is None else None
            return [Answered(request, SubscriptionStarted(snapshot=snapshot, missed=missed or ()))]
        case _:
            assert_never(command)


def _check_access(state: SessionState, command: SessionCommand) -> ErrorInfo | None:
    record = state.known_record()
    return forbidden(
        state.environment.authorize,
        AccessRequest(
            principal=command.principal,
            action=type(command).__name__,
            session_id=state.session_id,
            owner_id=record.owner_id,
            project_id=record.project_id,
        ),
    )


def _load_failed(state: SessionState, error: ErrorInfo, now: Now) -> list[Effect]:
    creation = state.take_creation() if error.code is ErrorCode.SESSION_NOT_FOUND else None
    if creation is None:
        return _fail(state, error)
    new = creation.new
    refusal = forbidden(
        state.environment.authorize,
        AccessRequest(
            principal=creation.principal,
            action=type(creation).__name__,
            session_id=state.session_id,
            owner_id=new.owner_id,
            project_id=new.project_id,
        ),
    )
    refusal = refusal or editing.check_new(new)
    return (
        _fail(state, refusal)
        if refusal is not None
        else opening.create(state, new, now, then=_become_ready)
    )


def _become_ready(state: SessionState, now: Now) -> list[Effect]:
    state.ready = True
    effects = state.publish_change(state.known_record(), None, now)
    for stashed, request in state.take_stash():
        effects += decide(state, stashed, now, request)
    return effects


def _release(state: SessionState, now: Now, *, abort: bool) -> list[Effect]:
    turn, is_busy = state.turn, state.turn_keeps_it()
    queued = state.known_record().queued
    if not abort and (is_busy or (queued and turn is None)):
        return [TellRegistry(StaysLoaded(state.session_id))]
    state.releasing = True
    if turn is not None and not is_busy:
        # What waits behind a person's answer is asked after it, by the next incarnation.
        return state.refuse_queue_waiters()
    effects: list[Effect] = []
    behind = {one.task_id for one in queued if turn is None or one.task_id != turn.task_id}
    if behind:
        effects += settling.abort_queued(state, behind, now)
    return effects + (settling.abort_turn(state, turn, now) if turn is not None else [])


def _what_is_next(state: SessionState, now: Now) -> list[Effect]:
    """After every step: ask what waits behind the turn that has ended, or leave when nothing is left."""
    if not state.ready or state.failure is not None:
        return []
    if state.turn is None and state.known_record().queued:
        return admission.admit_queued(state, now)
    return state.leave_if_settled() if state.releasing else []


def _report(state: SessionState) -> list[Effect]:
    """Say where the session stands, and again what a registry that has failed may not have taken in."""
    turn = state.turn
    admitted = turn is not None and (turn.granted or turn.phase is not Phase.WAITING)
    kept = state.kept_slot()
    effects: list[Effect] = [
        TellRegistry(
            AdmissionReport(
                runtime=state.runtime(state.known_record()),
                task_id=kept or (turn.task_id if turn is not None and admitted else None),
                priority=0 if turn is None else turn.priority,
                number=0 if turn is None else turn.number,
                has_slot=kept is not None or (turn is not None and turn.granted),
                subscribers=tuple(state.events.subscribers),
            )
        )
    ]
    if turn is not None and not turn.granted and turn.phase in (Phase.ADMITTING, Phase.RESUMING):
        effects.append(TellRegistry(turn.slot_request(state.session_id)))
    if state.said_goodbye:
        effects += state.say_goodbye()
    else:
        state.stay()  # the registry that asked it to leave has forgotten that
    return effects


def _fail(state: SessionState, error: ErrorInfo) -> list[Effect]:
    """The store does not have what is in memory, and never will: say so to everybody, and leave.

    The next command loads the session as the store has it.
    """
    state.failure = error
    effects: list[Effect] = [RefuseAll(error)]
    turn, state.turn = state.turn, None
    if turn is not None:
        if turn.granted:  # without a slot nothing runs
            effects.append(state.stop_calls())
        effects.append(TellRegistry(ReturnSlot(state.session_id, turn.task_id)))
    return [*effects, TellRegistry(Passivate(state.session_id, error=error))]
