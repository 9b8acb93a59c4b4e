"""Turns that go on while the user is elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from concurrent.futures import Executor, Future

import msgspec

from actors.engine import EngineThread
from actors.errors import EngineError, ErrorInfo
from actors.events import TaskOutcome
from actors.records import SessionStatus

__all__ = ["BackgroundTurns", "Ended"]


class Ended(msgspec.Struct, frozen=True):
    """A turn in the background has come to its end; `error` is why, if it failed."""

    session_id: str
    status: SessionStatus
    error: ErrorInfo | None = None


class _Turn(msgspec.Struct):
    session_id: str
    task_id: str
    outcome: Future[TaskOutcome]
    is_told: bool = False


class BackgroundTurns:
    """Each is kept until it was waited for, or another one of its session follows. For one thread."""

    def __init__(self, thread: EngineThread, helper: Executor) -> None:
        """`helper` runs a blocking call for each unfinished turn."""
        self._thread = thread
        self._helper = helper
        self._turns: dict[str, _Turn] = {}

    def __bool__(self) -> bool:
        return bool(self._turns)

    def add(self, session_id: str, task_id: str) -> None:
        """Look after a turn that was begun."""
        for turn in tuple(self._turns.values()):
            if turn.session_id == session_id and turn.is_told:
                del self._turns[turn.task_id]
        wait = functools.partial(self._thread.engine.wait_turn, session_id, task_id)
        self._turns[task_id] = _Turn(session_id, task_id, self._helper.submit(self._thread.call, wait))

    def latest_of(self, session_id: str) -> str | None:
        """The task that was begun last in this session, unless it was waited for."""
        return next(
            (turn.task_id for turn in reversed(self._turns.values()) if turn.session_id == session_id), None
        )

    def waited_for(self, task_id: str) -> None:
        """The user has seen the answer: nothing more is to be told of it."""
        del self._turns[task_id]

    def is_answering(self, session_id: str) -> bool:
        return any(
            turn.session_id == session_id and not turn.outcome.done() for turn in self._turns.values()
        )

    def unfinished(self) -> int:
        return sum(not turn.outcome.done() for turn in self._turns.values())

    def news(self) -> Iterator[Ended]:
        """The turns that have ended since this was asked last."""
        for turn in self._turns.values():
            if turn.outcome.done() and not turn.is_told:
                turn.is_told = True
                yield _ended(turn)

    def wait(self) -> None:
        """Return when none is unfinished. Blocks, interruptibly."""
        for turn in self._turns.values():
            turn.outcome.exception()


def _ended(turn: _Turn) -> Ended:
    try:
        outcome = turn.outcome.result()
    except EngineError as error:
        return Ended(turn.session_id, SessionStatus.FAILED, error.info)
    return Ended(turn.session_id, outcome.status, outcome.error)
