"""The actor behind a view: it follows one session and keeps what a view shows of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
import outcome
import pykka

from actors.conversation import Message
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.events import Event, GlobalEvent
from actors.groups import MessageGroup
from actors.records import SessionRecord
from actors.session.protocol import (
    Cursor,
    EventPublished,
    EventsLost,
    SubscriptionEnded,
    SubscriptionStarted,
)
from actors.view_models import Applied, SessionViewModel
from runtime import TrioActor, handles

__all__ = ["AddListener", "Follow", "GetShown", "RemoveListener", "Shown", "ViewActor"]

Follow = Callable[[str, Cursor | None], Awaitable[SubscriptionStarted]]
"""Subscribes the actor with this name to the view's session."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What a view shows at one moment."""

    record: SessionRecord
    messages: tuple[Message, ...]
    groups: tuple[MessageGroup, ...]
    is_generating: bool
    error: ErrorInfo | None


class GetShown(msgspec.Struct, frozen=True, tag=True):
    """Answered with `Shown`, once the session is followed; refused with why it cannot be."""


class AddListener(msgspec.Struct, frozen=True, tag=True):
    """Pass each event on to the subscriber with this name."""

    name: str


class RemoveListener(msgspec.Struct, frozen=True, tag=True):
    name: str


class _Following(msgspec.Struct, frozen=True, tag=True):
    subscription: int
    started: SubscriptionStarted


class _NotFollowing(msgspec.Struct, frozen=True, tag=True):
    subscription: int
    error: ErrorInfo


class ViewActor(TrioActor):
    """Follows a session from a snapshot on; when it misses events it takes another one, unseen.

    What comes while a snapshot is on its way is kept: it may be later than that. Only the snapshot that was
    asked for last counts.
    """

    def __init__(self, name: str, follow: Follow, listeners: tuple[str, ...]) -> None:
        super().__init__()
        self._name = name
        self._follow = follow
        self._listeners = dict.fromkeys(listeners)
        self._model: SessionViewModel | None = None
        self._early: list[Event] = []
        self._subscription = 0
        self._is_following = False
        self._failure: ErrorInfo | None = None
        self._waiting: list[pykka.Future[Any]] = []

    def on_start(self) -> None:
        self._subscribe()

    def _subscribe(self) -> None:
        self._early.clear()
        self._is_following = False
        self._subscription += 1
        self.pipe(self._follow, self._name, None, as_message=partial(_followed, self._subscription))

    @handles(_Following)
    def following(self, message: _Following) -> None:
        if message.subscription != self._subscription:
            return
        self._is_following = True
        snapshot = message.started.snapshot
        assert snapshot is not None, "without a cursor there is a snapshot"
        if self._model is None:
            self._model = SessionViewModel(snapshot)
        else:
            self._model.reset(snapshot)
        early, self._early = self._early, []
        for event in early:
            self._apply(event)
        waiting, self._waiting = self._waiting, []
        for reply in waiting:
            reply.set(self._shown(self._model))

    @handles(_NotFollowing)
    def not_following(self, message: _NotFollowing) -> None:
        if message.subscription == self._subscription:
            self._fail(message.error)

    def _fail(self, error: ErrorInfo) -> None:
        self._failure = error
        waiting, self._waiting = self._waiting, []
        for reply in waiting:
            reply.set_exception((EngineError, error.to_exception(), None))

    @handles(EventPublished)
    def published(self, message: EventPublished) -> None:
        event = message.event
        assert not isinstance(event, GlobalEvent), "a view follows one session"
        self._apply(event)
        for name in self._listeners:
            self.send(self.system.find(name), message)

    def _apply(self, event: Event) -> None:
        if self._model is None or not self._is_following:
            self._early.append(event)
        elif self._model.apply(event) is Applied.GAP:
            self._subscribe()

    @handles(EventsLost)
    def lost(self, message: EventsLost) -> None:
        self._subscribe()
        for name in self._listeners:
            self.send(self.system.find(name), message)

    @handles(SubscriptionEnded)
    def ended(self, message: SubscriptionEnded) -> None:
        # Not for the listeners: they go on with the session that the view is bound to next.
        self._fail(message.error or _GONE)

    @handles(GetShown)
    def get_shown(self, _: GetShown) -> Shown | None:
        if self._failure is not None:
            raise self._failure.to_exception()
        if self._model is not None:
            return self._shown(self._model)
        reply = self.defer()
        if reply is not None:
            self._waiting.append(reply)
        return None

    @handles(AddListener)
    def add_listener(self, message: AddListener) -> None:
        self._listeners[message.name] = None

    @handles(RemoveListener)
    def remove_listener(self, message: RemoveListener) -> None:
        self._listeners.pop(message.name, None)

    def _shown(self, model: SessionViewModel) -> Shown:
        return Shown(
            record=model.record,
            messages=model.messages,
            groups=model.groups,
            is_generating=model.is_generating,
            error=model.error,
        )


_GONE = ErrorInfo(
    ErrorCode.SESSION_INVALID,
    "the session of this view was deleted or unregistered, or the engine closes: bind the view again",
)


def _followed(
    subscription: int,
    result: outcome.Value[SubscriptionStarted] | outcome.Error,
) -> _Following | _NotFollowing:
    if isinstance(result, outcome.Value):
        return _Following(subscription, result.value)
    error = result.error
    if isinstance(error, EngineError):
        return _NotFollowing(subscription, error.info)
    return _NotFollowing(
        subscription,
        ErrorInfo(ErrorCode.UNKNOWN, f"the session cannot be followed: {type(error).__name__}"),
    )
