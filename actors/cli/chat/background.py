"""Turns that go on while the user is elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future

import msgspec

from actors.engine import EngineThread
from actors.errors import EngineError, ErrorInfo
from actors.events import TaskOutcome
from actors.records import SessionStatus

__all__ = ["BackgroundTurns", "Ended"]


class Ended(msgspec.Struct, frozen=True):
    """A turn in the background has come to its end, or waits for the user; `error` is why, if it failed."""

    session_id: str
    status: SessionStatus
    error: ErrorInfo | None = None


class _Turn(msgspec.Struct):
    session_id: str
    task_id: str
    outcome: Future[TaskOutcome]
    is_told: bool = False


class BackgroundTurns:
    """Each is kept until its answer is shown, or forgotten. For one thread."""

    def __init__(self, thread: EngineThread, helper: Executor) -> None:
        """`helper` runs a blocking call for each unfinished turn."""
        self._thread = thread
        self._helper = helper
        self._turns: dict[str, _Turn] = {}

    def __bool__(self) -> bool:
        return bool(self._turns)

    def add(self, session_id: str, task_id: str) -> None:
        """Look after a turn that was begun."""
        self._turns[task_id] = _Turn(session_id, task_id, self._wait(session_id, task_id))

    def _wait(self, session_id: str, task_id: str) -> Future[TaskOutcome]:
        wait = functools.partial(self._thread.engine.wait_turn, session_id, task_id)
        return self._helper.submit(self._thread.call, wait)

    def forget(self, task_ids: Iterable[str]) -> None:
        """There is nothing to show of these turns any more."""
        for task_id in task_ids:
            self._turns.pop(task_id, None)

    def forget_told(self, session_id: str) -> None:
        """Keep no turn of this session of which the user knows that it has ended."""
        for turn in self._of(session_id):
            if turn.is_told:
                del self._turns[turn.task_id]

    def sessions(self) -> tuple[str, ...]:
        """The sessions of the turns that are kept, the one that was asked first at first."""
        return tuple(dict.fromkeys(turn.session_id for turn in self._turns.values()))

    def take(self, session_id: str, *, ended: bool = False) -> tuple[str, ...]:
        """The tasks of this session, or only those that have ended, to be shown now in this order.

        Nothing more is to be told of them.
        """
        taken = tuple(turn.task_id for turn in self._of(session_id) if turn.outcome.done() or not ended)
        for task_id in taken:
            del self._turns[task_id]
        return taken

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

    def wait_stopped(self, session_id: str) -> bool:
        """Wait until no turn of this session is unfinished; whether the last one of them was stopped.

        The caller tells so. Blocks, interruptibly.
        """
        is_stopped = False
        for turn in self._of(session_id):
            waited = turn.outcome.done() and _ended(turn).status is SessionStatus.WAITING_CONFIRMATION
            if waited:
                turn.outcome = self._wait(turn.session_id, turn.task_id)
            if waited or not turn.is_told:
                turn.outcome.exception()
                is_stopped = turn.is_told = _ended(turn).status is SessionStatus.ABORTED
        return is_stopped

    def _of(self, session_id: str) -> tuple[_Turn, ...]:
        return tuple(turn for turn in self._turns.values() if turn.session_id == session_id)


def _ended(turn: _Turn) -> Ended:
    try:
        outcome = turn.outcome.result()
    except EngineError as error:
        return Ended(turn.session_id, SessionStatus.FAILED, error.info)
    return Ended(turn.session_id, outcome.status, outcome.error)
