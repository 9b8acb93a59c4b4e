"""The watchdog: names whoever holds the scheduler's thread, while it holds it.

The actors pay nothing for it. A thread posts a heartbeat through trio now and then, and only when one is
late does it look at what the scheduler's thread is doing.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from time import monotonic
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

import trio

# They have no public names: tests/runtime/test_watchdog.py fails should the private ones change.
from trio._core._run import GLOBAL_RUN_CONTEXT, unrolled_run

from runtime.events import RuntimeEvent
from runtime.owner import Owner, owner_in, slice_frame
from runtime.ref import ActorRef
from runtime.reporting import report
from runtime.telemetry import get_logger

if TYPE_CHECKING:
    from runtime.scheduler import Scheduler

__all__ = ["Activity", "Hold", "Holds", "SchedulerHeld", "Watchdog"]

PATIENCE_AT_END_SECONDS = 1.0

_log = get_logger("runtime")


class SchedulerHeld(RuntimeEvent, frozen=True):
    """Something held the scheduler's thread for longer than the limit, and has let go of it."""

    ref: ActorRef[Any] | None
    """The actor whose code it was. None: a task of the host, see `task_name`."""
    message_type: type | None
    """What the actor was handling. None in a hook."""
    task_name: str
    """trio's name of the task; handlers that are not async run in that of the dispatcher."""
    seconds: float
    stack: str
    """Where it was when it was last seen."""


class Activity(NamedTuple):
    """What the scheduler's thread is doing."""

    key: tuple[object, ...]
    """Equal as long as the thread is in the same handler, or in the same step of the same task."""
    actor: str | None
    ref: ActorRef[Any] | None
    message_type: type | None
    task_name: str
    stack: str


class Hold(NamedTuple):
    activity: Activity
    seconds: float


class Holds:
    """Decides what to report, from what is seen while a heartbeat is late. Has no thread and no clock.

    What holds the thread is reported once when the limit is over, and again each time its time has doubled.
    Time in which the watchdog itself could not look does not count: nobody knows what held the thread then.
    """

    def __init__(self, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds
        self.look_every_seconds = limit_seconds / 4
        self._activity: Activity | None = None
        self._last_look = self._since = 0.0
        self._report_at_seconds = limit_seconds

    def begin(self, now: float) -> None:
        """A heartbeat is on its way."""
        self._activity = None
        self._last_look = now

    def look(self, now: float, activity: Activity | None) -> tuple[Hold | None, Hold | None]:
        """The hold to report now, and the one that has just ended, each if there is one."""
        ended = None
        paused = now - self._last_look
        if activity is None or self._activity is None or activity.key != self._activity.key:
            ended = self.end(self._last_look)
            self._since = self._last_look
            self._report_at_seconds = self._limit_seconds
        if paused > 2 * self.look_every_seconds:
            self._since += paused - self.look_every_seconds
        self._activity = activity
        self._last_look = now
        seconds = now - self._since
        if activity is None or seconds < self._report_at_seconds:
            return None, ended
        self._report_at_seconds = 2 * seconds
        return Hold(activity, seconds), ended

    def end(self, now: float) -> Hold | None:
        """The thread has let go: the hold that is over, if it had been reported."""
        activity, self._activity = self._activity, None
        if activity is None or self._report_at_seconds == self._limit_seconds:
            return None
        self._report_at_seconds = self._limit_seconds
        return Hold(activity, now - self._since)


class Watchdog:
    """A thread that watches the thread of one scheduler, from its making to `stop`.

    A hold is seen when it has lasted for the limit, or half as long again. It is logged as a warning, and
    published as `SchedulerHeld` once the thread is free.

    Not seen is what keeps the interpreter's lock, since the watchdog cannot run then either: a long garbage
    collection, a call into an extension that does not release the lock, a process that is halted by a
    debugger or a signal.
    """

    def __init__(self, scheduler: Scheduler, limit_seconds: float) -> None:
        """On the scheduler's thread."""
        self._scheduler = scheduler
        self._limit_seconds = limit_seconds
        self._holds = Holds(limit_seconds)
        self._token = trio.lowlevel.current_trio_token()
        # Belongs to this thread, and has a "task" while one is being stepped.
        self._trio_state = vars(GLOBAL_RUN_CONTEXT)
        self._beating = False
        self._stopped = False
        self._stirred = threading.Event()
        self._thread = threading.Thread(target=self._run, name="greenroom-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for it."""
        self._stopped = True
        self._stirred.set()
        # Not for ever: a log handler of the host may be waiting for the very thread that calls this.
        self._thread.join(PATIENCE_AT_END_SECONDS)

    def _run(self) -> None:
        while not self._pause(self._limit_seconds / 2):
            self._beating = True
            try:
                self._token.run_sync_soon(self._beat)
            except trio.RunFinishedError:
                return
            self._holds.begin(monotonic())
            while self._beating:
                if self._pause(self._holds.look_every_seconds):
                    return
                if self._beating:
                    activity = self.see()
                    report, ended = self._holds.look(monotonic(), activity)
                    self._report(report)
                    self._publish(ended)
            self._publish(self._holds.end(monotonic()))

    def _beat(self) -> None:
        self._beating = False
        self._stirred.set()

    def _pause(self, seconds: float) -> bool:
        """Wait until it is over, a heartbeat comes or the end; whether it is the end."""
        self._stirred.wait(seconds)
        self._stirred.clear()
        return self._stopped

    def see(self) -> Activity | None:
        """What the thread is doing; None when it is nothing that can be held against anybody."""
        task: trio.lowlevel.Task | None = self._trio_state.get("task")
        frame = sys._current_frames().get(self._scheduler.thread_id)  # pyright: ignore[reportPrivateUsage] - documented in the library reference
        if task is None or frame is None:
            return None
        in_slice = slice_frame(frame)
        if in_slice is not None:
            of_slice = in_slice.f_locals
            owner = Owner(of_slice["cell"])
            key = (task, of_slice["cell"], self._scheduler.handled, of_slice.get("handled"))
            stack = _stack(frame, in_slice.f_code)
        else:
            owner = owner_in(task.context)
            key = (task,)
            stack = _stack(frame, unrolled_run.__code__)
        cell = None if owner is None else owner.cell
        if owner is None or cell is None:
            return Activity(key, None, None, None, task.name, stack)
        if cell.system is not self._scheduler.system:
            return None  # another system on the same thread, which has a watchdog of its own
        actor = cell.belongings.name or str(cell)
        return Activity(key, actor, cell.ref, owner.message_type, task.name, stack)

    def _report(self, hold: Hold | None) -> None:
        if hold is None:
            return
        activity = hold.activity
        message_type = None if activity.message_type is None else activity.message_type.__name__
        report(
            _log.warning,
            f"{_who(activity)} holds the scheduler's thread",
            actor=activity.actor,
            message_type=message_type,
            task_name=activity.task_name,
            seconds=round(hold.seconds, 3),
            stack=activity.stack,
        )

    def _publish(self, hold: Hold | None) -> None:
        if hold is not None:
            _, _, ref, message_type, task_name, stack = hold.activity
            self._scheduler.system.events.publish(
                SchedulerHeld(ref, message_type, task_name, hold.seconds, stack)
            )


def _who(activity: Activity) -> str:
    """In the text as well: plain logging does not show the fields."""
    if activity.actor is None:
        return f"code outside of actors, in {activity.task_name},"
    if activity.message_type is None:
        return activity.actor
    return f"{activity.actor}, handling {activity.message_type.__name__},"


def _stack(frame: FrameType, until: CodeType) -> str:
    """The calls from the one with this code, which is left out, to the innermost, in Python's own form."""

    def calls() -> Iterator[tuple[FrameType, int]]:
        for call, line in traceback.walk_stack(frame):
            if call.f_code is until:
                return
            yield call, line

    summary = traceback.StackSummary.extract(calls())
    summary.reverse()
    return "".join(summary.format())
