"""The registry actor: which sessions are loaded, and which of them may run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, assert_never

import pykka

from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.persistence.protocol import StoreLost
from actors.registry.protocol import (
    CloseAll,
    Deliver,
    GetPoolStatus,
    Passivate,
    PoolStatus,
    RegistryCommand,
    ReleaseSession,
    RequestSlot,
    ReturnSlot,
    SetMaxConcurrent,
)
from actors.registry.state import SlotPool
from actors.session.protocol import PrepareRelease, SessionCommand, SlotGranted
from runtime import ActorRef, Terminated, TrioActor, get_logger, handles

__all__ = ["RegistryActor"]

_log = get_logger("registry")

SpawnSession = Callable[[str], ActorRef[Any]]


class _Loaded:
    """A loaded session.

    `leaving` from the moment it was told to release, or said that it cannot go on, until it is gone: its
    mail is held then, and loads it again. `failure` says why it could not leave in order.
    """

    __slots__ = ("failure", "held", "leaving", "ref", "waiting_for_end")

    def __init__(self, ref: ActorRef[Any]) -> None:
        self.ref = ref
        self.leaving = False
        self.failure: ErrorInfo | None = None
        self.held: list[tuple[SessionCommand, pykka.Future[Any] | None]] = []
        self.waiting_for_end: list[pykka.Future[Any]] = []


class RegistryActor(TrioActor):
    """Loads sessions on demand, grants run slots, and notices when a session ends, however that happens.

    Sessions are found by id. A command for a session that is just leaving waits for its next incarnation.
    When persistence ends, all sessions end, and no command is taken any more.
    """

    expected_errors = (EngineError,)

    def __init__(
        self,
        *,
        persistence: ActorRef[Any],
        spawn_session: SpawnSession,
        max_concurrent: int,
        max_queue_size: int,
    ) -> None:
        super().__init__()
        self._persistence = persistence
        self._spawn_session = spawn_session
        self._pool = SlotPool(max_concurrent=max_concurrent, max_queue_size=max_queue_size)
        self._loaded: dict[str, _Loaded] = {}
        self._ids: dict[ActorRef[Any], str] = {}
        self._refusal: ErrorInfo | None = None  # why no command is taken any more
        self._waiting_for_close: list[pykka.Future[Any]] = []

    def on_start(self) -> None:
        self.watch(self._persistence)

    def on_receive(self, message: RegistryCommand) -> PoolStatus | None:
        match message:
            case Deliver(session_id, command):
                self._deliver(session_id, command)
            case ReleaseSession(session_id):
                self._release(session_id)
            case RequestSlot(session_id, task_id, priority):
                self._tell_session(session_id, self._pool.request(session_id, task_id, priority))
            case ReturnSlot(session_id, task_id):
                self._grant(self._pool.give_back(session_id, task_id))
            case Passivate(session_id, error):
                self._passivate(session_id, error)
            case SetMaxConcurrent(value):
                self._grant(self._pool.set_max_concurrent(value))
            case GetPoolStatus():
                return self._pool.status(loaded=len(self._loaded))
            case CloseAll():
                self._close_all()
            case _:
                assert_never(message)
        return None

    def _deliver(self, session_id: str, command: SessionCommand) -> None:
        self._check_open()
        loaded = self._loaded.get(session_id) or self._load(session_id)
        if loaded.leaving or not loaded.ref.is_alive():
            loaded.held.append((command, self.defer()))
        else:
            self.forward(loaded.ref, command)

    def _load(self, session_id: str) -> _Loaded:
        ref = self._spawn_session(session_id)
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

    def _passivate(self, session_id: str, error: ErrorInfo | None) -> None:
        loaded = self._loaded[session_id]
        loaded.leaving = True
        loaded.failure = error
        loaded.ref.stop(block=False)

    def _close_all(self) -> None:
        self._refusal = self._refusal or _CLOSING
        for loaded in self._loaded.values():
            self._let_go(loaded)
        if self._loaded:
            reply = self.defer()
            if reply is not None:
                self._waiting_for_close.append(reply)

    @handles(Terminated)
    def ended(self, message: Terminated) -> None:
        if message.ref == self._persistence:
            self._persistence_ended()
        else:
            self._session_ended(self._ids.pop(message.ref), message.reason)

    def _persistence_ended(self) -> None:
        _log.error("persistence ended: nothing can be stored any more")
        self._refusal = ErrorInfo(ErrorCode.PERSISTENCE_FAILED, "the engine has lost its store")
        for loaded in self._loaded.values():
            self.send(loaded.ref, StoreLost(self._refusal))

    def _session_ended(self, session_id: str, reason: BaseException | None) -> None:
        loaded = self._loaded.pop(session_id)
        if reason is not None:
            _log.error("session failed", session_id=session_id, reason=type(reason).__name__)
            loaded.failure = ErrorInfo(ErrorCode.EXECUTION_FAILED, f"session {session_id} failed")
        self._grant(self._pool.give_back(session_id))
        for reply in loaded.waiting_for_end:
            _settle(reply, loaded.failure)
        if loaded.held:
            self._deliver_held(session_id, loaded)
        if not self._loaded:
            for reply in self._waiting_for_close:
                reply.set(None)
            self._waiting_for_close.clear()

    def _deliver_held(self, session_id: str, ended: _Loaded) -> None:
        if self._refusal is not None:
            for _, reply in ended.held:
                if reply is not None:
                    _settle(reply, self._refusal)
            return
        next_ref = self._load(session_id).ref
        for command, reply in ended.held:
            self.forward(next_ref, command, reply)

    def _check_open(self) -> None:
        if self._refusal is not None:
            raise self._refusal.to_exception()

    def _grant(self, grants: Iterable[tuple[str, SlotGranted]]) -> None:
        for session_id, notice in grants:
            self._tell_session(session_id, notice)

    def _tell_session(self, session_id: str, notice: object) -> None:
        loaded = self._loaded.get(session_id)
        self.send(None if loaded is None else loaded.ref, notice)


def _settle(reply: pykka.Future[Any], failure: ErrorInfo | None) -> None:
    if failure is None:
        reply.set(None)
    else:
        reply.set_exception((EngineError, failure.to_exception(), None))


_CLOSING = ErrorInfo(ErrorCode.SESSION_INVALID, "the engine is closing: it takes no more commands")
