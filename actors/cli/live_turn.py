"""A turn while it is answered, followed from a thread that may block."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import TypeAlias

import msgspec
import trio

from actors.engine import Engine, EngineThread
from actors.errors import EngineError
from actors.events import (
    AnswerStreamed,
    Lagged,
    MessageAdded,
    ModelCallDelayed,
    SessionStatusChanged,
    TaskOutcome,
    ToolCallsUpdated,
    ToolOutput,
)
from actors.session.protocol import SessionSnapshot
from actors.subscription import Subscription

__all__ = ["Begin", "LiveTurn", "Shown"]

Begin: TypeAlias = Callable[[], Awaitable[str]]
"""Begins a turn, or finds one that has begun; its task id."""

Shown: TypeAlias = (
    AnswerStreamed | MessageAdded | ModelCallDelayed | SessionStatusChanged | ToolCallsUpdated | ToolOutput
)
"""What of a turn is to be seen while it goes on."""


class _StopAsked(msgspec.Struct, frozen=True):
    pass


class _Begun(msgspec.Struct, frozen=True):
    task_id: str


_Notice: TypeAlias = _StopAsked | _Begun | Shown | Future[TaskOutcome]


class LiveTurn:
    """One turn of a session. Its thread reads one inbox, into which the engine and Ctrl-C both write."""

    def __init__(self, thread: EngineThread, helper: Executor, session_id: str) -> None:
        """`helper` runs one blocking call, to the end of the turn."""
        self._thread = thread
        self._helper = helper
        self._session_id = session_id
        # SimpleQueue.put is the one that a signal handler may call, whatever it has interrupted.
        self._inbox: SimpleQueue[_Notice] = SimpleQueue()

    def ask_to_stop(self) -> None:
        """Have the turn aborted, also if it has not begun yet. For signal handlers and other threads."""
        self._inbox.put(_StopAsked())

    def follow(self, begin: Begin, show: Callable[[Shown], None]) -> TaskOutcome:
        """Begin the turn, show what happens as it does, and return its durable outcome.

        A turn that waits for a person has one, too; it is followed anew when they have decided. Of a turn
        that runs already, what was said so far is shown first. The last events may not be shown, or many of
        them to a slow reader; the outcome has the whole last answer.

        Raises:
            EngineError: the turn could not begin, or the session failed under it.
        """
        ended = self._helper.submit(self._thread.call, self._run, begin)
        ended.add_done_callback(self._inbox.put)
        task_id = None
        stop_asked = False
        while True:
            match self._inbox.get():
                case _Begun(begun):
                    task_id = begun
                case _StopAsked():
                    stop_asked = True
                case Future():
                    return ended.result()
                case shown:
                    show(shown)
            if stop_asked and task_id is not None:
                stop_asked = False
                with contextlib.suppress(EngineError):  # the session failed, and the turn's end says so
                    self._thread.call(self._thread.engine.abort_turn, self._session_id, task_id)

    async def _run(self, begin: Begin) -> TaskOutcome:
        engine = self._thread.engine
        async with engine.events(self._session_id) as subscription:
            task_id = await begin()
            self._inbox.put(_Begun(task_id))
            for shown in _said_so_far(subscription.snapshot, task_id):
                self._inbox.put(shown)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._forward, subscription)
                # The outcome ends the turn, not an event: a session that fails says nothing any more.
                ended = await _outcome_or_error(engine, self._session_id, task_id)
                nursery.cancel_scope.cancel()
        if isinstance(ended, EngineError):
            raise ended
        return ended

    async def _forward(self, subscription: Subscription) -> None:
        async for event in subscription:
            if isinstance(event, Lagged):
                return
            if isinstance(event.body, Shown):
                self._inbox.put(event.body)


def _said_so_far(snapshot: SessionSnapshot | None, task_id: str) -> Iterator[Shown]:
    assert snapshot is not None, "a subscription without a cursor begins with a snapshot"
    return (MessageAdded(message) for message in snapshot.messages if message.task_id == task_id)


async def _outcome_or_error(engine: Engine, session_id: str, task_id: str) -> TaskOutcome | EngineError:
    try:
        return await engine.wait_turn(session_id, task_id)
    except EngineError as error:  # in a nursery it would become a group
        return error
