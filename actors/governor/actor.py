"""The governor actor: performs what the governor's logic decides."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, assert_never

import pykka
import trio

from actors.errors import EngineError
from actors.governor.circuit import CircuitPolicy, CircuitStatus
from actors.governor.protocol import (
    AcquirePermit,
    CallFailed,
    ConnectionStatus,
    GetConnectionStatus,
    GovernorMessage,
    Wake,
)
from actors.governor.retrying import RetryPolicy
from actors.governor.state import (
    Effect,
    GovernorState,
    Granted,
    Postponed,
    Refused,
    Ruled,
    WakeAfter,
    Withdrawn,
    decide,
)
from runtime import TrioActor, get_logger

__all__ = ["GovernorActor"]

_log = get_logger("governor")


class GovernorActor(TrioActor):
    """Says who may call the models of one connection, and when who failed may try again.

    Restarted by a supervisor it goes on from `permits`, those that are in use. What it had learned of the
    endpoint is gone; who waited for an answer gets `ActorDeadError`, and asks again.
    """

    expected_errors = ()

    def __init__(
        self,
        connection: str,
        permits: dict[int, float],
        retry: RetryPolicy,
        circuit: CircuitPolicy,
        chance: Callable[[], float] = random.random,
    ) -> None:
        super().__init__()
        self._state = GovernorState(connection, permits, retry, circuit)
        self._chance = chance
        # A call waits for one answer at a time: that to its request for a permit, or to its failure.
        self._replies: dict[int, pykka.Future[Any]] = {}

    def on_receive(self, message: GovernorMessage | GetConnectionStatus) -> ConnectionStatus | None:
        now = trio.current_time()
        if isinstance(message, GetConnectionStatus):
            return self._state.status(now)
        if isinstance(message, AcquirePermit | CallFailed):
            reply = self.defer()
            if reply is not None:
                self._replies[message.call_id] = reply
        before = self._circuit()
        self._perform(decide(self._state, message, now, self._chance()))
        if self._circuit() is not before:
            self._log_circuit()
        return None

    def _perform(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Granted(call_id) | Withdrawn(call_id):
                    self._answer(call_id, None)
                case Postponed(call_id, come_again):
                    self._answer(call_id, come_again)
                case Ruled(call_id, ruling):
                    self._answer(call_id, ruling)
                case Refused(call_id, error):
                    refusal = error.to_exception()
                    self._replies.pop(call_id).set_exception((EngineError, refusal, None))
                case WakeAfter(seconds):
                    self.timers.start("wake", seconds, Wake())
                case _:
                    assert_never(effect)

    def _answer(self, call_id: int, value: object) -> None:
        self._replies.pop(call_id).set(value)

    def _circuit(self) -> CircuitStatus:
        return self._state.circuit.status

    def _log_circuit(self) -> None:
        error = self._state.circuit.last_error
        _log.info(
            "circuit",
            connection=self._state.connection,
            status=self._circuit().value,
            error=None if error is None else error.code.value,
        )
