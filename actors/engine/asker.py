"""Asking the engine's actors from outside, in trio and in asyncio alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
import pykka

from actors.access import AccessRequest, Authorize, forbidden
from actors.errors import EngineError, ErrorCode
from actors.records import LONGEST_SESSION_ID, is_session_id
from actors.registry.protocol import Deliver
from actors.session.protocol import SessionCommand
from runtime import ActorRef

__all__ = ["Asker", "checked", "checked_id", "checked_items", "closed_error"]

T = TypeVar("T")
M = TypeVar("M", bound=msgspec.Struct)


class Asker:
    """Sends a message and waits for its answer. Cancelling a wait takes nothing back."""

    def __init__(self, registry: ActorRef[Any], persistence: ActorRef[Any], authorize: Authorize) -> None:
        self._registry = registry
        self._persistence = persistence
        self._authorize = authorize
        self._closed = False

    async def _deliver(self, session_id: str, command: SessionCommand, *, touch: bool = True) -> Any:
        message = Deliver(checked_id(session_id), checked(command), touch)
        return await self._ask(self._registry, message)

    async def _ask_registry(self, message: msgspec.Struct) -> Any:
        return await self._ask(self._registry, checked(message))

    async def _ask_persistence(self, message: msgspec.Struct) -> Any:
        return await self._ask(self._persistence, checked(message))

    async def _ask(self, ref: ActorRef[Any], message: Any) -> Any:
        """Ask, and translate: an actor that ended is a failure of the engine's, and worth another try."""
        try:
            return await ref.ask(message, block=False)
        except pykka.ActorDeadError as error:
            if self._closed:
                raise closed_error() from None
            raise EngineError(ErrorCode.EXECUTION_FAILED, f"no answer: {error}") from None

    def _permits(self, request: AccessRequest) -> bool:
        return forbidden(self._authorize, request) is None

    def _require(self, request: AccessRequest) -> None:
        """
        Raises:
            EngineError: `FORBIDDEN`.
        """
        refusal = forbidden(self._authorize, request)
        if refusal is not None:
            raise refusal.to_exception()


def closed_error() -> EngineError:
    return EngineError(ErrorCode.SESSION_INVALID, "the engine is closed: it takes no more commands")


def checked(message: M) -> M:
    """The message, if all of its fields are what its class says; an actor would fail at another.

    It shares nothing with the caller that can be changed.

    Raises:
        EngineError: `INVALID_ARGUMENT`, naming the field.
    """
    kind = type(message).__name__
    if not isinstance(message, msgspec.Struct):  # pyright: ignore[reportUnnecessaryIsInstance] - a caller's mistake
        raise EngineError(ErrorCode.INVALID_ARGUMENT, f"a {kind} is no message: look at the method's types")
    try:
        copy = msgspec.convert(msgspec.to_builtins(message), type(message))
    except (msgspec.ValidationError, TypeError, RecursionError, UnicodeError) as error:
        is_half = isinstance(error, UnicodeError)
        what = "a text holds half of a surrogate pair" if is_half else str(error).replace("`$.", "`")
        raise EngineError(ErrorCode.INVALID_ARGUMENT, f"{kind} cannot be asked like this: {what}") from None
    if copy != message:  # bytes for a text, a dictionary for a struct
        what = "a field is of another type than it says"
        raise EngineError(ErrorCode.INVALID_ARGUMENT, f"{kind} cannot be asked like this: {what}")
    return copy


def checked_items(what: str, items: Iterable[T]) -> tuple[T, ...]:
    """
    Raises:
        EngineError: `INVALID_ARGUMENT`: a text, which is no list of its letters, or nothing to go through.
    """
    if isinstance(items, str | bytes) or not isinstance(items, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] - a caller's mistake
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"{what} are given as a list or a tuple, not as {type(items).__name__}",
        )
    return tuple(items)


def checked_id(session_id: str) -> str:
    """A session id that every store can keep and every terminal can show.

    Raises:
        EngineError: `INVALID_ARGUMENT`.
    """
    if not isinstance(session_id, str):  # pyright: ignore[reportUnnecessaryIsInstance] - a caller's mistake
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, f"a session id is a text, not {type(session_id).__name__}"
        )
    if not is_session_id(session_id):
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"a session id has 1 to {LONGEST_SESSION_ID} printable characters: not {session_id[:40]!a}",
        )
    return session_id
