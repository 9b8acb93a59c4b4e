"""The logic of the registry, without I/O: `decide` changes the state and says what to do."""

from __future__ import annotations

from typing import assert_never

from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.persistence.protocol import ChatOpened, ChatRefused, SessionDeleted
from actors.registry import chat_files, deleting, keeping, leaving, loading, rebuilding
from actors.registry.effects import Answered, Effect, Refused, TellSession, WatchSubscriber
from actors.registry.ledger import CleanupPlan
from actors.registry.protocol import (
    CleanUpIdle,
    CloseAll,
    DeleteSession,
    Deliver,
    GetActive,
    GetPoolStatus,
    GetRuntime,
    GetStatistics,
    ListRuntimes,
    OpenChat,
    Passivate,
    RegisterSession,
    RegistryCommand,
    ReleaseSession,
    RequestSlot,
    ReturnSlot,
    SessionNotice,
    SetActiveSession,
    SetMaxConcurrent,
    StartAutoCleanup,
    StaysLoaded,
    StopAutoCleanup,
    SubscribeAll,
    SubscriberRefused,
    UnregisterSession,
)
from actors.registry.rebuild import SessionEnd
from actors.registry.seats import Phase
from actors.registry.state import RegistryState
from actors.session.protocol import AdmissionReport, SlotRefused

__all__ = [
    "begin",
    "clean_up_by_plan",
    "decide",
    "persistence_ended",
    "session_ended",
    "subscriber_ended",
    "take_mail",
]


def begin(
    state: RegistryState, live: tuple[str, ...], global_subscribers: tuple[str, ...], now: float
) -> list[Effect]:
    """The first step of a registry, among the sessions and subscribers that are there already."""
    return [*rebuilding.begin(state, live, global_subscribers), *_go_on(state, now)]


def decide(state: RegistryState, message: RegistryCommand, now: float, request: int = 0) -> list[Effect]:
    """One step of the registry; `now` is of a clock that never jumps, in seconds.

    `request` numbers the asker, who gets `Answered` or `Refused`, now or in a later step; 0 is nobody.
    """
    if state.rebuild is not None:
        state.rebuild.take(message, request)
        return _go_on(state, now)
    return [*_step(state, message, now, request), *state.publish_pool_status()]


def session_ended(state: RegistryState, session_id: str, now: float, *, crashed: bool) -> list[Effect]:
    if state.rebuild is not None:
        state.rebuild.take_end(SessionEnd(session_id, crashed))
        return _go_on(state, now)
    effects = leaving.session_ended(state, session_id, now, crashed=crashed)
    return [*effects, *state.publish_pool_status()]


def subscriber_ended(state: RegistryState, name: str) -> list[Effect]:
    return leaving.subscriber_ended(state, name)


def persistence_ended(state: RegistryState) -> list[Effect]:
    return leaving.persistence_ended(state)


def clean_up_by_plan(state: RegistryState, now: float) -> list[Effect]:
    """It is time for what `StartAutoCleanup` asked for."""
    plan: CleanupPlan | None = state.ledger.cleanup
    if plan is None or state.rebuild is not None:
        return []
    return keeping.clean_up(state, plan.max_idle_seconds, now)[1]


def take_mail(state: RegistryState, now: float) -> list[Effect]:
    """Handle the next message that waited for a rebuild; before any other step, while there is one."""
    message, request = state.mail.popleft()
    if isinstance(message, SessionEnd):
        return session_ended(state, message.session_id, now, crashed=message.crashed)
    return decide(state, message, now, request)


def _go_on(state: RegistryState, now: float) -> list[Effect]:
    """End the rebuild when the last session has reported; what waited for that is in `state.mail` then."""
    rebuild = state.rebuild
    if rebuild is None or not rebuild.is_done:
        return []
    state.rebuild = None
    state.mail.extend(rebuild.mail())
    return [*rebuilding.finish(state, rebuild, now), *state.publish_pool_status()]


def _step(  # noqa: C901 - a table, one line a message
    state: RegistryState, message: RegistryCommand, now: float, request: int
) -> list[Effect]:
    match message:
        case Deliver():
            return loading.deliver(state, message, now, request)
        case SessionNotice(runtime):
            return keeping.noticed(state, runtime, now)
        case SubscriberRefused():
            return leaving.subscriber_refused(state, message)
        case RequestSlot():
            return _request_slot(state, message)
        case ReturnSlot():
            return _return_slot(state, message, now)
        case Passivate():
            return leaving.passivate(state, message)
        case StaysLoaded():
            return leaving.stays_loaded(state, message, now)
        case OpenChat():
            return chat_files.open_chat(state, message, request)
        case RegisterSession():
            return keeping.register(state, message, now, request)
        case UnregisterSession():
            return keeping.unregister(state, message, request)
        case DeleteSession():
            return deleting.delete(state, message, now, request)
        case ReleaseSession():
            return leaving.release(state, message, request)
        case SetActiveSession():
            return keeping.set_active(state, message, now, request)
        case StartAutoCleanup():
            return keeping.start_cleanup(state, message, request)
        case ChatOpened():
            return chat_files.chat_opened(state, message)
        case ChatRefused():
            return chat_files.chat_refused(state, message)
        case SessionDeleted():
            return deleting.deleted(state, message)
        case AdmissionReport():
            return []  # to a registry before this one, which failed as well
        case CloseAll():
            return leaving.close_all(state, request)
        case _:
            return _serve(state, message, now, request)


def _serve(
    state: RegistryState,
    message: SetMaxConcurrent
    | GetPoolStatus
    | GetActive
    | GetRuntime
    | ListRuntimes
    | StopAutoCleanup
    | CleanUpIdle
    | SubscribeAll
    | GetStatistics,
    now: float,
    request: int,
) -> list[Effect]:
    """What is answered at once, and asks for nothing but the permission."""
    if isinstance(message, ListRuntimes):
        return [Answered(request, keeping.list_runtimes(state, message))]
    session_id = message.session_id if isinstance(message, GetRuntime) else None
    refusal = state.forbids(message.principal, message, session_id)
    if refusal is not None:
        return [Refused(request, refusal)]
    match message:
        case SetMaxConcurrent(value):
            return _set_max_concurrent(state, value, request)
        case GetPoolStatus():
            return [Answered(request, state.pool_status())]
        case GetActive():
            return [Answered(request, state.ledger.active_id)]
        case GetRuntime(session_id):
            known = session_id in state.ledger.known
            return [Answered(request, state.runtime(session_id) if known else None)]
        case StopAutoCleanup():
            return keeping.stop_cleanup(state, request)
        case CleanUpIdle(max_idle_seconds):
            return _clean_up(state, max_idle_seconds, now, request)
        case SubscribeAll(subscriber):
            return _subscribe_all(state, subscriber, request)
        case GetStatistics():
            return [Answered(request, state.statistics())]
        case _:
            assert_never(message)


def _request_slot(state: RegistryState, message: RequestSlot) -> list[Effect]:
    seat = state.seats.find(message.session_id)
    if seat is None:
        return []
    notice = state.pool.request(message)
    if isinstance(notice, SlotRefused):
        seat.refused_meanwhile = seat.phase is Phase.LEAVING
    else:
        state.seats.unsettle(message.session_id)
    return [TellSession(message.session_id, notice)]


def _return_slot(state: RegistryState, message: ReturnSlot, now: float) -> list[Effect]:
    session_id = message.session_id
    effects = loading.grant(state.pool.give_back(session_id, message.task_id))
    if message.waiting and session_id in state.seats:
        state.pool.wait_for_person(session_id, message.task_id)
    return effects + loading.settle(state, session_id, now)


def _set_max_concurrent(state: RegistryState, value: int, request: int) -> list[Effect]:
    try:
        grants = state.pool.set_max_concurrent(value)
    except EngineError as error:
        return [Refused(request, error.info)]
    state.ledger.max_concurrent = value
    return [*loading.grant(grants), Answered(request)]


def _clean_up(state: RegistryState, max_idle_seconds: float, now: float, request: int) -> list[Effect]:
    if not max_idle_seconds >= 0:
        error = ErrorInfo(
            ErrorCode.INVALID_ARGUMENT, f"max_idle_seconds must be at least 0, not {max_idle_seconds}"
        )
        return [Refused(request, error)]
    count, effects = keeping.clean_up(state, max_idle_seconds, now)
    return [*effects, Answered(request, count)]


def _subscribe_all(state: RegistryState, subscriber: str, request: int) -> list[Effect]:
    if not state.feed.is_wanted:
        state.note_pool_status()
    state.feed.add(subscriber)
    return [WatchSubscriber(subscriber), Answered(request, state.feed.seq)]
