"""The registry actor: performs what the registry's logic decides."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeAlias, assert_never

import msgspec
import pykka
import trio

from actors.access import Authorize, allow_local
from actors.errors import EngineError, ErrorInfo
from actors.registry.decide import (
    begin,
    clean_up_by_plan,
    decide,
    persistence_ended,
    session_ended,
    subscriber_ended,
    take_mail,
)
from actors.registry.effects import (
    Answered,
    Effect,
    Forward,
    Refused,
    SetCleanup,
    Spawn,
    StopSession,
    TellPersistence,
    TellSession,
    TellSubscribers,
    WatchSubscriber,
)
from actors.registry.ledger import Ledger
from actors.registry.protocol import RegistryCommand, global_subscriber_name
from actors.registry.state import CLOSING, RegistryState
from actors.session.protocol import Inheritance, SessionCommand, session_name
from runtime import ActorRef, SystemClosedError, Terminated, TrioActor, get_logger, handles

__all__ = ["RegistryActor", "SpawnSession"]

_log = get_logger("registry")

SpawnSession: TypeAlias = Callable[[str, Inheritance], ActorRef[Any]]
"""Starts the actor of a session, named `session_name(session_id)`."""


class _CleanUp(msgspec.Struct, frozen=True):
    """The interval of the automatic cleanup is over."""


class RegistryActor(TrioActor):
    """Loads sessions on demand, grants run slots, and notices when a session ends, however that happens.

    Sessions are found by id. A command for a session that is just leaving waits for its next incarnation.
    When persistence ends, all sessions end, and no command is taken any more.

    Restarted by a supervisor it goes on from `ledger` and from what the sessions, found by their names, say
    of themselves. Who waited for an answer of the one that failed gets `ActorDeadError`, unless the
    question was still in the mail.
    """

    expected_errors = ()

    def __init__(
        self,
        *,
        ledger: Ledger,
        persistence: ActorRef[Any],
        spawn_session: SpawnSession,
        max_queue_size: int,
        max_loaded: int,
        authorize: Authorize = allow_local,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__()
        self._persistence = persistence
        self._spawn_session = spawn_session
        self._state = RegistryState(
            ledger, max_queue_size=max_queue_size, max_loaded=max_loaded, authorize=authorize, now=now
        )
        self._refs: dict[str, ActorRef[Any]] = {}
        self._ids: dict[ActorRef[Any], str] = {}
        self._requests: dict[int, pykka.Future[Any]] = {}
        self._last_request = 0

    def on_start(self) -> None:
        self.watch(self._persistence)
        prefix = session_name("")
        live = self.system.names(prefix)
        for name in live:
            ref = self.system.find(name)
            assert ref is not None, "nobody ends while a handler runs"
            self._adopt(name.removeprefix(prefix), ref)
        session_ids = tuple(self._refs)
        listeners = self.system.names(global_subscriber_name(""))
        if session_ids:
            _log.warning("the registry begins anew", sessions=len(session_ids))
        self._act(begin(self._state, session_ids, listeners, trio.current_time()))

    def on_receive(self, message: RegistryCommand) -> None:
        request = 0
        reply = self.defer()
        if reply is not None:
            request = self._last_request = self._last_request + 1
            self._requests[request] = reply
        self._act(decide(self._state, message, trio.current_time(), request))

    @handles(_CleanUp)
    def clean_up(self, _: _CleanUp) -> None:
        self._perform(clean_up_by_plan(self._state, trio.current_time()))

    @handles(Terminated)
    def ended(self, message: Terminated) -> None:
        session_id = self._ids.pop(message.ref, None)
        if session_id is not None:
            del self._refs[session_id]
            self._session_ended(session_id, message.reason)
        elif message.ref == self._persistence:
            _log.error("persistence ended: nothing can be stored any more")
            self._perform(persistence_ended(self._state))
        elif message.ref.name is not None:
            self._perform(subscriber_ended(self._state, message.ref.name))

    def _session_ended(self, session_id: str, reason: BaseException | None) -> None:
        if reason is not None:
            _log.error("session failed", session_id=session_id, reason=type(reason).__name__)
        self._act(session_ended(self._state, session_id, trio.current_time(), crashed=reason is not None))

    def _act(self, effects: Iterable[Effect]) -> None:
        self._perform(effects)
        while self._state.mail:
            self._perform(take_mail(self._state, trio.current_time()))

    def _perform(self, first: Iterable[Effect]) -> None:
        effects = deque(first)
        while effects:
            match effects.popleft():
                case Forward(session_id, command, request):
                    self._forward(session_id, command, request)
                case TellSession(session_id, message):
                    self.send(self._refs.get(session_id), message)
                case Answered(request, value):
                    self._answer(request, value)
                case Refused(request, error):
                    self._refuse(request, error)
                case TellSubscribers(subscribers, message):
                    for name in subscribers:
                        self.send(self.system.find(name), message)
                case Spawn(session_id, inheritance):
                    effects.extend(self._spawn_or_end(session_id, inheritance))
                case StopSession(session_id):
                    self._stop_session(session_id)
                case WatchSubscriber(name):
                    effects.extend(self._watch_subscriber(name))
                case TellPersistence(message):
                    self.send(self._persistence, message)
                case SetCleanup(interval_seconds):
                    self._set_cleanup(interval_seconds)
                case _ as never:
                    assert_never(never)

    def _forward(self, session_id: str, command: SessionCommand, request: int) -> None:
        ref = self._refs.get(session_id)
        if ref is None or not ref.is_alive():
            # It has failed, and the notice of that is under way: this is for its next incarnation.
            self._perform(self._state.hold(session_id, command, request))
            return
        reply = self._requests.pop(request, None)
        if reply is None:
            self.send(ref, command)
        else:
            self.forward(ref, command, reply)

    def _spawn_or_end(self, session_id: str, inheritance: Inheritance) -> list[Effect]:
        try:
            ref = self._spawn_session(session_id, inheritance)
        except SystemClosedError:  # under a registry that has not been told to close
            self._state.ledger.refusal = CLOSING
            return session_ended(self._state, session_id, trio.current_time(), crashed=False)
        self._adopt(session_id, ref)
        return []

    def _stop_session(self, session_id: str) -> None:
        ref = self._refs.get(session_id)
        if ref is not None:  # else its end was noticed before its goodbye was read
            ref.stop(block=False)

    def _adopt(self, session_id: str, ref: ActorRef[Any]) -> None:
        self.watch(ref)
        self._refs[session_id] = ref
        self._ids[ref] = session_id

    def _watch_subscriber(self, name: str) -> list[Effect]:
        ref = self.system.find(name)
        if ref is None:
            return subscriber_ended(self._state, name)
        self.watch(ref)
        return []

    def _set_cleanup(self, interval_seconds: float | None) -> None:
        if interval_seconds is None:
            self.timers.cancel(_CleanUp)
        else:
            self.timers.start_periodic(_CleanUp, interval_seconds, _CleanUp())

    def _answer(self, request: int, value: object) -> None:
        reply = self._requests.pop(request, None)
        if reply is not None:
            reply.set(value)

    def _refuse(self, request: int, error: ErrorInfo) -> None:
        reply = self._requests.pop(request, None)
        if reply is not None:
            reply.set_exception((EngineError, error.to_exception(), None))
