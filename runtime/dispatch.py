"""Typed dispatch: which method of an actor handles which type of message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import pykka
from pykka import messages

__all__ = ["Handler", "declared_handlers", "handles", "resolve_handler"]

M = TypeVar("M")
S = TypeVar("S")
R = TypeVar("R")

Handler: TypeAlias = Callable[[Any, Any], Any]

_DECLARED = "__handled_message_types__"
_PROXY_MESSAGES = (messages.ProxyCall, messages.ProxyGetAttr, messages.ProxySetAttr)


def handles(*message_types: type[M]) -> Callable[[Callable[[S, M], R]], Callable[[S, M], R]]:
    """Declare a method of a `TrioActor` as the handler of these message types and their subclasses.

    What it returns answers an `ask`. It may be an `async def`. A type without a handler goes to
    `on_receive`. A subclass overrides by declaring a handler for the same type.
    """

    def declare(method: Callable[[S, M], R]) -> Callable[[S, M], R]:
        setattr(method, _DECLARED, message_types)
        return method

    return declare


def declared_handlers(cls: type) -> dict[type, Handler]:
    """The handlers that a class and its bases declare, the nearest class winning."""
    handlers: dict[type, Handler] = {}
    for base in reversed(cls.__mro__):
        for attribute in vars(base).values():
            for message_type in getattr(attribute, _DECLARED, ()):
                handlers[message_type] = attribute
    return handlers


def resolve_handler(cls: type[pykka.Actor], handlers: dict[type, Handler], message_type: type) -> Handler:
    """Find the handler of a type that is not in `handlers` yet, and remember it there."""
    if issubclass(message_type, _PROXY_MESSAGES):
        # pykka's own dispatch of proxy messages, which has no public name.
        handler = cast("Handler", pykka.Actor._handle_receive)  # pyright: ignore[reportPrivateUsage]
    else:
        declared = (handlers[base] for base in message_type.__mro__ if base in handlers)
        handler = next(declared, cast("Handler", cls.on_receive))
    handlers[message_type] = handler
    return handler
