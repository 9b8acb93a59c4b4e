"""Whose code is running: which actor a trio task, or a stack of calls, belongs to.

Known without any work per message: a task carries its owner in its context, and a handler that runs in a
slice is found on the stack. Only whoever asks pays, the log and the watchdog.
"""

from __future__ import annotations

import contextvars
import sys
import weakref
from collections.abc import Callable
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import trio

from runtime.messages import Ask, Counted
from runtime.timers import Tick

if TYPE_CHECKING:
    from runtime.cell import Cell

__all__ = [
    "Owner",
    "current_owner",
    "disown",
    "message_type_of",
    "owned_by",
    "owner_in",
    "owner_of_new_task",
    "runs_handlers",
    "slice_frame",
]

P = ParamSpec("P")
R = TypeVar("R")


class Owner:
    """An actor whose code is running, and the type of message that it runs for."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        # Contexts outlive actors: in idle workers, and in whatever users keep.
        self._cell = weakref.ref(cell)

    @property
    def cell(self) -> Cell | None:
        """None when the actor is gone."""
        return self._cell()

    @property
    def message_type(self) -> type | None:
        """None in a hook, and in what was started by one."""
        cell = self._cell()
        return None if cell is None else message_type_of(cell.handling)


class TaskOwner(Owner):
    """The owner of a child task, which belongs to the message that it was spawned for."""

    __slots__ = ("_message_type",)

    def __init__(self, cell: Cell, message_type: type | None) -> None:
        super().__init__(cell)
        self._message_type = message_type

    @property
    def message_type(self) -> type | None:
        return self._message_type


def owned_by(owner: Owner) -> None:
    """The current context runs code of this owner from now on."""
    present = _owner.get()
    if present is None or present.cell is not owner.cell or type(present) is not type(owner):
        _owner.set(owner)


def disown() -> None:
    """The current context belongs to no actor: another system begins in it."""
    if _owner.get() is not None:
        _owner.set(None)


def owner_of_new_task(cell: Cell) -> Owner:
    """The owner of a child task that is being spawned here."""
    present = _owner.get()
    if type(present) is TaskOwner and present.cell is cell:
        return present
    return TaskOwner(cell, message_type_of(cell.handling))


def owner_in(context: contextvars.Context) -> Owner | None:
    return context.get(_owner)


def current_owner() -> Owner | None:
    """Whose code is calling this; None outside of actors."""
    owner = _owner.get()
    if owner is None and trio.lowlevel.in_trio_task():
        frame = slice_frame(sys._getframe())  # pyright: ignore[reportPrivateUsage] - documented in the library reference
        if frame is not None:
            owner = Owner(frame.f_locals["cell"])
    return owner


def message_type_of(item: Any) -> type[Any] | None:
    """The type of the user's message in an item of the mail."""
    if type(item) is Counted:
        item = item.item
    if type(item) is Ask or type(item) is Tick:
        item = item.message
    return None if item is None else cast("type[Any]", type(item))


def runs_handlers(function: Callable[P, R]) -> Callable[P, R]:
    """Mark the function whose local `cell` is the actor that what it calls belongs to."""
    _slices.add(function.__code__)
    return function


def slice_frame(frame: FrameType | None) -> FrameType | None:
    """The frame of the slice that this one was called from, if there is one."""
    while frame is not None and frame.f_code not in _slices:
        frame = frame.f_back
    return frame


_owner: contextvars.ContextVar[Owner | None] = contextvars.ContextVar("runtime.owner", default=None)
_slices: set[CodeType] = set()
