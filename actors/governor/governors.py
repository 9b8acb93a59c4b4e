"""How a model call gets past the governor of its connection."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

import msgspec
import pykka
import trio

from actors.connections import Connection
from actors.errors import EngineError, ErrorInfo
from actors.governor.actor import GovernorActor
from actors.governor.circuit import CircuitPolicy
from actors.governor.protocol import (
    AcquirePermit,
    CallAnswered,
    CallFailed,
    ComeAgain,
    ConnectionStatus,
    GetConnectionStatus,
    ReturnPermit,
    Ruling,
)
from actors.governor.retrying import RetryPolicy
from runtime import ActorRef, ActorSystem, SystemClosedError, get_logger
from runtime.supervision import ChildExistsError, ChildSpec, FindChild, Intensity, StartChild, Supervisor

__all__ = ["Admission", "Governors", "named_connection"]

_log = get_logger("governor")

_RESTARTS_BORNE = Intensity(max_restarts=5, period_seconds=10.0)
"""Governors that fail more often than this are gone for good: calls go on without them."""

_TIMES_ASKED = 3


_Endpoint: TypeAlias = tuple[str, str, str, str, str, dict[str, str]]


def _endpoint_of(connection: Connection) -> _Endpoint:
    """Where a connection leads, and who one is there."""
    return (
        connection.provider,
        connection.base_url,
        connection.wire,
        connection.api_key,
        connection.key_variable,
        connection.headers,
    )


def named_connection(model: str) -> Connection:
    """The connection in `connection:model`, which allows everything."""
    return Connection(connection_id=model.partition(":")[0])


class Governors:
    """The governors of an engine, each made when its connection is first called.

    They run under `supervisor`. `connection_of` is asked before every call, so that what it says of how
    many calls a connection allows at once counts from the next one on. Of a connection that leads elsewhere
    now, or with another key, nothing bad is known.
    """

    def __init__(
        self,
        system: ActorSystem,
        *,
        retry: RetryPolicy | None = None,
        circuit: CircuitPolicy | None = None,
        connection_of: Callable[[str], Connection] = named_connection,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._retry = retry or RetryPolicy()
        self._circuit = circuit or CircuitPolicy()
        self._connection_of = connection_of
        self._chance = chance
        self._call_ids = itertools.count(1)
        self._refs: dict[str, ActorRef[GovernorActor]] = {}
        self._endpoints: dict[str, tuple[_Endpoint, int]] = {}
        self.supervisor = system.spawn(Supervisor, intensity=_RESTARTS_BORNE)

    def admission(self, model: str, priority: int = 0) -> Admission:
        """One call of a model; calls get their place in a queue in the order of this.

        Raises:
            EngineError: of `connection_of`.
        """
        connection = self._connection_of(model)
        endpoint = self._endpoint_number(connection)
        return Admission(self, connection, endpoint, next(self._call_ids), priority)

    async def governor_of(self, connection: str) -> ActorRef[GovernorActor] | None:
        """Its governor, through all its restarts; None if there are none any more."""
        ref = self._refs.get(connection)
        if ref is None:
            ref = await self._start(connection)
            if ref is not None:
                self._refs[connection] = ref
        return ref

    async def status(self) -> tuple[ConnectionStatus, ...]:
        """How the connections are doing that were called so far, by name."""
        found: list[ConnectionStatus] = []
        for _, ref in sorted(self._refs.items()):
            status = await ask(ref, GetConnectionStatus())
            if status is not None:
                found.append(status)
        return tuple(found)

    def _endpoint_number(self, connection: Connection) -> int:
        """Another one after each change of where the connection leads."""
        endpoint = _endpoint_of(connection)
        before, number = self._endpoints.get(connection.connection_id, (endpoint, 0))
        number += before != endpoint
        self._endpoints[connection.connection_id] = (endpoint, number)
        return number

    async def _start(self, connection: str) -> ActorRef[GovernorActor] | None:
        permits: dict[int, float] = {}
        make = partial(GovernorActor, connection, permits, self._retry, self._circuit, self._chance)
        name = f"governor/{connection}"
        try:
            with contextlib.suppress(ChildExistsError):  # another call was quicker
                return await self.supervisor.ask(StartChild(ChildSpec(name, make)), block=False)
            return await self.supervisor.ask(FindChild(name), block=False)
        except (pykka.ActorDeadError, SystemClosedError):
            return None


class Admission:
    """One call's way through the governor of its connection.

    A governor that fails, or has gone, holds nobody up: the call goes on without it then.
    """

    __slots__ = ("_attempt", "_call_id", "_connection_id", "_governors", "_has_answer", "_ref", "_request")

    def __init__(
        self, governors: Governors, connection: Connection, endpoint: int, call_id: int, priority: int
    ) -> None:
        self._governors = governors
        self._connection_id = connection.connection_id
        self._call_id = call_id
        self._request = AcquirePermit(
            call_id=call_id,
            priority=priority,
            max_concurrent=connection.max_concurrent,
            endpoint=endpoint,
        )
        self._ref: ActorRef[GovernorActor] | None = None
        self._attempt = 0
        self._has_answer = False

    async def run(
        self, call: Callable[[], Awaitable[None]], delayed: Callable[[int, ErrorInfo, float], None]
    ) -> None:
        """Make the call when its connection lets it, again where it failed before `answered` was said.

        `delayed` is told before each pause: how often the call was made so far, why it has to wait, and for
        how many seconds at least.

        Raises:
            EngineError: of the last attempt, or why the connection is not called.
            Exception: what else the call raised; it is not tried again then.
        """
        self._ref = await self._governors.governor_of(self._connection_id)
        spent_seconds = 0.0
        while True:
            try:
                await self._enter(delayed)
                self._attempt += 1
                began_at = trio.current_time()
                try:
                    await call()
                except EngineError as error:
                    spent_seconds += trio.current_time() - began_at
                    pause = await self._pause_after(error.info, spent_seconds)
                    if pause is None:
                        raise self._last(error) from None
                    delayed(self._attempt, error.info, pause)
                else:
                    self.answered()
                    return
            finally:
                # Also after a failure that gave it back already: the ruling may not have come.
                self._tell(ReturnPermit(self._call_id))
            await trio.sleep(pause)
            spent_seconds += pause

    async def _enter(self, delayed: Callable[[int, ErrorInfo, float], None]) -> None:
        while isinstance(answer := await self._ask(self._request), ComeAgain):
            delayed(self._attempt, answer.error, answer.retry_after_seconds)
            await trio.sleep(answer.retry_after_seconds)

    def answered(self) -> None:
        """The first part has come: from here on nothing is tried again."""
        if not self._has_answer:
            self._has_answer = True
            self._tell(CallAnswered(self._call_id, self._request.endpoint))

    async def _pause_after(self, error: ErrorInfo, spent_seconds: float) -> float | None:
        if self._has_answer:
            return None
        ruling = await self._ask(
            CallFailed(
                call_id=self._call_id,
                error=error,
                attempt=self._attempt,
                spent_seconds=spent_seconds,
                endpoint=self._request.endpoint,
            )
        )
        return ruling.retry_after_seconds if isinstance(ruling, Ruling) else None

    def _last(self, error: EngineError) -> EngineError:
        if self._attempt == 1:
            return error
        return EngineError(error.code, error.message, **{**error.details, "attempts": self._attempt})

    async def _ask(self, message: msgspec.Struct) -> Any:
        return None if self._ref is None else await ask(self._ref, message)

    def _tell(self, message: msgspec.Struct) -> None:
        if self._ref is not None:
            try:
                self._ref.tell(message)
            except pykka.ActorDeadError:
                self._ref = None


async def ask(ref: ActorRef[GovernorActor], message: msgspec.Struct) -> Any:
    """The answer of a governor; None if it has none to give.

    It is asked again when it failed meanwhile: its next life knows nothing of the question. One that fails
    of the question itself is asked a few times only.

    Raises:
        EngineError: its refusal.
    """
    failures = 0
    while failures < _TIMES_ASKED:
        try:
            return await ref.ask(message, block=False)
        except EngineError:
            raise
        except pykka.ActorDeadError:
            if not ref.is_alive():
                break
            await trio.lowlevel.checkpoint()
        except Exception:  # noqa: BLE001 - supervision edge: its own failure, which its supervisor has
            _log.exception("a governor failed", message=type(message).__name__)
            failures += 1
    _log.warning("calls go on without a governor", message=type(message).__name__)
    return None
