"""An actor system: starts actors, knows their names, stops them in order."""

from __future__ import annotations

import contextvars
import threading
from _thread import get_ident
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import trio

from runtime import lifecycle
from runtime.cell import NO_BELONGINGS, Cell, cell_of, make_actor
from runtime.containment import CtrlCShield, is_below
from runtime.dead_letters import DeadLetters
from runtime.errors import NameTakenError, NoActorSystemError, SystemClosedError, SystemFailedError
from runtime.events import EventStream
from runtime.faults.injector import Injector, install
from runtime.life import NOT_WORKING, Life
from runtime.messages import ActorStop, DeathNotice, Halt, Kill
from runtime.observer import Observation, Observer
from runtime.owner import disown, owner_of_new_task
from runtime.scheduler import Pace, Scheduler
from runtime.statistics import Statistics
from runtime.tasks import ChildTask
from runtime.watchdog import Watchdog

if TYPE_CHECKING:
    from runtime.actor import TrioActor
    from runtime.faults.plan import FaultPlan
    from runtime.ref import ActorRef

__all__ = ["ActorSystem", "current_system", "open_system"]

P = ParamSpec("P")
A = TypeVar("A", bound="TrioActor")


class ActorSystem:
    """A set of actors on one trio thread. Made by `open_system` or `start_system`.

    `spawn`, `spawn_named`, `find` and `names` may be called from any thread; `stop` from trio.
    """

    def __init__(
        self,
        *,
        shutdown_budget_seconds: float,
        pace: Pace,
        handler_limit_seconds: float | None,
        observer: Observer | None,
    ) -> None:
        if not isinstance(shutdown_budget_seconds, int | float) or not shutdown_budget_seconds >= 0:  # pyright: ignore[reportUnnecessaryIsInstance] - it would show at the end
            raise ValueError(
                f"a shutdown budget is a number of seconds from 0 on, not {shutdown_budget_seconds}"
            )
        if handler_limit_seconds is not None and not handler_limit_seconds > 0:
            raise ValueError(f"a limit of {handler_limit_seconds} seconds for handlers is not more than 0")
        self._shutdown_budget_seconds = shutdown_budget_seconds
        self._pace = pace
        self._handler_limit_seconds = handler_limit_seconds
        self._observation = None if observer is None else Observation(observer)
        # The actors without a parent. Insertion order is the order of starting, and its reverse the order
        # of stopping.
        self._roots: dict[Cell, None] = {}
        self._child_actors = 0
        self._names: dict[str, Cell] = {}
        self._closing = False
        self._abandoned = False
        self._abandon_lock = threading.RLock()
        self._nursery: trio.Nursery | None = None
        self._scheduler: Scheduler | None = None
        self._close_requested = trio.Event()
        self._stopping = _Stopping(self._roots)
        self._finished = trio.Event()
        self.faults: Injector | None = None
        """What puts the faults of an experiment in: see `runtime.faults`."""
        self._failure: BaseException | None = None
        self._on_failure: Callable[[], object] = _do_nothing
        self._base_context = contextvars.copy_context()
        self._base_context.run(disown)
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
        if not callable(cls):
            raise TypeError(f"spawn takes a class of TrioActor and its arguments, not {cls!r}")
        actor = make_actor(cls, *args, **kwargs)
        if type(getattr(actor, "_cell", None)) is not Cell:
            raise TypeError(f"spawn takes a class of TrioActor and its arguments; {cls!r} made {actor!r}")
        ref = actor.actor_ref  # made here, where no other thread can make another one
        self.adopt(cell_of(actor), name=name)
        return ref

    def find(self, name: str) -> ActorRef[Any] | None:
        """The actor with this name, if there is one."""
        cell = self._names.get(name)
        return None if cell is None else cell.ref

    def names(self, prefix: str) -> tuple[str, ...]:
        """The names that `find` knows now and that begin so, the oldest first. Looks at all names."""
        return tuple(name for name in tuple(self._names) if name.startswith(prefix))

    @property
    def dead_letters(self) -> int:
        """How many messages were accepted or sent and were handled by nobody."""
        return self._letters.count

    @property
    def events(self) -> EventStream:
        """What happens in this system, to subscribe to: `DeadLetter`, `ActorFailed`, events of your own."""
        return self._events

    def statistics(self) -> Statistics:
        """The numbers of this moment. From any thread, in no time; after the end of the system as well."""
        scheduler = self.scheduler
        return Statistics(
            actors=len(self._roots) + self._child_actors,
            ready=len(scheduler.ready),
            async_handlers=scheduler.workers.busy,
            tasks=scheduler.tasks,
            timers=len(scheduler.alarms),
            spawned=scheduler.spawned,
            messages_handled=scheduler.handled - scheduler.empty_slices,
            dead_letters=self._letters.count,
            failures=scheduler.failures,
            restarts=scheduler.restarts,
        )

    # A Ctrl-C comes where the host waits here, and not in between, where the system would run on.
    @trio.lowlevel.enable_ki_protection
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
                self._stopping.patience.cancel()
                await self._finished.wait()
                raise

    @property
    def is_closing(self) -> bool:
        """Whether it starts no more actors."""
        return self._closing

    # --- for the runtime ----------------------------------------------------------------------------

    @property
    def scheduler(self) -> Scheduler:
        assert self._scheduler is not None
        return self._scheduler

    def new_context(self) -> contextvars.Context:
        return self._base_context.copy()

    @trio.lowlevel.enable_ki_protection
    def adopt(self, cell: Cell, *, name: str | None = None, parent: Cell | None = None) -> None:
        """Take in a new actor and schedule its start."""
        if self._closing and parent is None:
            raise SystemClosedError("the actor system has stopped or is stopping: it starts no more actors")
        if cell.scheduler is not None:
            raise RuntimeError(f"{cell} has been started already")
        if name is not None:
            if self._names.setdefault(name, cell) is not cell:
                raise NameTakenError(f"an actor named {name!r} is alive already")
            cell.own().name = name
        scheduler = self.scheduler
        cell.scheduler = scheduler
        cell.context = self._base_context.copy()
        if parent is None:
            self._roots[cell] = None
        else:
            cell.own().parent = parent
            family = parent.own()
            if family.child_actors is None:
                family.child_actors = {}
            family.child_actors[cell] = None
            self._child_actors += 1
        if self._observation is not None:
            self._observation.adopt(cell)
        if self.faults is not None:
            self.faults.adopt(cell)
        cell.guarded = cell.belongings.bounds is not None
        if get_ident() == scheduler.thread_id:
            scheduler.admit(cell)
        else:
            scheduler.run_soon(scheduler.admit, cell)
        if self._abandoned:  # it ended while another thread came this way
            self.abandon()

    def release(self, cell: Cell) -> None:
        """Take a dead cell out of its family."""
        if self._observation is not None:
            self._observation.ended(cell)
        parent = cell.belongings.parent
        if parent is None:
            self._roots.pop(cell, None)
            self._stopping.gone(cell)
        elif parent.belongings.child_actors is not None:
            parent.belongings.child_actors.pop(cell, None)
            self._child_actors -= 1

    @property
    def nursery(self) -> trio.Nursery:
        assert self._nursery is not None
        return self._nursery

    def forget(self, cell: Cell) -> None:
        """Take a dead actor out of the directories, and tell its watchers."""
        belongings = cell.belongings
        if belongings.subscribed and cell.ref is not None:
            self._events.unsubscribe(cell.ref)
        if belongings.name is not None and self._names.get(belongings.name) is cell:
            del self._names[belongings.name]
        for target in belongings.watching or ():
            if target.belongings.watchers is not None:
                target.belongings.watchers.pop(cell, None)
        watchers = belongings.watchers
        if belongings is not NO_BELONGINGS:
            belongings.watching = belongings.watchers = None
        for watcher in watchers or ():
            self._notify(watcher, cell)

    def _notify(self, watcher: Cell, cell: Cell) -> None:
        if watcher.is_alive:
            assert cell.ref is not None, "nobody can watch an actor without a ref"
            watcher.post(DeathNotice(cell.ref, cell.belongings.reason))

    def watch(self, watcher: Cell, target: Cell) -> None:
        if target.system is None:
            raise ValueError(f"{target} has not been started: it cannot be watched yet")
        if target.system is not self:
            raise ValueError(f"{target} runs in another actor system: it cannot be watched from here")
        belongings = watcher.own()
        if belongings.watching is None:
            belongings.watching = set()
        if target in belongings.watching:
            return
        belongings.watching.add(target)
        if target.life is Life.DEAD:
            self._notify(watcher, target)
            return
        watched = target.own()
        if watched.watchers is None:
            watched.watchers = {}
        watched.watchers[watcher] = None

    def unwatch(self, watcher: Cell, target: Cell) -> None:
        if watcher.belongings.watching is not None:
            watcher.belongings.watching.discard(target)
        if target.belongings.watchers is not None:
            target.belongings.watchers.pop(watcher, None)

    def run_child(
        self, cell: Cell, function: Callable[..., Awaitable[object]], args: tuple[Any, ...]
    ) -> ChildTask:
        if self._finished.is_set() or cell.life in NOT_WORKING:
            raise SystemClosedError(f"{cell} is stopping: it starts no more tasks")
        if self.faults is not None:
            function, args = self.faults.task(cell, function, args)
        child = ChildTask(owner_of_new_task(cell))
        belongings = cell.own()
        if belongings.tasks is None:
            belongings.tasks = set()
        belongings.tasks.add(child)
        self.scheduler.tasks += 1
        self.nursery.start_soon(child.run, cell, function, args, name=function)
        return child

    def bury(self, recipient: ActorRef[Any] | None, message: object, reason: str) -> None:
        """Take a message that nobody will handle."""
        self._letters.add(recipient, message, reason)

    def abandon(self) -> None:
        """The scheduler has ended: so has every actor that is still there."""
        with self._abandon_lock:
            self._closing = self._abandoned = True
            for cell in reversed(tuple(self._roots)):
                try:
                    lifecycle.finish(cell)
                except BaseException as error:  # noqa: BLE001 - our own doing: the others must end all the same
                    lifecycle.give_up(cell, error)
            if self._scheduler is not None:
                self._scheduler.end()

    async def run(self, started: trio.Event) -> None:
        """The life of the system, as a trio system task: shielded from the host's cancellation."""
        ctrl_c_shield = CtrlCShield()
        watchdog: Watchdog | None = None
        trio.lowlevel.add_instrument(ctrl_c_shield)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = ctrl_c_shield.nursery = nursery
                self._scheduler = Scheduler(self, nursery, self._pace, self._observation)
                self._events = EventStream(self._scheduler)
                self._letters = DeadLetters(self._events)
                if self._observation is not None:
                    self._observation.subscribe(self._events)
                if self._handler_limit_seconds is not None:
                    watchdog = Watchdog(self._scheduler, self._handler_limit_seconds)
                nursery.start_soon(self._scheduler.dispatch, name="runtime.dispatcher")
                nursery.start_soon(self._scheduler.alarms.run, name="runtime.alarms")
                started.set()
                await self._close_requested.wait()
                await self._stopping.run(self._shutdown_budget_seconds)
                nursery.cancel_scope.cancel()
        except trio.Cancelled:  # the run ends under us
            raise
        except BaseException as error:  # noqa: BLE001 - the edge of the runtime: reported to the host
            self._failure = error
            self._on_failure()
        finally:
            trio.lowlevel.remove_instrument(ctrl_c_shield)
            try:
                if watchdog is not None:
                    watchdog.stop()
                self.abandon()
            finally:  # the host waits for both, and nothing could cancel it
                started.set()
                self._finished.set()

    @asynccontextmanager
    @trio.lowlevel.enable_ki_protection
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
@trio.lowlevel.enable_ki_protection
async def open_system(
    *,
    shutdown_budget_seconds: float = 10.0,
    handler_limit_seconds: float | None = 0.5,
    observer: Observer | None = None,
    pace: Pace | None = None,
    faults: FaultPlan | None = None,
) -> AsyncGenerator[ActorSystem, None]:
    """Run an actor system for the time of an `async with` block in trio.

    At the end of the block, be it left normally, by an exception or because the host is cancelled, the
    system stops in order: see `ActorSystem.stop`. The block's own exception passes through unchanged.

    A handler that holds the scheduler's thread longer than `handler_limit_seconds` is reported while it
    does so, in the log, and afterwards as `SchedulerHeld`; with None nobody looks. `observer` is told what
    happens in the system.

    `pace` decides about order in experiments, see `runtime.testing`; `faults` is what goes wrong in them,
    see `runtime.faults`.

    Raises:
        SystemFailedError: the runtime itself failed; the block is cancelled then.
    """
    system = ActorSystem(
        shutdown_budget_seconds=shutdown_budget_seconds,
        pace=pace or Pace(),
        handler_limit_seconds=handler_limit_seconds,
        observer=observer,
    )
    async with system.serve():
        if faults is not None:
            install(system, faults)
        yield system


class _Stopping:
    """The orderly end of all actors without a parent, the youngest first, one after another.

    Each end starts the next from where it happens, so that the cost of stopping is that of the ends.
    """

    def __init__(self, roots: dict[Cell, None]) -> None:
        self.patience = trio.CancelScope()
        self._roots = roots
        # In the order of starting, taken from the end. Not the dict itself: to find its last key takes as
        # long as there are keys that were deleted behind it.
        self._to_stop: list[Cell] = []
        self._hanging: dict[Cell, None] = {}
        self._awaited: Cell | None = None
        self._all_gone = trio.Event()
        self._running = False

    def gone(self, cell: Cell) -> None:
        """A root is dead."""
        self._hanging.pop(cell, None)
        if self._running and (cell is self._awaited or self._awaited is None):
            self._stop_next()

    async def run(self, budget_seconds: float) -> None:
        """Return when all are dead, or when the budget is over."""
        deadline = trio.current_time() + budget_seconds
        self._running = True
        self.patience.deadline = deadline
        with self.patience:
            self._stop_next()
            while not self._all_gone.is_set():
                if self._awaited is None:  # only those are left that hang
                    await self._all_gone.wait()
                    break
                awaited = self._awaited
                with trio.move_on_after(max(0.0, deadline - trio.current_time()) / 2):
                    await self._all_gone.wait()
                if self._awaited is awaited and not self._all_gone.is_set():
                    self._hanging[awaited] = None
                    self._stop_next()
        self._running = False
        for cell in self._hanging:
            cell.deliver_control(Kill())

    def _stop_next(self) -> None:
        """Go on to the youngest that has not been asked to stop."""
        self._awaited = None
        # Looking again: another thread may just have been on its way in.
        self._to_stop = self._to_stop or [cell for cell in tuple(self._roots) if cell not in self._hanging]
        while self._to_stop:
            cell = self._to_stop.pop()
            if cell.life is not Life.DEAD:
                self._awaited = cell
                if cell.belongings.suspended:  # it would keep the stop waiting as well
                    cell.deliver_control(Halt(None))
                else:
                    cell.post(ActorStop())
                return
        if not self._roots:
            self._all_gone.set()


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
