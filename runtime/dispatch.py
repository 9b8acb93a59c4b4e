"""Typed dispatch: which method of an actor handles which type of message."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

import pykka
from pykka import messages

__all__ = ["DELIVERIES", "Handler", "Handlers", "InterceptedHandlers", "Interceptor", "handles"]

M = TypeVar("M")
S = TypeVar("S")
R = TypeVar("R")

Handler: TypeAlias = Callable[[Any, Any], Any]
Interceptor: TypeAlias = Callable[[Handler, Any, Any], Any]

_DECLARED = "__handled_message_types__"
_PROXY_MESSAGES = (messages.ProxyCall, messages.ProxyGetAttr, messages.ProxySetAttr)

DELIVERIES: dict[type, Handler] = {}
"""What the runtime itself puts into the mail, and what takes it from there: see `runtime.delivery`."""


def handles(*message_types: type[M]) -> Callable[[Callable[[S, M], R]], Callable[[S, M], R]]:
    """Declare a method of a `TrioActor` as the handler of these message types and their subclasses.

    What it returns answers an `ask`. It may be an `async def`. A type without a handler goes to
    `on_receive`. A subclass overrides the method, or declares another one for the same type.
    """

    def declare(method: Callable[[S, M], R]) -> Callable[[S, M], R]:
        setattr(method, _DECLARED, message_types)
        return method

    return declare


class Handlers(dict[type, Handler]):
    """The handlers of a class of actors by type of mail. Types that nobody declared are found once.

    What was declared is kept apart from what was found: the answer must not depend on which types came
    earlier.
    """

    def __init__(self, cls: type[pykka.Actor]) -> None:
        self._actor_class = cls
        self._declared = _declared_handlers(cls)

    def __missing__(self, message_type: type) -> Handler:
        handler = DELIVERIES.get(message_type)
        if handler is None:
            handler = self.of_user(message_type)
        self[message_type] = handler
        return handler

    def of_user(self, message_type: type) -> Handler:
        """The actor's own handler for a type of message, also where the runtime steps in before."""
        if issubclass(message_type, _PROXY_MESSAGES):
            # pykka's own dispatch of proxy messages, which has no public name.
            return cast("Handler", pykka.Actor._handle_receive)  # pyright: ignore[reportPrivateUsage]
        bases = message_type.__mro__
        declared = (self._declared[base] for base in bases if base in self._declared)
        return next(declared, cast("Handler", self._actor_class.on_receive))


class InterceptedHandlers(Handlers):
    """The handlers of one actor, each call of which goes through interceptors, the first one outermost.

    An interceptor is called with the next handler, the actor and the message, in place of the handler. An
    actor without interceptors uses the handlers of its class, and pays nothing.
    """

    def __init__(self, handlers: Handlers, interceptors: tuple[Interceptor, ...]) -> None:
        self._handlers = handlers
        self._interceptors = interceptors

    def of_user(self, message_type: type) -> Handler:
        handler = self._handlers.of_user(message_type)
        for interceptor in reversed(self._interceptors):
            handler = partial(interceptor, handler)
        return handler


def _declared_handlers(cls: type) -> dict[type, Handler]:
    """The handlers that a class and its bases declare, the nearest class winning."""
    handlers: dict[type, Handler] = {}
    for base in reversed(cls.__mro__):
        for name, attribute in vars(base).items():
            for message_type in getattr(attribute, _DECLARED, ()):
                handlers[message_type] = getattr(cls, name)
    return handlers
