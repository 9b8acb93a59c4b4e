"""The actor base class: a pykka actor that costs no thread and no task while it has nothing to do."""

from __future__ import annotations

import inspect
import threading
import weakref
from _thread import get_ident
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, ClassVar, ParamSpec, Self, TypeVar, TypeVarTuple, Unpack, cast

import outcome
import pykka
from pykka._envelope import Envelope  # what other kinds of actors take; it has no public name

from runtime.bounds import Mailbox
from runtime.cell import Cell, Inbox, cell_for, cell_of, make_actor
from runtime.dispatch import Handlers
from runtime.errors import MailboxFullError, SystemClosedError, WrongPlaceError
from runtime.idle import IdleWatch
from runtime.life import NOT_WORKING
from runtime.messages import ActorStop
from runtime.ref import ActorRef
from runtime.reply import Reply, answer_dead
from runtime.system import ActorSystem, current_system
from runtime.tasks import ChildTask
from runtime.timers import Timers

__all__ = ["TrioActor"]

P = ParamSpec("P")
B = TypeVar("B", bound="TrioActor")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class TrioActor(pykka.Actor):
    """A `pykka.Actor` that runs on trio.

    Everything of pykka's contract holds: `start`, `ActorRef`, `proxy`, the hooks. Beyond it, `on_start`,
    `on_stop`, `on_failure`, handlers and proxied methods may be `async def`: the actor handles no other
    message until they return, other actors go on.

    Handlers run on the scheduler's thread and must not block it; work that waits belongs in `spawn`.
    """

    expected_errors: ClassVar[tuple[type[Exception], ...] | None] = None
    """Which exceptions of an `ask` are only answers to the asker.

    None is pykka's rule: all of `Exception`. With a tuple, every other exception answers the asker and also
    fails the actor, so that half-updated state does not live on. After a `tell` every exception fails it.
    """

    mailbox: ClassVar[Mailbox | None] = None
    """How many messages may wait, and what happens to more. None: as many as memory holds."""

    shutdown_seconds: ClassVar[float | None] = 5.0
    """How long its parent, when that ends, waits for it before it kills it (as in OTP); None: for ever."""

    starts_in_messages: ClassVar[bool] = False
    """Whether it is not yet started when `on_start` returns, and tells its supervisor itself when it is."""

    handlers_by_type: ClassVar[Handlers]
    """Who handles what: made from what `handles` declared."""

    has_start_hook: ClassVar[bool] = False
    """Whether the class has an `on_start` of its own."""

    _cell: Cell

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _check_declarations(cls)
        cls.handlers_by_type = Handlers(cls)
        cls.has_start_hook = cls.on_start is not TrioActor.on_start

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        actor = super().__new__(cls)
        actor._cell = cell_for(actor)
        return actor

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        """Nothing is asked of subclasses here: the actor's cell was made before."""
        # Without super().__init__(): it would make the lazy members of every actor.

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> ActorRef[Self]:  # pyright: ignore[reportIncompatibleMethodOverride] - the narrower type
        """Start an actor in the current system, and in pykka's registry as its contract asks.

        The current system is the one whose actor or `open_system` block this is called in, else the one
        that `runtime.start_system()` made.

        Raises:
            NoActorSystemError: there is none.
        """
        system = current_system()
        actor = make_actor(cls, *args, **kwargs)
        cell = cell_of(actor)
        ref = actor.actor_ref
        cell.own().in_pykka_registry = True
        pykka.ActorRegistry.register(ref)
        try:
            system.adopt(cell)
        except BaseException:
            pykka.ActorRegistry.unregister(ref)
            raise
        return ref

    @staticmethod
    def _create_actor_inbox() -> Inbox:
        raise TypeError("a TrioActor's inbox is made by its cell")

    @staticmethod
    def _create_future() -> Reply[Any]:
        return Reply()

    def _start_actor_loop(self) -> None:
        current_system().adopt(self._cell)

    @property
    def actor_ref(self) -> ActorRef[Self]:  # pyright: ignore[reportIncompatibleMethodOverride] - the narrower type
        cell = self._cell
        if cell.ref is None:
            cell.ref = ActorRef(cell)
        return cell.ref

    @property
    def _actor_ref(self) -> ActorRef[Self]:  # pyright: ignore[reportIncompatibleVariableOverride] - pykka's own name
        return self.actor_ref

    @property
    def actor_urn(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - made on demand
        return self._cell.urn

    @property
    def actor_inbox(self) -> Inbox:  # pyright: ignore[reportIncompatibleVariableOverride] - made on demand
        return self._cell.inbox

    @property
    def actor_stopped(self) -> threading.Event:  # pyright: ignore[reportIncompatibleVariableOverride] - made on demand
        return self._cell.stopped_event

    # pykka's hooks, which may be `async def` here.

    def on_start(self) -> Awaitable[None] | None:  # pyright: ignore[reportIncompatibleMethodOverride] - wider
        """Runs before the first message. If it raises, the actor stops, and `on_failure` is not called."""

    def on_stop(self) -> Awaitable[None] | None:  # pyright: ignore[reportIncompatibleMethodOverride] - wider
        """Runs last after an orderly stop, when the child tasks have ended."""

    def on_failure(  # pyright: ignore[reportIncompatibleMethodOverride] - wider
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Awaitable[None] | None:
        """Runs last, instead of `on_stop`, after an unhandled exception; the child tasks have ended."""

    def __str__(self) -> str:
        return str(self._cell)

    def stop(self) -> None:
        """Stop after the mail that is already there. May be called any number of times."""
        self._cell.post(ActorStop())

    @property
    def system(self) -> ActorSystem:
        """The system that this actor runs in.

        Raises:
            WrongPlaceError: it has not been started.
        """
        system = self._cell.system
        if system is None:
            raise WrongPlaceError(f"{self} runs in no system before its start: use on_start, not __init__")
        return system

    def _cell_here(self) -> Cell:
        """The cell, for what belongs to a running actor and to the scheduler's thread.

        Raises:
            WrongPlaceError: the actor has not been started, or this is another thread.
        """
        if self.system.scheduler.thread_id != get_ident():
            raise WrongPlaceError(f"this is not the thread of {self}: tell the actor to do it")
        return self._cell

    def spawn(self, function: Callable[[Unpack[Ts]], Awaitable[object]], *args: *Ts) -> ChildTask:
        """Run `function(*args)` in a trio task that this actor owns.

        The task inherits the actor's context, is cancelled when the actor stops, and the actor's end waits
        for it. Its results come back as messages that it tells. An exception that leaves it fails the
        actor.

        Raises:
            SystemClosedError: this actor or the system is ending.
            WrongPlaceError: before the start, or on another thread.
            TypeError: `function` cannot be called.
        """
        _check_function(function)
        return self.system.run_child(self._cell_here(), function, args)

    def pipe(
        self,
        function: Callable[[Unpack[Ts]], Awaitable[R]],
        *args: *Ts,
        as_message: Callable[[outcome.Value[R] | outcome.Error], object],
    ) -> ChildTask:
        """`spawn`, with the outcome sent to this actor: `as_message(outcome)` is the message.

        The outcome is what the function returned (`outcome.Value`) or raised (`outcome.Error`), which fails
        nobody then; it travels in the user lane and takes no place of a bounded mailbox. A task that is
        cancelled has none. `as_message` runs in the task.

        Raises:
            SystemClosedError: this actor or the system is ending.
            WrongPlaceError: before the start, or on another thread.
        """

        _check_function(function)

        async def run() -> None:
            result: outcome.Value[R] | outcome.Error
            try:
                result = outcome.Value(await function(*args))
            except Exception as error:  # noqa: BLE001 - supervision edge: told to the actor
                result = outcome.Error(error)
            self._cell.post(as_message(result))

        return self.system.run_child(self._cell_here(), run, ())

    def send(self, ref: pykka.ActorRef[Any] | None, message: Any) -> None:
        """`ref.tell(message)` for handlers: a dead actor, None or a full mailbox makes it a dead letter."""
        if ref is None:
            self.system.bury(None, message, "nobody is there")
            return
        try:
            ref.tell(message)
        except pykka.ActorDeadError:
            self.system.bury(_own_ref(ref), message, "the actor is dead")
        except MailboxFullError:
            self.system.bury(_own_ref(ref), message, "the mailbox is full")

    def defer(self) -> pykka.Future[Any] | None:
        """Take over the answer to the `ask` that is being handled; None if nobody asked.

        The handler's return value is then no answer any more. Whoever holds the reply settles it later;
        should the actor end before, the asker gets `ActorDeadError`.
        """
        cell = self._cell
        reply, cell.asked = cell.asked, None
        if reply is not None:
            belongings = cell.own()
            if isinstance(reply, Reply):
                if belongings.deferred is None:
                    belongings.deferred = set()
                belongings.deferred.add(reply)
                if not reply.subscribe(belongings.deferred.discard):
                    belongings.deferred.discard(reply)
            else:  # weakly: a future of another kind does not tell when it is settled
                if belongings.deferred_elsewhere is None:
                    belongings.deferred_elsewhere = weakref.WeakSet()
                belongings.deferred_elsewhere.add(reply)
        return reply

    def forward(
        self, ref: pykka.ActorRef[Any] | None, message: Any, reply: pykka.Future[Any] | None = None
    ) -> None:
        """Send `message` on, together with the right to answer.

        `reply` is one that `defer` gave; without it, that of the `ask` that is being handled. The answer
        of a dead actor, or None, is `ActorDeadError`.

        Raises:
            TypeError: `ref` is no ref. The right to answer stays where it was.
        """
        if ref is not None and not isinstance(ref, pykka.ActorRef):  # pyright: ignore[reportUnnecessaryIsInstance] - an asker would wait for ever
            raise TypeError(f"forward takes the ref of an actor, or None, not {ref!r}")
        cell = self._cell
        if reply is None:
            reply, cell.asked = cell.asked, None
        else:
            for deferred in (cell.belongings.deferred, cell.belongings.deferred_elsewhere):
                if deferred is not None:
                    deferred.discard(reply)
        if reply is None:
            self.send(ref, message)
        elif isinstance(ref, ActorRef):
            ref.ask_for(message, reply)
        elif ref is not None and ref.is_alive():
            ref.actor_inbox.put(Envelope(message, reply_to=reply))
        else:
            answer_dead(reply, f"{ref} not found")

    @property
    def timers(self) -> Timers:
        """Messages to itself, later: see `Timers`.

        Raises:
            WrongPlaceError: before the start, or on another thread.
        """
        belongings = self._cell_here().own()
        if belongings.timers is None:
            faults = self.system.faults
            belongings.timers = Timers(self._cell) if faults is None else faults.timers_of(self._cell)
        return belongings.timers

    def set_idle_timeout(self, seconds: float | None) -> None:
        """Get an `IdleTimeout` whenever no message has come for so many seconds; None ends that.

        Messages of timers count, those of the control lane do not.

        Raises:
            ValueError: `seconds` is not more than 0. The timeout stays what it was.
            WrongPlaceError: before the start, or on another thread.
        """
        if seconds is not None and not seconds > 0:
            raise ValueError(f"an idle timeout must be more than 0 seconds, not {seconds}")
        cell = self._cell_here()
        belongings = cell.own()
        if belongings.idle_watch is not None:
            belongings.idle_watch.cancel()
            cell.stop_intercepting(belongings.idle_watch)
            belongings.idle_watch = None
        if seconds is not None:
            belongings.idle_watch = IdleWatch(cell, seconds)
            cell.intercept(belongings.idle_watch)

    def spawn_actor(self, cls: Callable[P, B], *args: P.args, **kwargs: P.kwargs) -> ActorRef[B]:
        """Start an actor that ends with this one.

        When this actor ends, for whatever reason, its child actors end before its own last hook runs, the
        youngest first: each after the handler that it is in, without the mail that waits, and it is killed
        when that takes longer than its `shutdown_seconds`. A child that fails ends alone: watch it, or have
        a `Supervisor` restart it.

        Raises:
            SystemClosedError: this actor is ending.
            WrongPlaceError: before the start, or on another thread.
        """
        cell = self._cell_here()
        if cell.life in NOT_WORKING:
            raise SystemClosedError(f"{cell} is ending: it starts no more actors")
        actor = make_actor(cls, *args, **kwargs)
        ref = actor.actor_ref
        child = cell_of(actor)
        child.own().shutdown_seconds = actor.shutdown_seconds
        self.system.adopt(child, parent=cell)
        return ref

    def watch(self, ref: ActorRef[Any]) -> None:
        """Get `Terminated(ref, reason)` once when that actor ends; at once if it already has.

        The notice comes after everything the watched actor said before. Watching twice is watching once.

        Raises:
            ValueError: the actor runs in another system, or has not been started.
            TypeError: it is no ref of a TrioActor.
            WrongPlaceError: before the start of this actor, or on another thread.
        """
        if not isinstance(ref, ActorRef):  # pyright: ignore[reportUnnecessaryIsInstance] - other kinds cannot be watched
            raise TypeError(f"watch takes the ref of a TrioActor, not {ref!r}")
        self.system.watch(self._cell_here(), ref.cell)

    def unwatch(self, ref: ActorRef[Any]) -> None:
        """Take `watch` back: from now on no `Terminated` of it arrives, not even one under way.

        Raises:
            WrongPlaceError: before the start of this actor, or on another thread.
        """
        self.system.unwatch(self._cell_here(), ref.cell)


def _check_declarations(cls: Any) -> None:
    """Refuse at its making a class that would otherwise fail at its first message."""
    name, expected, mailbox = cls.__name__, cls.expected_errors, cls.mailbox
    if expected is not None and not (
        isinstance(expected, tuple)
        and all(isinstance(error, type) and issubclass(error, Exception) for error in cast("Any", expected))
    ):
        raise TypeError(f"{name}.expected_errors is {expected!r}: a tuple of exceptions, or None")
    if mailbox is not None and not isinstance(mailbox, Mailbox):
        raise TypeError(f"{name}.mailbox is {mailbox!r}: a Mailbox(limit, overflow), or None")


def _check_function(function: object) -> None:
    if not callable(function):
        if inspect.iscoroutine(function):
            function.close()
        raise TypeError(
            f"{function!r} cannot be called: it takes an async function and its arguments, "
            "as in self.spawn(trio.sleep, 1)"
        )


def _own_ref(ref: pykka.ActorRef[Any]) -> ActorRef[Any] | None:
    return ref if isinstance(ref, ActorRef) else None


TrioActor.handlers_by_type = Handlers(TrioActor)  # __init_subclass__ serves subclasses only
