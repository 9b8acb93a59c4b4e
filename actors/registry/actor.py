"""The registry actor: which sessions are loaded, and which of them may run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, assert_never

import pykka

from actors.errors import EngineError, ErrorCode
from actors.registry.protocol import (
    CloseAll,
    CreateSession,
    Deliver,
    GetPoolStatus,
    PoolStatus,
    RegistryCommand,
    ReleaseSession,
    RequestSlot,
    ReturnSlot,
    SetMaxConcurrent,
)
from actors.registry.state import SlotPool
from actors.session.protocol import GetSnapshot, NewSession, PrepareRelease, SessionCommand, SlotGranted
from runtime import ActorRef, Terminated, TrioActor, get_logger, handles

__all__ = ["RegistryActor"]

_log = get_logger("registry")

SpawnSession = Callable[[str, NewSession | None], ActorRef[Any]]


class _Loaded:
    """A loaded session. `leaving` from the moment it was told to release until it is gone."""

    __slots__ = ("held", "leaving", "ref", "waiting_for_end")

    def __init__(self, ref: ActorRef[Any]) -> None:
        self.ref = ref
        self.leaving = False
        self.held: list[tuple[SessionCommand, pykka.Future[Any] | None]] = []
        self.waiting_for_end: list[pykka.Future[Any]] = []


class RegistryActor(TrioActor):
    """Loads sessions on demand, grants run slots, and notices when a session ends, however that happens.

    Sessions are found by id. A command for a session that is just leaving waits for its next incarnation.
    """

    expected_errors = (EngineError,)

    def __init__(self, *, spawn_session: SpawnSession, max_concurrent: int, max_queue_size: int) -> None:
        super().__init__()
        self._spawn_session = spawn_session
        self._pool = SlotPool(max_concurrent=max_concurrent, max_queue_size=max_queue_size)
        self._loaded: dict[str, _Loaded] = {}
        self._ids: dict[ActorRef[Any], str] = {}
        self._closing = False
        self._waiting_for_close: list[pykka.Future[Any]] = []

    def on_receive(self, message: RegistryCommand) -> PoolStatus | None:
        match message:
            case CreateSession(session_id, new):
                self._create(session_id, new)
            case Deliver(session_id, command):
                self._deliver(session_id, command)
            case ReleaseSession(session_id):
                self._release(session_id)
            case RequestSlot(session_id, task_id, priority):
                self._tell_session(session_id, self._pool.request(session_id, task_id, priority))
            case ReturnSlot(session_id, task_id):
                self._grant(self._pool.give_back(session_id, task_id))
            case SetMaxConcurrent(value):
                self._grant(self._pool.set_max_concurrent(value))
            case GetPoolStatus():
                return self._pool.status(loaded=len(self._loaded))
            case CloseAll():
                self._close_all()
            case _:
                assert_never(message)
        return None

    def _create(self, session_id: str, new: NewSession) -> None:
        self._refuse_when_closing()
        if session_id in self._loaded:
            raise EngineError(ErrorCode.CONFLICT, f"there is a session {session_id} already")
        self.forward(self._load(session_id, new).ref, GetSnapshot())

    def _deliver(self, session_id: str, command: SessionCommand) -> None:
        self._refuse_when_closing()
        loaded = self._loaded.get(session_id) or self._load(session_id, None)
        if loaded.leaving or not loaded.ref.is_alive():
            loaded.held.append((command, self.defer()))
        else:
            self.forward(loaded.ref, command)

    def _load(self, session_id: str, new: NewSession | None) -> _Loaded:
        ref = self._spawn_session(session_id, new)
        self.watch(ref)
        loaded = self._loaded[session_id] = _Loaded(ref)
        self._ids[ref] = session_id
        return loaded

    def _release(self, session_id: str) -> None:
        loaded = self._loaded.get(session_id)
        if loaded is None:
            return
        reply = self.defer()
        if reply is not None:
            loaded.waiting_for_end.append(reply)
        self._let_go(loaded)

    def _let_go(self, loaded: _Loaded) -> None:
        if not loaded.leaving:
            loaded.leaving = True
            self.send(loaded.ref, PrepareRelease())

    def _close_all(self) -> None:
        self._closing = True
        for loaded in self._loaded.values():
            self._let_go(loaded)
        if self._loaded:
            reply = self.defer()
            if reply is not None:
                self._waiting_for_close.append(reply)

    @handles(Terminated)
    def session_ended(self, message: Terminated) -> None:
        session_id = self._ids.pop(message.ref)
        loaded = self._loaded.pop(session_id)
        if message.reason is not None:
            _log.error("session failed", session_id=session_id, reason=type(message.reason).__name__)
        self._grant(self._pool.give_back(session_id))
        for reply in loaded.waiting_for_end:
            reply.set(None)
        if loaded.held:
            self._deliver_held(session_id, loaded)
        if not self._loaded:
            for reply in self._waiting_for_close:
                reply.set(None)
            self._waiting_for_close.clear()

    def _deliver_held(self, session_id: str, ended: _Loaded) -> None:
        if self._closing:
            for _, reply in ended.held:
                if reply is not None:
                    reply.set_exception((EngineError, _closing_error(), None))
            return
        next_ref = self._load(session_id, None).ref
        for command, reply in ended.held:
            self.forward(next_ref, command, reply)

    def _refuse_when_closing(self) -> None:
        if self._closing:
            raise _closing_error()

    def _grant(self, grants: Iterable[tuple[str, SlotGranted]]) -> None:
        for session_id, notice in grants:
            self._tell_session(session_id, notice)

    def _tell_session(self, session_id: str, notice: object) -> None:
        loaded = self._loaded.get(session_id)
        self.send(None if loaded is None else loaded.ref, notice)


def _closing_error() -> EngineError:
    return EngineError(ErrorCode.SESSION_INVALID, "the engine is closing: it takes no more commands")
