"""The run queue: one dispatcher task gives every actor that has mail its turn."""

from __future__ import annotations

import itertools
import sys
import threading
from _thread import get_ident
from collections import deque
from collections.abc import Callable, Iterator
from time import perf_counter
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol, cast

import trio

import runtime.delivery  # noqa: F401 # pyright: ignore[reportUnusedImport] - it fills the table of deliveries
from runtime import lifecycle
from runtime.containment import leave_open_scopes, scope_left_open
from runtime.messages import Failed
from runtime.owner import runs_handlers
from runtime.timers import Alarms
from runtime.workers import Workers

if TYPE_CHECKING:
    from runtime.cell import Cell
    from runtime.observer import Observation
    from runtime.system import ActorSystem

__all__ = ["Pace", "ReadyQueue", "Scheduler"]

MESSAGES_PER_SLICE = 64
"""After so many messages an actor goes to the back of the queue: one that floods itself starves nobody."""

DEADLINE_CHECK_EVERY = 16
"""Messages between two looks at the clock."""

FEW_HOLDERS = 32
SPARE_MAIL_KEPT = 256

INCOMING_PER_SLICE = 64
"""Of what other threads bring, so much is taken at once: they may bring it faster than it can be taken."""

IO_INTERVAL_SECONDS = 0.001
"""Under full load trio gets a checkpoint, and with it sockets and timers, about this often.

When its other tasks take longer than that for one round, the actors get as long as they took: thousands of
busy streams would otherwise leave them a hundredth of the time, and what they have to handle would pile up.
"""


class ReadyQueue(Protocol):
    """The cells that have work, and which of them is next."""

    def append(self, cell: Cell, /) -> object: ...
    def popleft(self) -> Cell: ...
    def __len__(self) -> int: ...


class Pace:
    """In which order and how long actors run; `runtime.testing` has one that a seed decides."""

    messages_per_slice = MESSAGES_PER_SLICE
    messages_per_check = DEADLINE_CHECK_EVERY

    def ready_queue(self, _scheduler: Scheduler) -> ReadyQueue:
        """The queue may set `scheduler.messages_per_slice` for the cell that it gives."""
        return deque[Any]()

    def tie_breaks(self) -> Iterator[int]:
        """No two the same: of the alarms due at one moment, the one with the smallest rings first."""
        return itertools.count()

    @staticmethod
    def clock() -> float:
        return perf_counter()


class Scheduler:
    """Runs actors, one handler at a time each, all of them on one trio thread.

    `run_soon` may be called from any thread; everything else belongs to the scheduler's thread.
    """

    def __init__(
        self,
        system: ActorSystem,
        nursery: trio.Nursery,
        pace: Pace,
        observation: Observation | None = None,
    ) -> None:
        self.system = system
        self.thread_id = get_ident()
        self.workers = Workers(self, nursery)
        self.alarms = Alarms(pace.tie_breaks())
        self.handled = 0
        self.empty_slices = 0  # those in which no mail was handled; each of them counts as `handled`, too
        self.spawned = self.failures = self.restarts = self.tasks = 0
        self.observation = observation
        self._token = trio.lowlevel.current_trio_token()
        self._clock = perf_counter if type(pace) is Pace else pace.clock
        self.messages_per_slice = pace.messages_per_slice
        self._messages_per_check = pace.messages_per_check
        self.ready = pace.ready_queue(self)
        # What other threads bring. `parked` is raised before the queues are looked at for the last time,
        # and a sender looks at it after appending: one of the two sees the other, no wake-up is lost.
        self.incoming: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self.parked = False
        self._sleeping_task: trio.lowlevel.Task | None = None
        self._ended = False
        self._end_lock = threading.RLock()
        self._takers: set[int] = set()  # the threads that are in _take_rest()
        self._deadline = 0.0
        # An empty deque takes 0.6 kB, twice as much as an actor: those at rest have none.
        self._borrowers: list[Cell] = []
        self._holders: list[Cell] = []
        self._holders_limit = FEW_HOLDERS
        self._spare_mail: list[deque[Any]] = []

    def admit(self, cell: Cell) -> None:
        """Give a new cell its first turn."""
        self.spawned += 1
        if cell.mail is not None:  # from its __init__
            self._borrowers.append(cell)
        self.enqueue(cell)

    def enqueue(self, cell: Cell) -> None:
        """Give a cell that has just been marked `scheduled` its turn."""
        self.ready.append(cell)
        if self.parked:
            self.wake()

    def wake(self) -> None:
        """Have the dispatcher look at its queues. May be called from any thread."""
        # Outside of a task, in a signal handler say, trio may be asleep itself, and has to be woken too.
        # And a signal handler or a finalizer may come in where the dispatcher is only about to sleep.
        if (
            self._sleeping_task is not None
            and get_ident() == self.thread_id
            and trio.lowlevel.in_trio_task()
        ):
            self.parked = False
            self._wake()
            return
        try:
            self.parked = False  # whoever comes next need not wake a dispatcher that is being woken
            self._token.run_sync_soon(self._wake, idempotent=True)
        except trio.RunFinishedError:
            self.system.abandon()
        except BaseException:  # a Ctrl-C on a thread without trio: then whoever comes next has to
            self.parked = True
            raise

    @trio.lowlevel.enable_ki_protection
    def run_soon(self, function: Callable[..., object], *args: Any) -> None:
        """Call `function(*args)` on the scheduler's thread, in the order in which each thread asked.

        After the end of the scheduler it is called here and now: everything is dead then, and what is
        posted is answered or buried. The function must be quick, and must not raise.
        """
        self.incoming.append((function, args))
        if self.parked:
            self.wake()
        if self._ended:
            self._take_rest()

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Call `function(*args)` now on the scheduler's thread, and soon from any other.

        Also soon where other threads have brought something: what is asked for now may follow from it.
        """
        if get_ident() == self.thread_id and not self.incoming:
            function(*args)
        else:
            self.run_soon(function, *args)

    def _take_incoming(self, limit: int = sys.maxsize) -> int:
        """Make the calls that other threads have asked for, up to so many; say how many there were."""
        incoming = self.incoming
        taken = 0
        while incoming and taken < limit:
            try:
                function, args = incoming.popleft()
            except IndexError:  # after the end several threads may be here
                break
            try:
                function(*args)
            except BaseException as error:  # noqa: BLE001 - our own doing: it must not end the others
                lifecycle.report_defect("what a thread had asked for", error)
            taken += 1
        return taken

    def end(self) -> None:
        """The dispatcher will not run any more."""
        self._ended = True
        with self._end_lock:
            self._take_rest()

    def _take_rest(self) -> None:
        """After the end whoever brings something takes it as well, and all that is brought meanwhile."""
        thread_id = get_ident()
        if thread_id in self._takers:  # what it has brought is taken further down its stack
            return
        self._takers.add(thread_id)
        try:
            self._take_incoming()
        finally:
            self._takers.discard(thread_id)

    def _wake(self) -> None:
        task, self._sleeping_task = self._sleeping_task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    async def _sleep(self) -> None:
        """Wait for the next `enqueue` or `run_soon`."""
        self.parked = True
        if self.ready or self.incoming:
            self.parked = False
            return
        self._sleeping_task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._sleeping_task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    @trio.lowlevel.enable_ki_protection
    async def dispatch(self) -> None:
        """Run until cancelled. A real Ctrl-C is never raised in here, but in the host's own task."""
        ready, incoming, clock, run_slice = self.ready, self.incoming, self._clock, self._run_slice
        messages_per_check = self._messages_per_check
        task = trio.lowlevel.current_task()
        cancel_status = task._cancel_status  # pyright: ignore[reportPrivateUsage] - see runtime.containment
        turn_seconds = IO_INTERVAL_SECONDS
        while True:
            if not ready and not incoming:
                cell = None  # a dispatcher that sleeps keeps no dead actor's belongings
                self._take_back_mail()
                await self._sleep()
                turn_seconds = IO_INTERVAL_SECONDS
            self._deadline = clock() + turn_seconds
            unchecked = 0
            if incoming:
                self._take_incoming(INCOMING_PER_SLICE)
            while ready:
                cell = ready.popleft()
                try:
                    handled: int = cell.context.run(run_slice, cell)  # pyright: ignore[reportOptionalMemberAccess] - set when it is adopted
                except BaseException as error:  # noqa: BLE001 - our own keeping of this one actor's books
                    handled = 1
                    lifecycle.give_up(cell, error)
                if task._cancel_status is not cancel_status:  # pyright: ignore[reportPrivateUsage] - as above
                    leave_open_scopes(task, cancel_status)
                    cell.post_control(Failed(scope_left_open()))
                if not cell.busy:
                    # settle(cell), in place: a call here costs every message of a ping-pong two per cent.
                    cell.scheduled = False
                    if (cell.control or (cell.mail and cell.takes_mail)) and not cell.scheduled:
                        cell.scheduled = True
                        ready.append(cell)
                if incoming:
                    unchecked += self._take_incoming(INCOMING_PER_SLICE)
                self.handled += handled
                unchecked += handled
                if unchecked >= messages_per_check:
                    unchecked = 0
                    if clock() > self._deadline:
                        break
            if ready or incoming:
                self._take_back_mail()
                left = clock()
                await trio.lowlevel.checkpoint()
                turn_seconds = max(IO_INTERVAL_SECONDS, clock() - left)

    def settle(self, cell: Cell) -> None:
        """Requeue a cell that has more to do; else let it rest, looking again after saying so."""
        cell.scheduled = False
        if cell.control or (cell.mail and cell.takes_mail):
            cell.schedule()

    def lend_mail(self, cell: Cell) -> deque[Any]:
        """An empty deque for the mail of a cell, until the cell is at rest."""
        self._borrowers.append(cell)
        return self._spare_mail.pop() if self._spare_mail else deque[Any]()

    def _take_back_mail(self) -> None:
        """Take the deques of those who have no mail. Between slices only: a slice holds on to its own.

        Those who are busy or suspended with mail in theirs are put aside. When they are many, they are
        looked at again when they have doubled, so that each loan costs the same.
        """
        for cell in self._borrowers:
            if not self._take_back(cell):
                self._holders.append(cell)
        self._borrowers.clear()
        if not FEW_HOLDERS < len(self._holders) <= self._holders_limit:
            self._holders = [cell for cell in self._holders if not self._take_back(cell)]
            self._holders_limit = 2 * len(self._holders)

    def _take_back(self, cell: Cell) -> bool:
        mail = cell.mail
        if mail:
            return False
        if mail is not None:
            cell.mail = None
            if len(self._spare_mail) < SPARE_MAIL_KEPT:
                self._spare_mail.append(mail)
        return True

    @runs_handlers
    def _run_slice(self, cell: Cell) -> int:
        """Handle some of the cell's mail, in its context, or until an async handler runs; say how much."""
        if cell.busy:  # it stood in the queue twice
            self.empty_slices += 1
            return 1
        if cell.control or not cell.takes_mail:
            lifecycle.attend(cell)
            if cell.busy or not cell.takes_mail:
                self.empty_slices += 1
                return 1
        mail = cell.mail
        if not mail:
            self.empty_slices += 1
            return 1
        actor, handlers = cell.actor, cell.handlers
        handled = 0
        while True:
            cell.handling = item = mail.popleft()
            handled += 1
            try:
                result = handlers[type(item)](actor, item)
            except BaseException as error:  # noqa: BLE001 - supervision edge: fails this one actor
                lifecycle.handler_failed(cell, error)
                break
            if type(result) is CoroutineType:
                self.workers.run(cell, cast("CoroutineType[Any, Any, Any]", result), lifecycle.handled)
                return handled
            if not mail or cell.control or not cell.takes_mail or handled >= self.messages_per_slice:
                break
            if handled % DEADLINE_CHECK_EVERY == 0 and self._clock() > self._deadline:
                break
        cell.handling = None
        return handled
