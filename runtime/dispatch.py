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

FOUND_KEPT = 512

DELIVERIES: dict[type, Handler] = {}
"""What the runtime itself puts into the mail, and what takes it from there: see `runtime.delivery`."""


def handles(*message_types: type[M]) -> Callable[[Callable[[S, M], R]], Callable[[S, M], R]]:
    """Declare a method of a `TrioActor` as the handler of these message types and their subclasses.

    What it returns answers an `ask`. It may be an `async def`. A type without a handler goes to
    `on_receive`. A subclass overrides the method, or declares another one for the same type; where one
    class has two methods for one type, making the class is a TypeError.

    Raises:
        TypeError: no type was given, or something that is no class, as `int | str` is not.
    """
    if not message_types:
        raise TypeError("@handles(...) takes one or more types of messages")
    for message_type in message_types:
        if not isinstance(message_type, type):  # pyright: ignore[reportUnnecessaryIsInstance] - a border
            raise TypeError(f"@handles(...) takes types of messages, not {message_type!r}")

    def declare(method: Callable[[S, M], R]) -> Callable[[S, M], R]:
        setattr(method, _DECLARED, message_types)
        return method

    return declare


class Handlers(dict[type, Handler]):
    """The handlers of a class of actors by type of mail. Types that nobody declared are found once.

    What was declared is kept apart from what was found: the answer must not depend on which types came
    earlier. What was found is forgotten when it has become much, so that classes made at run time do not
    pile up: at most `FOUND_KEPT` of them live as long as the actor class. Weak keys would slow down the
    look-up that every message pays.
    """

    def __init__(self, cls: type[pykka.Actor]) -> None:
        self._actor_class = cls
        self._declared = _declared_handlers(cls)

    def __missing__(self, message_type: type) -> Handler:
        handler = DELIVERIES.get(message_type)
        if handler is None:
            handler = self.of_user(message_type)
        if len(self) >= FOUND_KEPT:
            self.clear()
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
    """The handlers that a class and its bases declare, the nearest class winning.

    Raises:
        TypeError: a class declares two methods for one type.
    """
    handlers: dict[type, Handler] = {}
    for base in reversed(cls.__mro__):
        methods: dict[type, tuple[str, object]] = {}
        for name, attribute in vars(base).items():
            for message_type in getattr(attribute, _DECLARED, ()):
                other, method = methods.setdefault(message_type, (name, attribute))
                if method is not attribute:
                    raise TypeError(
                        f"{base.__qualname__} has two handlers for {message_type.__qualname__}: "
                        f"{other} and {name}"
                    )
                handlers[message_type] = getattr(cls, name)
    return handlers
