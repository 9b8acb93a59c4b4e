"""The child tasks of a session's turn: its model call, its tools, the images that are read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import trio

from actors.session.protocol import CallsStopped, ToolStopped
from runtime import ChildTask, get_logger

__all__ = ["TurnTasks"]

_log = get_logger("session")

_GRACE_SECONDS = 5.0
"""What ignores its cancellation for longer is not waited for: others may have the slot."""


class _Child:
    __slots__ = ("is_cancelled", "key", "task")

    def __init__(self, key: tuple[str, str]) -> None:
        self.key = key
        self.is_cancelled = False  # alone
        self.task: ChildTask | None = None

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


class TurnTasks:
    """Starts them, stops them, and tells the session when what it has stopped has ended.

    `spawn` starts a child task of the session's actor, `tell` puts a message into its mailbox. Belongs to
    the actor's thread.
    """

    __slots__ = ("_children", "_grace", "_number", "_running", "_spawn", "_stopped", "_tell")

    def __init__(
        self, spawn: Callable[..., ChildTask], tell: Callable[[CallsStopped | ToolStopped], None]
    ) -> None:
        self._spawn = spawn
        self._tell = tell
        self._running: dict[tuple[str, str], _Child] = {}  # the newest of each name: models use ids again
        self._children: set[_Child] = set()
        self._stopped: set[_Child] = set()
        self._number = 0
        self._grace: ChildTask | None = None

    @property
    def is_at_rest(self) -> bool:
        """Whether all that was started has ended."""
        return not self._children and not self._stopped

    def start(
        self, task_id: str, name: str, function: Callable[..., Awaitable[object]], *args: Any
    ) -> None:
        """Run `function(*args)` as that child of the turn, a call id or what it is."""
        child = _Child((task_id, name))
        self._running[child.key] = child
        self._children.add(child)
        child.task = self._spawn(self._run, child, function, args)

    async def _run(
        self, child: _Child, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]
    ) -> None:
        try:
            await function(*args)
        finally:
            self._children.discard(child)
            if self._running.get(child.key) is child:
                del self._running[child.key]
            if child.is_cancelled:
                self._tell(ToolStopped(*child.key))
            self._over(child)

    def cancel(self, task_id: str, names: Iterable[str]) -> None:
        """Cancel these calls. `ToolStopped` follows of each when it has ended, or at once if it has."""
        for name in names:
            child = self._running.pop((task_id, name), None)
            if child is None:
                self._tell(ToolStopped(task_id, name))
            else:
                child.is_cancelled = True
                child.cancel()

    def stop(self, number: int) -> None:
        """Cancel all of them. `CallsStopped(number)` follows when they have ended, or after a grace."""
        self._number = number
        self._running.clear()
        children, self._children = self._children, set()
        self._stopped |= children
        for child in children:
            child.cancel()
        if not self._stopped:
            self._tell(CallsStopped(number))
        elif self._grace is None:
            self._grace = self._spawn(self._wait)

    def _over(self, child: _Child) -> None:
        if child not in self._stopped:
            return
        self._stopped.remove(child)
        if not self._stopped:
            if self._grace is not None:
                self._grace.cancel()
                self._grace = None
            self._tell(CallsStopped(self._number))

    async def _wait(self) -> None:
        await trio.sleep(_GRACE_SECONDS)
        self._grace = None
        _log.warning("stopped calls do not end", count=len(self._stopped), seconds=_GRACE_SECONDS)
        self._stopped.clear()
        self._tell(CallsStopped(self._number))
