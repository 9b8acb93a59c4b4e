"""Child tasks: work that an actor owns and that ends with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from runtime.cell import Cell
from runtime.messages import ChildFailed, ChildrenGone

__all__ = ["ChildTask"]


class ChildTask:
    """A running child task. It may be cancelled by its owner; it may outlive nobody."""

    __slots__ = ("_scope",)

    def __init__(self) -> None:
        self._scope = trio.CancelScope()

    def cancel(self) -> None:
        """Ask the task to end at its next checkpoint. Idempotent, also after the end."""
        self._scope.cancel()

    @trio.lowlevel.enable_ki_protection
    async def run(
        self, cell: Cell, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]
    ) -> None:
        # KeyboardInterrupt protection: a real Ctrl-C is the host's business, never this actor's failure.
        failure: BaseException | None = None
        try:
            with self._scope:
                await function(*args)
        except trio.Cancelled:  # the whole system is being cancelled
            raise
        except BaseException as error:  # noqa: BLE001 - supervision edge: fails this one actor
            failure = error
        finally:
            assert cell.children is not None
            cell.children.discard(self)
            if cell.stopped and not cell.children:
                cell.put_control(ChildrenGone())
            elif failure is not None:
                cell.put_control(ChildFailed(failure))
