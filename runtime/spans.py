"""Spans: when each handler of an actor begins, how long it takes, and how it ends."""

from __future__ import annotations

from collections.abc import Coroutine
from types import CoroutineType
from typing import TYPE_CHECKING, Any, cast

import trio

if TYPE_CHECKING:
    from runtime.cell import Cell
    from runtime.dispatch import Handler

__all__ = ["Spans"]


class Spans:
    """An interceptor that is told of every handler, before it begins and when it has ended.

    For `Cell.intercept`. Each `begun` is followed by one `handled`, in the same context, unless the whole
    run is thrown away in between.
    """

    def begun(self, cell: Cell, message: Any) -> None:
        """A handler is about to be called. Must not raise."""

    def handled(self, cell: Cell, message: Any, seconds: float, error: BaseException | None) -> None:
        """A handler has ended, an async one also by being cancelled. Must not raise."""
        raise NotImplementedError

    def __call__(self, handler: Handler, actor: Any, message: Any) -> Any:
        cell: Cell = actor._cell
        self.begun(cell, message)
        began = trio.current_time()
        try:
            result = handler(actor, message)
        except BaseException as error:
            self.handled(cell, message, trio.current_time() - began, error)
            raise
        if type(result) is CoroutineType:
            return self._until_end(cast("Coroutine[Any, Any, Any]", result), cell, message, began)
        self.handled(cell, message, trio.current_time() - began, None)
        return result

    async def _until_end(
        self, coroutine: Coroutine[Any, Any, Any], cell: Cell, message: Any, began: float
    ) -> Any:
        try:
            result = await coroutine
        except GeneratorExit:  # thrown away unfinished, together with the whole run
            raise
        except BaseException as error:
            self.handled(cell, message, trio.current_time() - began, error)
            raise
        self.handled(cell, message, trio.current_time() - began, None)
        return result
