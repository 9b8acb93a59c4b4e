"""Asking the engine's actors from outside, in trio and in asyncio alike."""

from __future__ import annotations

from typing import Any

import pykka

from actors.access import AccessRequest, Authorize, forbidden
from actors.errors import EngineError, ErrorCode
from actors.registry.protocol import Deliver
from actors.session.protocol import SessionCommand
from runtime import ActorRef

__all__ = ["Asker", "checked_id", "closed_error"]

_LONGEST_SESSION_ID = 200


class Asker:
    """Sends a message and waits for its answer. Cancelling a wait takes nothing back."""

    def __init__(self, registry: ActorRef[Any], persistence: ActorRef[Any], authorize: Authorize) -> None:
        self._registry = registry
        self._persistence = persistence
        self._authorize = authorize
        self._closed = False

    async def _deliver(self, session_id: str, command: SessionCommand, *, touch: bool = True) -> Any:
        return await self._ask_registry(Deliver(checked_id(session_id), command, touch))

    async def _ask_registry(self, message: Any) -> Any:
        return await self._ask(self._registry, message)

    async def _ask_persistence(self, message: Any) -> Any:
        return await self._ask(self._persistence, message)

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


def checked_id(session_id: str) -> str:
    """A session id that every store can keep and every terminal can show.

    Raises:
        EngineError: `INVALID_ARGUMENT`.
    """
    if not session_id or len(session_id) > _LONGEST_SESSION_ID or not session_id.isprintable():
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"a session id has 1 to {_LONGEST_SESSION_ID} printable characters: not {session_id[:40]!a}",
        )
    return session_id
