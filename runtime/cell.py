"""The cell behind a ref: one actor's mail, life and belongings."""

from __future__ import annotations

import contextvars
import threading
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

import pykka

from runtime.messages import ActorStop, Ask, Control

if TYPE_CHECKING:
    from pykka._envelope import Envelope

    from runtime.actor import TrioActor
    from runtime.dispatch import Handler
    from runtime.ref import ActorRef
    from runtime.system import ActorSystem
    from runtime.tasks import ChildTask

__all__ = ["Cell", "Inbox", "cell_of"]


class Cell:
    """One actor as the scheduler sees it.

    Any thread may call `put`. Everything else belongs to the scheduler's thread.

    Invariants:
    - `scheduled` is True while the cell stands in the ready queue, runs a slice or has an async handler
      running; only the scheduler clears it, and looks at the mail again afterwards.
    - `stopped` is set before the mail is drained for the last time, and a sender looks at `dead` after it
      has put: so a message is handled, answered with ActorDeadError, or a dead letter, never forgotten.
    """

    __slots__ = (
        "__weakref__",
        "_inbox",
        "_stopped_event",
        "_urn",
        "actor",
        "actor_class",
        "asked",
        "children",
        "context",
        "control",
        "dead",
        "deferred",
        "handlers",
        "hook_on_end",
        "in_pykka_registry",
        "mail",
        "name",
        "reason",
        "ref",
        "scheduled",
        "started",
        "stop_replies",
        "stopped",
        "system",
        "watchers",
        "watching",
    )

    def __init__(self, actor: TrioActor) -> None:
        self.actor: TrioActor | None = actor
        self.actor_class = type(actor)
        self.handlers: dict[type, Handler] = type(actor).handlers_by_type
        self.system: ActorSystem | None = None
        self.name: str | None = None
        self.ref: ActorRef[Any] | None = None
        self.context: contextvars.Context | None = None
        self.mail: deque[Any] | None = None
        self.control: deque[Control] | None = None
        self.scheduled = True  # until it is started, nobody may queue it
        self.started = False
        self.stopped = False
        self.dead = False
        self.reason: BaseException | None = None
        self.hook_on_end = True
        self.in_pykka_registry = False
        self.asked: pykka.Future[Any] | None = None  # of the running handler, until taken by defer()
        self.deferred: set[pykka.Future[Any]] | None = None
        self.stop_replies: list[pykka.Future[Any]] | None = None
        self.children: set[ChildTask] | None = None
        self.watchers: set[Cell] | None = None
        self.watching: set[Cell] | None = None
        self._urn: str | None = None
        self._inbox: Inbox | None = None
        self._stopped_event: threading.Event | None = None

    def put(self, item: Any) -> None:
        """Append to the mail and see to it that the actor runs. Never blocks."""
        mail = self.mail
        if mail is None:
            mail = self._make_mail()
        mail.append(item)
        if not self.scheduled:
            self.scheduled = True
            system = self.system
            assert system is not None
            system.scheduler.enqueue(self)
        if self.dead:
            self.drain()

    def put_control(self, item: Control) -> None:
        if self.control is None:
            self.control = deque()
        self.control.append(item)
        if not self.scheduled:
            self.scheduled = True
            assert self.system is not None
            self.system.scheduler.enqueue(self)

    def _make_mail(self) -> deque[Any]:
        with _lazy_lock:
            if self.mail is None:
                self.mail = deque()
            return self.mail

    def drain(self) -> None:
        """Answer or bury what a dead actor left. Several threads may drain at once: each takes its own."""
        mail = self.mail
        while mail:
            try:
                item = mail.popleft()
            except IndexError:
                return
            if type(item) is not Ask:
                if type(item) is not ActorStop and self.system is not None:
                    self.system.bury(self, item)
            elif type(item.message) is ActorStop:
                item.reply.set(None)
            else:
                error = pykka.ActorDeadError(f"{self} stopped before handling the message")
                item.reply.set_exception((pykka.ActorDeadError, error, None))

    def forget_watched(self, ref: ActorRef[Any]) -> bool:
        """Whether the actor still watches `ref`; after this it does not."""
        cell = ref._cell  # pyright: ignore[reportPrivateUsage] - ref and cell are one unit
        if self.watching is None or cell not in self.watching:
            return False
        self.watching.remove(cell)
        return True

    @property
    def urn(self) -> str:
        if self._urn is None:
            with _lazy_lock:
                if self._urn is None:
                    self._urn = uuid.uuid4().urn
        return self._urn

    @property
    def inbox(self) -> Inbox:
        if self._inbox is None:
            self._inbox = Inbox(self)
        return self._inbox

    @property
    def stopped_event(self) -> threading.Event:
        if self._stopped_event is None:
            with _lazy_lock:
                if self._stopped_event is None:
                    event = threading.Event()
                    if self.stopped:
                        event.set()
                    self._stopped_event = event
        return self._stopped_event

    def mark_stopped(self) -> None:
        with _lazy_lock:
            self.stopped = True
            if self._stopped_event is not None:
                self._stopped_event.set()

    def __str__(self) -> str:
        return f"{self.actor_class.__name__} ({self.urn})"


class Inbox:
    """pykka's view of the mail, for code that puts envelopes itself."""

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def put(self, envelope: Envelope[Any], /) -> None:
        if envelope.reply_to is None:
            self._cell.put(envelope.message)
        else:
            self._cell.put(Ask(envelope.message, envelope.reply_to))

    def get(self) -> Envelope[Any]:
        raise TypeError("the mail of a TrioActor is taken by its scheduler only")

    def empty(self) -> bool:
        return not self._cell.mail


def cell_of(actor: TrioActor) -> Cell:
    """The cell that `TrioActor.__init__` made.

    Raises:
        TypeError: the class overrides `__init__` and does not call `super().__init__()`.
    """
    try:
        return actor._cell  # pyright: ignore[reportPrivateUsage] - actor and cell are one unit
    except AttributeError:
        raise TypeError(f"{type(actor).__name__}.__init__ does not call super().__init__()") from None


# Guards the lazy members of all cells: taken at most three times in an actor's life, for nanoseconds.
_lazy_lock = threading.Lock()
