"""The cell behind a ref: one actor's mail, life and belongings."""

from __future__ import annotations

import contextvars
import threading
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

import pykka
import trio

from runtime.messages import ActorStop, Ask, Control
from runtime.reply import answer, answer_dead

if TYPE_CHECKING:
    from pykka._envelope import Envelope

    from runtime.actor import TrioActor
    from runtime.dispatch import Handlers
    from runtime.ref import ActorRef
    from runtime.system import ActorSystem
    from runtime.tasks import ChildTask

__all__ = ["Cell", "Inbox", "cell_of"]


class Cell:
    """One actor as the scheduler sees it.

    Any thread may call `put`. Everything else belongs to the scheduler's thread.

    Invariants:
    - `scheduled` is True while the cell stands in the ready queue, runs a slice or is `busy`; only the
      scheduler clears it, and looks at the mail again afterwards. Two threads that put at once may both set
      it, and then the cell stands in the queue twice: that costs an empty slice.
    - `busy` is True while an async handler or hook runs, and belongs to the scheduler: no slice runs then,
      which is what keeps it at one handler at a time.
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
        "busy",
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
        self.handlers: Handlers = type(actor).handlers_by_type
        self.system: ActorSystem | None = None
        self.name: str | None = None
        self.ref: ActorRef[Any] | None = None
        self.context: contextvars.Context | None = None
        self.mail: deque[Any] | None = None
        self.control: deque[Control] | None = None
        self.scheduled = True  # until it is started, nobody may queue it
        self.busy = False
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

    # A Ctrl-C between the mark and the queue would leave the actor marked, and asleep, for ever.
    @trio.lowlevel.enable_ki_protection
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

    @trio.lowlevel.enable_ki_protection
    def put_control(self, item: Control) -> None:
        if self.control is None:
            self.control = deque()
        self.control.append(item)
        if not self.scheduled:
            self.scheduled = True
            assert self.system is not None
            self.system.scheduler.enqueue(self)

    def _make_mail(self) -> deque[Any]:
        mail: deque[Any] = deque()
        with _lazy_lock:
            if self.mail is None:
                self.mail = mail
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
                answer(item.reply, None)
            else:
                answer_dead(item.reply, f"{self} stopped before handling the message")

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
            urn = uuid.uuid4().urn
            with _lazy_lock:
                if self._urn is None:
                    self._urn = urn
        return self._urn

    @property
    def inbox(self) -> Inbox:
        if self._inbox is None:
            self._inbox = Inbox(self)
        return self._inbox

    @property
    def stopped_event(self) -> threading.Event:
        if self._stopped_event is None:
            event = threading.Event()
            with _lazy_lock:
                if self._stopped_event is None:
                    self._stopped_event = event
                if self.stopped:
                    self._stopped_event.set()
        return self._stopped_event

    def leave_pykka_registry(self) -> None:
        if self.in_pykka_registry:
            self.in_pykka_registry = False
            assert self.ref is not None
            pykka.ActorRegistry.unregister(self.ref)

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
# Nothing is made while it is held, and it is reentrant: the garbage collector or a signal handler may come
# in anywhere, and may tell an actor something.
_lazy_lock = threading.RLock()
