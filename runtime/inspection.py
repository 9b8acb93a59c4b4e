"""Looking into a running actor, halting it for a while, and listening to what it handles.

Everything here is done on the scheduler's thread, between two messages and before any mail: it works also
while an async handler of the actor hangs. All functions may be called from any thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pykka
import trio

from runtime.cell import NO_BELONGINGS, cell_of
from runtime.dead_letters import LogThrottle
from runtime.life import Life
from runtime.messages import Halt
from runtime.owner import message_type_of
from runtime.ref import ActorRef
from runtime.reply import Reply, answer, answer_error
from runtime.reporting import report
from runtime.spans import Spans
from runtime.telemetry import get_logger

if TYPE_CHECKING:
    from runtime.actor import TrioActor
    from runtime.cell import Cell
    from runtime.dispatch import Handler
else:
    import pykka

    TrioActor = pykka.Actor  # for help(), which evaluates the types of a Struct's fields

__all__ = ["Inspection", "Slices", "Trace", "TraceEntry", "inspect", "resume", "suspend", "trace"]

T = TypeVar("T")

_log = get_logger("runtime")


class Slices(msgspec.Struct, frozen=True):
    """How long a traced actor has held the scheduler at a time. Times are trio's, in seconds."""

    count: int
    last_seconds: float
    longest_seconds: float


class Inspection(msgspec.Struct, frozen=True):
    """What an actor was at some moment."""

    actor_class: type[TrioActor]
    name: str | None
    urn: str
    life: Life
    suspended: bool
    mailbox_length: int
    """How much mail waits: messages, also those of timers, stops and death notices."""
    handling: type | None
    """The type of the message that is being handled."""
    async_running: bool
    """Whether an `async def` handler or hook has not ended."""
    tasks: int
    child_actors: tuple[ActorRef[Any], ...]
    """In the order in which they were started."""
    timers: tuple[Hashable, ...]
    """The keys of those whose message is still to come."""
    watchers: tuple[ActorRef[Any], ...]
    slices: Slices | None
    """Since the eldest `trace` of it began; None when it is not traced."""
    state: dict[str, Any]
    """A shallow copy of the actor's attributes. Empty when it is dead, or between two incarnations."""


class TraceEntry(msgspec.Struct, frozen=True):
    """A message that an actor has handled."""

    ref: ActorRef[Any]
    message: Any
    seconds: float
    """From the call of the handler to its end, that of an async one included. By trio's clock."""
    error: BaseException | None
    """What left the handler: an answer to the asker, a failure of the actor, or `trio.Cancelled`."""


def inspect(ref: ActorRef[Any]) -> Reply[Inspection]:
    """Look into an actor, also into a dead one."""
    return _on_scheduler(ref.cell, _inspect)


def suspend(ref: ActorRef[Any]) -> Reply[None]:
    """Have an actor handle no mail until `resume`. The running handler goes on, what comes waits.

    Suspended twice is suspended once. `on_start`, `kill`, `stop(drain=False)`, child tasks and failures of
    them are not held up, a restart is no end to it. When its system or its parent stops, the actor ends
    without the mail that waits. The reply is an `ActorDeadError` if it is dead.
    """
    return _on_scheduler(ref.cell, _suspend)


def resume(ref: ActorRef[Any]) -> Reply[None]:
    """Have an actor handle its mail again. For one that is not suspended it is nothing."""
    return _on_scheduler(ref.cell, _resume)


def trace(ref: ActorRef[Any], listener: Callable[[TraceEntry], object]) -> Trace:
    """Call `listener(entry)` on the scheduler's thread for each message that the actor handles.

    It begins with the next slice of the actor and ends with `Trace.stop()`; restarts are no end to it.
    The listener must be quick; what it raises is logged, a few times a minute. An actor that is not traced
    pays nothing.
    """
    return Trace(ref, listener)


class Trace(Spans):
    """A listener at work. Made by `trace`."""

    def __init__(self, ref: ActorRef[Any], listener: Callable[[TraceEntry], object]) -> None:
        self._ref = ref
        self._listener = listener
        self._throttle = LogThrottle(lines=10, window_seconds=60.0, clock=time.monotonic)
        self._in_slice = -1
        self._slice_began = 0.0
        self.slices = Slices(0, 0.0, 0.0)
        _on_scheduler(ref.cell, lambda cell: cell.life is Life.DEAD or cell.intercept(self))

    def stop(self) -> None:
        """Listen no more. At once on the scheduler's thread, soon from others. Idempotent."""
        _on_scheduler(self._ref.cell, self._stop)

    def _stop(self, cell: Cell) -> None:
        if self in cell.belongings.interceptors:
            cell.stop_intercepting(self)

    def handled(self, cell: Cell, message: Any, seconds: float, error: BaseException | None) -> None:
        try:
            self._listener(TraceEntry(self._ref, message, seconds, error))
        except BaseException:  # noqa: BLE001 - supervision edge: the actor that is traced is not to blame
            held_back = self._throttle.admit()
            if held_back is not None:
                report(
                    _log.exception,
                    "a listener of a trace failed",
                    actor=str(cell),
                    not_logged_before=held_back,
                )

    def __call__(self, handler: Handler, actor: Any, message: Any) -> Any:
        scheduler = cell_of(actor).scheduler
        assert scheduler is not None
        # It stands still during a slice, and goes on by at least one after it.
        number = scheduler.handled
        if number != self._in_slice:
            self._in_slice = number
            self._slice_began = trio.current_time()
            self.slices = msgspec.structs.replace(self.slices, count=self.slices.count + 1)
        try:
            return super().__call__(handler, actor, message)
        finally:
            seconds = trio.current_time() - self._slice_began
            self.slices = Slices(self.slices.count, seconds, max(self.slices.longest_seconds, seconds))


@trio.lowlevel.enable_ki_protection
def _on_scheduler(cell: Cell, function: Callable[[Cell], T]) -> Reply[T]:
    reply: Reply[T] = Reply()

    def work() -> None:
        try:
            result = function(cell)
        except Exception as error:  # noqa: BLE001 - the edge of the scheduler: it becomes the answer
            answer_error(reply, error, error.__traceback__)
        else:
            answer(reply, result)

    if cell.scheduler is None:  # not started yet
        work()
    else:
        cell.scheduler.call(work)
    return reply


def _inspect(cell: Cell) -> Inspection:
    belongings = cell.belongings
    state = {} if cell.actor is None else dict(vars(cell.actor))
    state.pop("_cell", None)
    return Inspection(
        actor_class=cell.actor_class,
        name=belongings.name,
        urn=cell.urn,
        life=cell.life,
        suspended=belongings.suspended,
        mailbox_length=len(cell.mail or ()),
        handling=message_type_of(cell.handling),
        async_running=cell.busy and cell.life is not Life.DEAD,
        tasks=len(belongings.tasks or ()),
        child_actors=_refs(belongings.child_actors or ()),
        timers=() if belongings.timers is None else belongings.timers.keys,
        watchers=_refs(belongings.watchers or ()),
        slices=next((i.slices for i in belongings.interceptors if isinstance(i, Trace)), None),
        state=state,
    )


def _refs(cells: Any) -> tuple[ActorRef[Any], ...]:
    return tuple(cell.ref for cell in cells if cell.ref is not None)


def _suspend(cell: Cell) -> None:
    if cell.life is Life.DEAD:
        raise pykka.ActorDeadError(f"{cell} not found")
    cell.own().suspended = True
    cell.takes_mail = False
    if cell.belongings.parent is None and cell.system is not None and cell.system.is_closing:
        cell.deliver_control(Halt(None))  # the stop in its mail would wait with the rest


def _resume(cell: Cell) -> None:
    if cell.life is Life.DEAD:
        raise pykka.ActorDeadError(f"{cell} not found")
    if cell.belongings is not NO_BELONGINGS:
        cell.belongings.suspended = False
    cell.takes_mail = cell.life is Life.RUNNING
    if cell.mail and cell.takes_mail:
        cell.schedule()
