"""The hook point of a system for metrics and tracing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, cast

from runtime.dead_letters import LogThrottle
from runtime.events import ActorFailed, ActorRestarted, DeadLetter
from runtime.ref import ActorRef
from runtime.reporting import report
from runtime.spans import Spans
from runtime.telemetry import get_logger

if TYPE_CHECKING:
    from runtime.cell import Cell
    from runtime.events import EventStream

__all__ = ["Observation", "Observer"]

P = ParamSpec("P")

_log = get_logger("runtime")


class Observer:
    """Is told what happens in a system: subclass it, and override what is of interest.

    Given to `open_system` or `start_system`. The methods are called on the scheduler's thread, in the end
    of a system perhaps on another one; they must be quick. What they raise is logged, a few times a minute,
    and disturbs nobody. Times are trio's, in seconds.

    For tracing, open a span in `message_started` and close it in `message_handled`. Both are called in the
    context of the actor, and so is the handler in between: a context variable that is set in the first is
    seen by the handler, by the child tasks that it starts, and by the second, which resets it. One actor
    handles one message at a time: its ref tells the spans apart. Nothing is called when a message is sent,
    which would cost every `tell` of every system; what the spans of two actors have to do with each other
    travels in the message, in a field of its own that the sender fills in and `message_started` reads.
    """

    def actor_started(self, ref: ActorRef[Any], /) -> None:
        """An `on_start` has returned: of a new actor, or of the next incarnation of one."""

    def actor_failed(self, ref: ActorRef[Any], error: BaseException, /) -> None:
        """An exception ends an incarnation of an actor."""

    def actor_restarted(self, ref: ActorRef[Any], /) -> None:
        """A supervisor has begun a new incarnation of an actor."""

    def actor_ended(self, ref: ActorRef[Any], reason: BaseException | None, /) -> None:
        """An actor is dead. `reason` is None after an orderly stop."""

    def message_started(self, ref: ActorRef[Any], message: Any, /) -> None:
        """A handler is about to be called with this message, which belongs to the actor: only read it.

        If neither this nor `message_handled` is overridden, nothing is done per message.
        """

    def message_handled(
        self, ref: ActorRef[Any], message_type: type[Any], seconds: float, error: BaseException | None, /
    ) -> None:
        """A handler has ended, an async one after so many seconds of waiting and work.

        `error` is what left it: an answer to the asker, a failure of the actor, or `trio.Cancelled`.
        """

    def dead_letter(self, recipient: ActorRef[Any] | None, message_type: type[Any], reason: str, /) -> None:
        """A message was handled by nobody."""


class Observation(Spans):
    """An observer at its place in one system. What it raises stays here."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        cls = type(observer)
        self._sees_starts = cls.message_started is not Observer.message_started
        self._sees_messages = self._sees_starts or cls.message_handled is not Observer.message_handled
        self._throttle = LogThrottle(lines=10, window_seconds=60.0, clock=time.monotonic)

    def subscribe(self, events: EventStream) -> None:
        events.subscribe(self._on_failed, ActorFailed)
        events.subscribe(self._on_restarted, ActorRestarted)
        events.subscribe(self._on_dead_letter, DeadLetter)

    def adopt(self, cell: Cell) -> None:
        """See a new actor, before anything of it has run."""
        if cell.ref is None:
            cell.ref = ActorRef(cell)
        if self._sees_messages:
            cell.intercept(self)

    def started(self, cell: Cell) -> None:
        self._tell(self._observer.actor_started, _ref_of(cell))

    def ended(self, cell: Cell) -> None:
        self._tell(self._observer.actor_ended, _ref_of(cell), cell.belongings.reason)

    def begun(self, cell: Cell, message: Any) -> None:
        if self._sees_starts:
            self._tell(self._observer.message_started, _ref_of(cell), message)

    def handled(self, cell: Cell, message: Any, seconds: float, error: BaseException | None) -> None:
        message_type = cast("type[Any]", type(message))
        self._tell(self._observer.message_handled, _ref_of(cell), message_type, seconds, error)

    def _on_failed(self, event: ActorFailed) -> None:
        self._tell(self._observer.actor_failed, event.ref, event.error)

    def _on_restarted(self, event: ActorRestarted) -> None:
        self._tell(self._observer.actor_restarted, event.ref)

    def _on_dead_letter(self, event: DeadLetter) -> None:
        message_type = cast("type[Any]", type(event.message))
        self._tell(self._observer.dead_letter, event.recipient, message_type, event.reason)

    def _tell(self, method: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(*args, **kwargs)
        except BaseException:  # noqa: BLE001 - supervision edge: whoever is observed is not to blame
            held_back = self._throttle.admit()
            if held_back is not None:
                report(_log.exception, "an observer failed", not_logged_before=held_back)


def _ref_of(cell: Cell) -> ActorRef[Any]:
    assert cell.ref is not None, "it was made when the actor was adopted"
    return cell.ref
