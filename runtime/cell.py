"""The cell behind a ref: one actor's mail, life and belongings, through all its incarnations."""

from __future__ import annotations

import contextlib
import contextvars
import threading
import uuid
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import pykka
import trio

from runtime.bounds import Bounds
from runtime.dispatch import Handlers, InterceptedHandlers
from runtime.idle import IdleNotice
from runtime.life import TRANSITIONS, Life
from runtime.messages import (
    ActorStop,
    Ask,
    ChildEnded,
    ChildStarted,
    Control,
    Counted,
    DeathNotice,
    Halt,
    Kill,
)
from runtime.reply import answer, answer_dead
from runtime.timers import Tick

if TYPE_CHECKING:
    from pykka._envelope import Envelope

    from runtime.actor import TrioActor
    from runtime.dispatch import Interceptor
    from runtime.idle import IdleWatch
    from runtime.ref import ActorRef
    from runtime.scheduler import Scheduler
    from runtime.system import ActorSystem
    from runtime.tasks import ChildTask
    from runtime.timers import Alarm, Timers
    from runtime.workers import Job

__all__ = [
    "NOT_FOR_USERS",
    "NO_BELONGINGS",
    "Belongings",
    "Cell",
    "Inbox",
    "cell_for",
    "cell_of",
    "is_no_loss",
    "make_actor",
    "reincarnate",
]


P = ParamSpec("P")
A = TypeVar("A", bound="TrioActor")


class Belongings:
    """What most actors never have: made when one of these is set for the first time."""

    __slots__ = (
        "alarm",
        "bounds",
        "child_actors",
        "deferred",
        "deferred_elsewhere",
        "factory",
        "hook_on_end",
        "idle_watch",
        "in_pykka_registry",
        "inbox",
        "interceptors",
        "job",
        "killed",
        "name",
        "parent",
        "reason",
        "shutdown_seconds",
        "stop_replies",
        "stopped_event",
        "subscribed",
        "supervised",
        "suspended",
        "tasks",
        "timers",
        "to_end",
        "urn",
        "watchers",
        "watching",
    )

    def __init__(self) -> None:
        self.name: str | None = None
        self.urn: str | None = None
        self.inbox: Inbox | None = None
        self.stopped_event: threading.Event | None = None
        self.in_pykka_registry = False
        self.bounds: Bounds | None = None
        self.interceptors: tuple[Interceptor, ...] = ()
        self.suspended = False
        self.subscribed = False  # to the event stream

        # The family: a child actor ends with its parent, which waits `shutdown_seconds` for it before it
        # kills it; None is for ever.
        self.parent: Cell | None = None
        self.child_actors: dict[Cell, None] | None = None
        self.shutdown_seconds: float | None = None
        self.factory: Callable[[], TrioActor] | None = None
        self.supervised = False
        self.watchers: dict[Cell, None] | None = None  # told in the order in which they came
        self.watching: set[Cell] | None = None

        self.begin_incarnation()

    def begin_incarnation(self) -> None:
        """What belongs to one incarnation begins anew with the next."""
        self.to_end: list[Cell] | None = None  # child actors, once it is ending
        self.alarm: Alarm | None = None  # rings when the time to end is over
        self.job: Job | None = None
        self.tasks: set[ChildTask] | None = None
        self.timers: Timers | None = None
        self.idle_watch: IdleWatch | None = None
        self.deferred: set[pykka.Future[Any]] | None = None
        self.deferred_elsewhere: weakref.WeakSet[pykka.Future[Any]] | None = None
        self.stop_replies: list[pykka.Future[Any]] | None = None
        self.reason: BaseException | None = None
        self.hook_on_end = True
        self.killed = False


class Cell:
    """One actor as the scheduler sees it.

    A cell belongs to the scheduler's thread. From any thread may be called: `submit`, `post`,
    `post_control` (other threads hand in what they bring through `Scheduler.run_soon`), and what is made
    on demand (`urn`, `inbox`, `stopped_event`).

    Invariants:
    - `scheduled` is True while the cell stands in the ready queue, runs a slice or is `busy`. Only the
      scheduler clears it, and it looks at the mail again afterwards: a finalizer or a signal handler may
      tell the actor something at any moment. Should both queue it, that costs an empty slice.
    - `busy` is True while an async handler or hook runs, and belongs to the workers: no slice runs then,
      which is what keeps it at one handler at a time.
    - `takes_mail` is True while the actor is RUNNING and not suspended. Mail that comes at another time
      waits for the next incarnation, or for the last drain.
    - `guarded` is True when a `tell` may not just append: before the start, in a bounded mailbox, and
      after the end.
    """

    __slots__ = (
        "__weakref__",
        "actor",
        "actor_class",
        "asked",
        "belongings",
        "busy",
        "context",
        "control",
        "guarded",
        "handlers",
        "handling",
        "life",
        "mail",
        "ref",
        "scheduled",
        "scheduler",
        "takes_mail",
    )

    def __init__(self, actor: TrioActor) -> None:
        self.actor: TrioActor | None = actor
        self.actor_class = type(actor)
        self.handlers: Handlers = type(actor).handlers_by_type
        self.belongings = NO_BELONGINGS
        self.ref: ActorRef[Any] | None = None
        self.scheduler: Scheduler | None = None
        self.context: contextvars.Context | None = None
        self.life = Life.NEW
        self.mail: deque[Any] | None = None
        self.control: deque[Control] | None = None
        self.scheduled = True  # until it is started, nobody may queue it
        self.guarded = True
        self.takes_mail = False
        self.busy = False
        self.handling: Any = None  # the item that the running handler was given
        self.asked: pykka.Future[Any] | None = None  # of the running handler, until taken by defer()
        if self.actor_class.mailbox is not None:
            self.own().bounds = Bounds(self.actor_class.mailbox)

    def own(self) -> Belongings:
        """The belongings, for writing."""
        if self.belongings is NO_BELONGINGS:
            belongings = Belongings()
            with _lazy_lock:
                if self.belongings is NO_BELONGINGS:
                    self.belongings = belongings
        return self.belongings

    def enter(self, life: Life) -> None:
        """Go on to the next part of the actor's life."""
        assert life in TRANSITIONS[self.life], f"{self} cannot go from {self.life.value} to {life.value}"
        self.life = life
        self.takes_mail = life is Life.RUNNING and not self.belongings.suspended

    @property
    def is_alive(self) -> bool:
        """Whether it takes, or will take, what it is told: pykka's view of the matter."""
        life = self.life
        return life is not Life.DEAD and (life is not Life.ENDING or self.belongings.supervised)

    @property
    def is_condemned(self) -> bool:
        """Whether a `Kill` is the next thing that it will handle."""
        return bool(self.control) and type(self.control[0]) is Kill

    def intercept(self, interceptor: Interceptor) -> None:
        """Have every call of a user's handler go through `interceptor` too, from the next slice on."""
        self._set_interceptors((*self.belongings.interceptors, interceptor))

    def stop_intercepting(self, interceptor: Interceptor) -> None:
        self._set_interceptors(tuple(i for i in self.belongings.interceptors if i is not interceptor))

    def _set_interceptors(self, interceptors: tuple[Interceptor, ...]) -> None:
        self.own().interceptors = interceptors
        of_class = self.actor_class.handlers_by_type
        self.handlers = InterceptedHandlers(of_class, interceptors) if interceptors else of_class

    # --- the way in ---------------------------------------------------------------------------------

    # A Ctrl-C between the mark and the queue would leave the actor marked, and asleep, for ever.
    @trio.lowlevel.enable_ki_protection
    def submit(self, item: Any, *, placed: bool = False) -> None:
        """Take a user's message, or an `Ask`, by the rules of the mailbox.

        `placed`: the sender has waited for a place in it, and this is the message that takes it.

        Raises:
            pykka.ActorDeadError: the actor has stopped.
            MailboxFull: there is no room, and the sender does not wait.
        """
        if not self.is_alive:
            raise pykka.ActorDeadError(f"{self} not found")
        bounds = self.belongings.bounds
        if bounds is not None:
            item = bounds.admit(self, item, placed=placed)
            if item is None:
                return
        self.post(item)

    @trio.lowlevel.enable_ki_protection
    def post(self, item: Any) -> None:
        """Append to the mail, exempt from bounds, and see to it that the actor runs. Never raises.

        What comes too late is answered with ActorDeadError, or a dead letter.
        """
        if self.scheduler is None:
            self.deliver(item)
        else:
            self.scheduler.call(self.deliver, item)

    @trio.lowlevel.enable_ki_protection
    def post_control(self, item: Control) -> None:
        """Append to the control lane. For an actor that is dead it is nothing."""
        if self.scheduler is None:
            self.deliver_control(item)
        else:
            self.scheduler.call(self.deliver_control, item)

    @trio.lowlevel.enable_ki_protection
    def deliver(self, item: Any) -> None:
        """`post` on the scheduler's thread."""
        if self.life is Life.DEAD:
            self.refuse(item)
            return
        mail = self.mail
        if mail is None:
            mail = self.make_mail()
        if type(item) is Counted:
            self._deliver_counted(mail, item)
            return
        mail.append(item)
        self.schedule()

    def _deliver_counted(self, mail: deque[Any], item: Counted) -> None:
        bounds = self.belongings.bounds
        assert bounds is not None
        dropped = bounds.make_room(mail, item)
        if dropped is not item:
            mail.append(item)
            self.schedule()
        if dropped is not None:  # last: whoever learns of it may tell this very actor something
            bounds.turn_away(self, dropped)

    def make_mail(self) -> deque[Any]:
        """Give the cell what its mail stands in. The scheduler takes it back when it is empty."""
        mail = deque[Any]() if self.scheduler is None else self.scheduler.lend_mail(self)
        # A finalizer or a signal handler may have told the actor something in the meantime.
        if self.mail is None:
            self.mail = mail
        return self.mail

    def deliver_control(self, item: Control) -> None:
        if self.life is Life.DEAD:
            if type(item) is Halt and item.reply is not None:
                answer_dead(item.reply, f"{self} not found")
            return
        control = self.control
        if control is None:
            control = deque[Control]()
            if self.control is None:  # as in make_mail
                self.control = control
            control = self.control
        if type(item) is not Kill:
            control.append(item)
        else:
            control.appendleft(item)
            job = self.belongings.job
            if job is not None:
                # Not here: a signal handler may be what kills, in the middle of trio's own work.
                assert self.scheduler is not None
                self.scheduler.run_soon(job.cancel)
        self.schedule()

    def schedule(self) -> None:
        if not self.scheduled:
            self.scheduled = True
            assert self.scheduler is not None
            self.scheduler.enqueue(self)

    # --- the way out --------------------------------------------------------------------------------

    def drain(self) -> None:
        """Answer or bury the mail that nobody will handle."""
        mail = self.mail
        while mail:
            self.refuse(mail.popleft())
        self.mail = None

    def refuse(self, item: Any) -> None:
        """Answer or bury one item for a dead actor."""
        if type(item) is Counted:
            item = item.item
        if type(item) is not Ask:
            if not is_no_loss(item) and self.scheduler is not None:
                self.scheduler.system.bury(self.ref, item, "the actor is dead")
        elif type(item.message) is ActorStop:
            answer(item.reply, None)
        else:
            answer_dead(item.reply, f"{self} stopped before handling the message", self.belongings.reason)

    def forget_watched(self, ref: ActorRef[Any]) -> bool:
        """Whether the actor still watches `ref`; after this it does not."""
        cell = ref.cell
        watching = self.belongings.watching
        if watching is None or cell not in watching:
            return False
        watching.remove(cell)
        return True

    # --- made on demand -----------------------------------------------------------------------------

    @property
    def system(self) -> ActorSystem | None:
        return None if self.scheduler is None else self.scheduler.system

    @property
    def urn(self) -> str:
        if self.belongings.urn is None:
            urn = uuid.uuid4().urn
            belongings = self.own()
            with _lazy_lock:
                if belongings.urn is None:
                    belongings.urn = urn
        assert self.belongings.urn is not None
        return self.belongings.urn

    @property
    def inbox(self) -> Inbox:
        if self.belongings.inbox is None:
            self.own().inbox = Inbox(self)
        assert self.belongings.inbox is not None
        return self.belongings.inbox

    @property
    def stopped_event(self) -> threading.Event:
        if self.belongings.stopped_event is None:
            event = threading.Event()
            belongings = self.own()
            with _lazy_lock:
                if belongings.stopped_event is None:
                    belongings.stopped_event = event
                if not self.is_alive:
                    belongings.stopped_event.set()
        assert self.belongings.stopped_event is not None
        return self.belongings.stopped_event

    def close(self) -> None:
        """From now on whoever tells it something, or waits for room to do so, learns that it is dead."""
        self.guarded = True
        if self.belongings is NO_BELONGINGS:
            return  # an event that another thread is making sees, once it is made, that the life is over
        if self.belongings.bounds is not None:
            self.belongings.bounds.close()
        with _lazy_lock:
            if self.belongings.stopped_event is not None:
                self.belongings.stopped_event.set()
        if self.belongings.in_pykka_registry:
            self.belongings.in_pykka_registry = False
            assert self.ref is not None
            # It logs, and so runs what the host has hung into its logging.
            with contextlib.suppress(Exception):
                pykka.ActorRegistry.unregister(self.ref)

    def __str__(self) -> str:
        return f"{self.actor_class.__name__} ({self.urn})"


class Inbox:
    """pykka's view of the mail, for code that puts envelopes itself."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def put(self, envelope: Envelope[Any], /) -> None:
        if envelope.reply_to is None:
            self._cell.post(envelope.message)
        else:
            self._cell.post(Ask(envelope.message, envelope.reply_to))

    def get(self) -> Envelope[Any]:
        raise TypeError("the mail of a TrioActor is taken by its scheduler only")

    def empty(self) -> bool:
        return not self._cell.mail


def reincarnate(cell: Cell) -> None:
    """Have the factory of a cell make its next actor.

    Raises:
        TypeError: the factory gave something else than a new actor of the same class.
        BaseException: what the factory raised.
    """
    assert cell.context is not None
    assert cell.belongings.factory is not None
    _heir.set(cell)
    try:
        actor = cell.belongings.factory()
    finally:
        _heir.set(None)
    if cell.actor is None or cell.actor is not actor:
        cell.actor = None
        raise TypeError(f"to restart {cell}, its factory must make a new {cell.actor_class.__name__}")


def cell_for(actor: TrioActor) -> Cell:
    """The cell of an actor that is being made: that of its last incarnation, or a new one."""
    cell = _heir.get()
    if cell is None or cell.actor_class is not type(actor):
        return Cell(actor)
    _heir.set(None)
    cell.actor = actor
    return cell


def make_actor(make: Callable[P, A], *args: P.args, **kwargs: P.kwargs) -> A:
    """`make(*args, **kwargs)` for an actor that is nobody's next incarnation."""
    heir = _heir.get()
    if heir is None:
        return make(*args, **kwargs)
    _heir.set(None)  # a factory starts another actor before it makes its own
    try:
        return make(*args, **kwargs)
    finally:
        _heir.set(heir)


def is_no_loss(item: Any) -> bool:
    """Whether nobody needs to know that nobody handles this mail."""
    kind = cast("type[Any]", type(item))
    return any(kind is one for one in NOT_FOR_USERS)  # not by hash: a metaclass of a user's may refuse it


def cell_of(actor: TrioActor) -> Cell:
    return actor._cell  # pyright: ignore[reportPrivateUsage] - actor and cell are one unit


# The cell whose next incarnation is being made in this context.
_heir: contextvars.ContextVar[Cell | None] = contextvars.ContextVar("runtime.heir", default=None)

NOT_FOR_USERS = frozenset({ActorStop, Tick, IdleNotice, ChildStarted, ChildEnded, DeathNotice})
"""Mail that is no loss to anybody when nobody handles it: never a dead letter."""

NO_BELONGINGS = Belongings()
"""Stands for the belongings of all actors that have none. Never written to: see `Cell.own`."""

# Guards what is made on demand: taken a few times in an actor's life at most, for nanoseconds. Nothing is
# made while it is held, and it is reentrant: the garbage collector or a signal handler may come in
# anywhere, and may tell an actor something.
_lazy_lock = threading.RLock()
