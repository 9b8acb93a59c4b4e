"""The call of an async tool, in a task that its session can leave behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import outcome
import trio

from runtime.containment import cancel_status_of, leave_open_scopes, scope_left_open

__all__ = ["TaskCall"]


class TaskCall:
    """Runs one coroutine function. Whatever that does, nothing leaves `run`, and `over` is set at the end.

    A call that goes on when it is cancelled can be left alone: it does not see its cancellation any more,
    which would otherwise meet it at each of its steps and keep it spinning.
    """

    __slots__ = ("_function", "_leash", "_scope", "over", "result")

    def __init__(self, function: Callable[[], Awaitable[str]]) -> None:
        self._function = function
        self._scope = trio.CancelScope()
        self._leash = trio.CancelScope()
        self.over = trio.Event()
        self.result: outcome.Outcome[str] | None = None

    # A real Ctrl-C is the host's business, and never raised in here.
    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        try:
            with self._scope, self._leash:
                self.result = await self._contained()
        finally:
            self.over.set()

    async def _contained(self) -> outcome.Outcome[str]:
        task = trio.lowlevel.current_task()
        cancel_status = cancel_status_of(task)
        try:
            result: outcome.Outcome[str] = outcome.Value(await self._function())
        except BaseException as error:  # noqa: BLE001 - supervision edge: becomes the result of the call
            result = outcome.Error(error)
        if cancel_status_of(task) is not cancel_status:
            leave_open_scopes(task, cancel_status)
            result = outcome.Error(scope_left_open())
        return result

    def cancel(self) -> None:
        self._scope.cancel()

    def leave(self) -> None:
        """Let it be: until `recall`, it does not see that it is cancelled."""
        self._leash.shield = True

    def recall(self) -> None:
        """The program ends: it sees again that it is cancelled."""
        self._leash.shield = False
        self._scope.cancel()
