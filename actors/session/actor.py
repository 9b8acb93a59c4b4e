"""The session actor: performs what the session's logic decides."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, assert_never

import pykka
import trio

from actors.errors import EngineError, ErrorInfo
from actors.models.base import LanguageModel, ModelRequest
from actors.persistence.protocol import LoadSession, Save
from actors.session.decide import decide
from actors.session.effects import (
    Answered,
    CallModel,
    CancelCall,
    Effect,
    Load,
    Now,
    Persist,
    Publish,
    Refused,
    TellRegistry,
    WatchSubscriber,
)
from actors.session.model_call import call_model
from actors.session.protocol import (
    EventPublished,
    PartsArrived,
    SubscriberEnded,
    SubscriptionEnded,
    TurnEnded,
    session_name,
)
from actors.session.state import SessionState
from runtime import ActorRef, ChildTask, Terminated, TrioActor, get_logger, handles

__all__ = ["SessionActor"]

_log = get_logger("session")


class SessionActor(TrioActor):
    """One loaded chat session.

    It understands the messages of its `protocol`, and answers them when their promise is kept, which may be
    much later: every `ask` is deferred. A session that is not loaded yet keeps them until it is.
    """

    def __init__(
        self,
        session_id: str,
        *,
        registry: ActorRef[Any],
        persistence: ActorRef[Any],
        model_for: Callable[[str], LanguageModel],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        ids: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        super().__init__()
        self._registry = registry
        self._persistence = persistence
        self._model_for = model_for
        self._wall_clock = now
        self._state = SessionState(session_id, ids=ids, check_model=self._check_model)
        self._call: ChildTask | None = None
        self._requests: dict[int, pykka.Future[Any]] = {}
        self._last_request = 0

    def on_start(self) -> None:
        # Also where it is to be made: what is there already must not be written over.
        self._perform([Load(self._state.session_id)])

    def on_stop(self) -> None:
        self._tell_subscribers(SubscriptionEnded(), tuple(self._state.subscribers))

    def on_failure(self, *_: object, **__: object) -> None:
        self._tell_subscribers(SubscriptionEnded(), tuple(self._state.subscribers))

    @handles(Terminated)
    def subscriber_ended(self, message: Terminated) -> None:
        assert message.ref.name is not None, "subscribers are found by name"
        self._perform(decide(self._state, SubscriberEnded(message.ref.name), self._now()))

    def on_receive(self, message: Any) -> None:
        request = 0
        reply = self.defer()
        if reply is not None:
            request = self._last_request = self._last_request + 1
            self._requests[request] = reply
        status = self._status()
        self._perform(decide(self._state, message, self._now(), request))
        if self._status() is not status:
            self._log_transition()

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Persist(write, immediate):
                    reply_to = session_name(self._state.session_id)
                    self.send(self._persistence, Save(reply_to, write, immediate))
                case Publish(event, subscribers):
                    self._tell_subscribers(EventPublished(event), subscribers)
                case Answered(request, value):
                    if request:
                        self._requests.pop(request).set(value)
                case Refused(request, error):
                    if request:
                        self._requests.pop(request).set_exception((EngineError, error.to_exception(), None))
                case WatchSubscriber(name):
                    self._watch_subscriber(name)
                case TellRegistry(message):
                    self.send(self._registry, message)
                case CallModel(task_id, model, request):
                    self._call_model(task_id, model, request)
                case CancelCall():
                    self._cancel_call()
                case Load(session_id):
                    self.send(self._persistence, LoadSession(session_name(session_id), session_id))
                case _:
                    assert_never(effect)

    def _call_model(self, task_id: str, model_name: str, request: ModelRequest) -> None:
        try:
            model = self._model_for(model_name)
        except EngineError as error:  # it was there when the turn was admitted
            self._tell_myself(TurnEnded(task_id, error.info))
            return
        self._call = self.spawn(call_model, model, request, task_id, self._tell_myself)

    def _tell_myself(self, message: PartsArrived | TurnEnded) -> None:
        # What a call says while its session ends is a dead letter, not an error of the model's.
        self.send(self.actor_ref, message)

    def _cancel_call(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _tell_subscribers(
        self, message: EventPublished | SubscriptionEnded, subscribers: Iterable[str]
    ) -> None:
        for name in subscribers:
            self.send(self.system.find(name), message)

    def _watch_subscriber(self, name: str) -> None:
        ref = self.system.find(name)
        if ref is None:
            self._perform(decide(self._state, SubscriberEnded(name), self._now()))
        else:
            self.watch(ref)

    def _check_model(self, name: str) -> ErrorInfo | None:
        try:
            self._model_for(name)
        except EngineError as error:
            return error.info
        return None

    def _now(self) -> Now:
        return Now(self._wall_clock(), trio.current_time())

    def _status(self) -> object:
        return None if self._state.record is None else self._state.record.status

    def _log_transition(self) -> None:
        record = self._state.known_record()
        _log.info(
            "session status",
            session_id=record.session_id,
            status=record.status.value,
            task_id=None if record.task is None else record.task.task_id,
        )
