"""An actor system: starts actors, knows their names, stops them in order."""

from __future__ import annotations

import contextvars
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import trio

from runtime.cell import Cell, cell_of
from runtime.containment import CtrlCShield, is_below
from runtime.errors import NameTakenError, NoActorSystemError, SystemClosedError, SystemFailedError
from runtime.messages import ActorStop, Ask, Terminated
from runtime.reply import Reply
from runtime.scheduler import Scheduler
from runtime.tasks import ChildTask
from runtime.telemetry import get_logger

if TYPE_CHECKING:
    from runtime.actor import TrioActor
    from runtime.ref import ActorRef

__all__ = ["ActorSystem", "current_system", "open_system"]

P = ParamSpec("P")
A = TypeVar("A", bound="TrioActor")

_log = get_logger("runtime")


class ActorSystem:
    """A set of actors on one trio thread. Made by `open_system` or `start_system`.

    `spawn`, `spawn_named` and `find` may be called from any thread; `stop` from trio.
    """

    def __init__(self, *, shutdown_budget_seconds: float) -> None:
        self._shutdown_budget_seconds = shutdown_budget_seconds
        # Insertion order is the order of starting, and its reverse the order of stopping.
        self._cells: dict[Cell, None] = {}
        self._names: dict[str, Cell] = {}
        self._closing = False
        self._abandoned = False
        self._dead_letters = 0
        self._nursery: trio.Nursery | None = None
        self._scheduler: Scheduler | None = None
        self._close_requested = trio.Event()
        self._patience = trio.CancelScope()
        self._finished = trio.Event()
        self._failure: BaseException | None = None
        self._on_failure: Callable[[], object] = _do_nothing
        self._base_context = contextvars.copy_context()
        self._base_context.run(_current.set, self)

    # --- for users ----------------------------------------------------------------------------------

    def spawn(self, cls: Callable[P, A], *args: P.args, **kwargs: P.kwargs) -> ActorRef[A]:
        """Start an actor of class `cls`, made with these arguments, in this system only.

        `__init__` runs in the caller, `on_start` and everything else on the scheduler's thread.

        Raises:
            SystemClosedError: the system has stopped or is stopping.
        """
        return self._spawn(None, cls, *args, **kwargs)

    def spawn_named(self, name: str, cls: Callable[P, A], *args: P.args, **kwargs: P.kwargs) -> ActorRef[A]:
        """`spawn` an actor that `find(name)` knows until it is dead.

        Raises:
            NameTakenError: a live or stopping actor has that name.
            SystemClosedError: the system has stopped or is stopping.
        """
        return self._spawn(name, cls, *args, **kwargs)

    def _spawn(
        self, name: str | None, cls: Callable[P, A], *args: P.args, **kwargs: P.kwargs
    ) -> ActorRef[A]:
        actor = cls(*args, **kwargs)
        cell = cell_of(actor)
        cell.name = name
        ref = actor.actor_ref  # made here, where no other thread can make another one
        self.adopt(cell)
        return ref

    def find(self, name: str) -> ActorRef[Any] | None:
        """The actor with this name, if there is one."""
        cell = self._names.get(name)
        return None if cell is None else cell.ref

    @property
    def dead_letters(self) -> int:
        """How many messages were accepted or sent and had nobody left to handle them."""
        return self._dead_letters

    async def stop(self) -> None:
        """Stop all actors, the youngest first, each after the mail that it has; then the system.

        What has not ended within the shutdown budget is cancelled; an actor that hangs may use half of what
        is left of it, so that the older ones get their turn. Returns when nothing runs any more, also when
        the caller is being cancelled. May be called by several tasks, and again. A Ctrl-C meanwhile ends
        the budget at once.

        Called from an actor, whose own end is a part of it, it returns at once.
        """
        self._closing = True
        self._close_requested.set()
        if self._nursery is not None and is_below(self._nursery, trio.lowlevel.current_task()):
            return
        with trio.CancelScope(shield=True):
            try:
                await self._finished.wait()
            except KeyboardInterrupt:  # trio's; no scope shields from it
                self._patience.cancel()
                await self._finished.wait()
                raise

    # --- for the runtime ----------------------------------------------------------------------------

    @property
    def scheduler(self) -> Scheduler:
        assert self._scheduler is not None
        return self._scheduler

    @trio.lowlevel.enable_ki_protection
    def adopt(self, cell: Cell) -> None:
        """Take in a new actor and schedule its start."""
        if self._closing:
            raise SystemClosedError("the actor system has stopped or is stopping: it starts no more actors")
        if cell.name is not None and self._names.setdefault(cell.name, cell) is not cell:
            raise NameTakenError(f"an actor named {cell.name!r} is alive already")
        cell.system = self
        cell.context = self._base_context.copy()
        self._cells[cell] = None
        self.scheduler.enqueue(cell)
        if self._abandoned:  # it ended while another thread came this way
            self.abandon()

    def release(self, cell: Cell) -> bool:
        """Take a cell off the list of the living; whether it was there. One thread of several gets True."""
        return self._cells.pop(cell, cell) is None

    def forget(self, cell: Cell) -> None:
        """Take a dead actor out of the directories, and tell its watchers."""
        cell.leave_pykka_registry()
        if cell.name is not None and self._names.get(cell.name) is cell:
            del self._names[cell.name]
        for target in cell.watching or ():
            if target.watchers is not None:
                target.watchers.discard(cell)
        cell.watching = None
        watchers, cell.watchers = cell.watchers, None
        if watchers:
            for watcher in watchers:
                self._notify(watcher, cell)

    def _notify(self, watcher: Cell, cell: Cell) -> None:
        if not watcher.stopped:
            assert cell.ref is not None, "nobody can watch an actor without a ref"
            watcher.put(Terminated(cell.ref, cell.reason))

    def watch(self, watcher: Cell, target: Cell) -> None:
        if target.system is not self:
            raise ValueError(f"{target} runs in another actor system: it cannot be watched from here")
        if watcher.watching is None:
            watcher.watching = set()
        if target in watcher.watching:
            return
        watcher.watching.add(target)
        if target.dead:
            self._notify(watcher, target)
            return
        if target.watchers is None:
            target.watchers = set()
        target.watchers.add(watcher)

    def unwatch(self, watcher: Cell, target: Cell) -> None:
        if watcher.watching is not None:
            watcher.watching.discard(target)
        if target.watchers is not None:
            target.watchers.discard(watcher)

    def run_child(
        self, cell: Cell, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]
    ) -> ChildTask:
        if self._nursery is None or self._finished.is_set() or cell.stopped:
            raise SystemClosedError(f"{cell} is stopping: it starts no more tasks")
        child = ChildTask()
        if cell.children is None:
            cell.children = set()
        cell.children.add(child)
        self._nursery.start_soon(child.run, cell, function, args, name=function)
        return child

    def bury(self, addressee: object, message: object) -> None:
        """Count and log a message that nobody will handle. Never its content."""
        self._dead_letters += 1
        _log.debug("dead letter", actor=str(addressee), message_type=type(message).__name__)

    def abandon(self) -> None:
        """The scheduler has ended: so has every actor that is still there."""
        self._closing = self._abandoned = True
        for cell in tuple(self._cells):
            self.scheduler.finish(cell)

    async def run(self, started: trio.Event) -> None:
        """The life of the system, as a trio system task: shielded from the host's cancellation."""
        ctrl_c_shield = CtrlCShield()
        trio.lowlevel.add_instrument(ctrl_c_shield)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = ctrl_c_shield.nursery = nursery
                self._scheduler = Scheduler(nursery)
                nursery.start_soon(self._scheduler.dispatch)
                started.set()
                await self._close_requested.wait()
                await self._stop_actors()
                nursery.cancel_scope.cancel()
        except trio.Cancelled:  # the run ends under us
            raise
        except BaseException as error:  # noqa: BLE001 - the edge of the runtime: reported to the host
            self._failure = error
            self._on_failure()
        finally:
            trio.lowlevel.remove_instrument(ctrl_c_shield)
            self.abandon()
            self._finished.set()

    async def _stop_actors(self) -> None:
        deadline = trio.current_time() + self._shutdown_budget_seconds
        self._patience.deadline = deadline
        hanging: list[Reply[Any]] = []
        with self._patience:
            for cell in reversed(tuple(self._cells)):
                ended: Reply[Any] = Reply()
                cell.put(Ask(ActorStop(), ended))
                with trio.move_on_after((deadline - trio.current_time()) / 2):
                    await ended
                if not ended.done:
                    hanging.append(ended)
            for ended in hanging:
                await ended

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[None, None]:
        """Run the system around a block of the host's."""
        started = trio.Event()
        with trio.CancelScope() as host:
            self._on_failure = host.cancel
            token = _current.set(self)
            trio.lowlevel.spawn_system_task(self.run, started, name="runtime.ActorSystem")
            try:
                with trio.CancelScope(shield=True):
                    await started.wait()
                yield
            finally:
                await self.stop()
                _current.reset(token)
        if self._failure is not None:
            raise SystemFailedError("the actor runtime failed") from self._failure


@asynccontextmanager
async def open_system(*, shutdown_budget_seconds: float = 10.0) -> AsyncGenerator[ActorSystem, None]:
    """Run an actor system for the time of an `async with` block in trio.

    At the end of the block, be it left normally, by an exception or because the host is cancelled, the
    system stops in order: see `ActorSystem.stop`. The block's own exception passes through unchanged.

    Raises:
        SystemFailedError: the runtime itself failed; the block is cancelled then.
    """
    system = ActorSystem(shutdown_budget_seconds=shutdown_budget_seconds)
    async with system.serve():
        yield system


_current: contextvars.ContextVar[ActorSystem] = contextvars.ContextVar("runtime.current_system")
_default: list[ActorSystem] = []


def current_system() -> ActorSystem:
    """The system that `TrioActor.start()` uses here.

    Raises:
        NoActorSystemError: there is none.
    """
    system = _current.get(None)
    if system is not None:
        return system
    if _default:
        return _default[-1]
    raise NoActorSystemError(
        "no actor system here: use `async with runtime.open_system()`, or `runtime.start_system()`"
    )


def offer_as_default(system: ActorSystem) -> None:
    """Make a system the one that `start()` uses where no other is current."""
    _default.append(system)


def withdraw_as_default(system: ActorSystem) -> None:
    if system in _default:
        _default.remove(system)


def _do_nothing() -> None:
    pass
