"""The event stream: what happens in a system, for whoever subscribes to that type of event."""

from __future__ import annotations

from _thread import get_ident
from collections import deque
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from weakref import WeakKeyDictionary

import msgspec
import pykka
import trio

from runtime.errors import MailboxFullError
from runtime.ref import ActorRef
from runtime.reporting import report
from runtime.telemetry import get_logger

if TYPE_CHECKING:
    from runtime.scheduler import Scheduler

__all__ = ["ActorFailed", "ActorRestarted", "DeadLetter", "EventStream", "RuntimeEvent", "Subscriber"]

_log = get_logger("runtime")

Subscriber: TypeAlias = "ActorRef[Any] | Callable[[Any], object]"


class RuntimeEvent(msgspec.Struct, frozen=True):
    """What the runtime itself publishes: an experiment with faults leaves it alone."""


class DeadLetter(RuntimeEvent, frozen=True):
    """A message that nobody handled. `recipient` is None where the sender had nobody to send it to."""

    recipient: ActorRef[Any] | None
    message: Any
    reason: str


class ActorFailed(RuntimeEvent, frozen=True):
    """An exception ended an incarnation of an actor. Whether it is restarted, its supervisor decides."""

    ref: ActorRef[Any]
    error: BaseException


class ActorRestarted(RuntimeEvent, frozen=True):
    """An actor has begun a new incarnation, with the ref and the mail of the last one."""

    ref: ActorRef[Any]


class _Subscription:
    """What one subscriber gets, until it gets nothing more."""

    __slots__ = ("live", "subscriber", "types")

    def __init__(self, subscriber: Subscriber) -> None:
        self.subscriber = subscriber
        self.types: set[type] = set()
        self.live = True


class EventStream:
    """Publish and subscribe by type, in one system. Events may be of any type, the users' own included.

    A subscriber gets each event once, when it is an instance of one of its types, in the order in which
    they were published on one thread. All methods may be called from any thread; on other threads than
    the scheduler's they take effect soon.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._subscriptions: dict[Subscriber, _Subscription] = {}
        # Only types that somebody wants, so that a subscriber comes and goes at the cost of its own types.
        self._by_type: dict[type, dict[_Subscription, None]] = {}
        # By type of event, from those. Weak: types of events may be made at run time.
        self._found: WeakKeyDictionary[type, tuple[dict[_Subscription, None], ...]] = WeakKeyDictionary()
        self._unsent: deque[object] = deque()
        self._sending = False

    def subscribe(self, subscriber: Subscriber, *event_types: type) -> None:
        """Send events of these types, and of their subclasses, to an actor or a function.

        An actor gets the event itself as a message, and is subscribed until it is dead. A function is
        called on the scheduler's thread and must be quick; what it raises is logged. A second call adds
        types.

        Raises:
            ValueError: no type was given.
            TypeError: what was given is no type, or one that does not say what its subclasses are, such as
                a `Protocol` that is not `runtime_checkable`; or the subscriber is not hashable.
        """
        if not event_types:
            raise ValueError(
                "subscribe(subscriber, ...) takes one or more types of events: `object` is all"
            )
        # Here, and not on the scheduler's thread, where nobody would be there to be told.
        for event_type in event_types:
            if not isinstance(event_type, type):  # pyright: ignore[reportUnnecessaryIsInstance] - a border
                raise TypeError(f"subscribe(subscriber, ...) takes types of events, not {event_type!r}")
            try:
                issubclass(object, event_type)
            except Exception as error:
                raise TypeError(f"{event_type!r} does not say what its subclasses are") from error
        hash(subscriber)
        self._scheduler.call(self._subscribe, subscriber, frozenset(event_types))

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Send it nothing more. What is in an actor's mail already is still handled.

        Raises:
            TypeError: the subscriber is not hashable.
        """
        hash(subscriber)
        self._scheduler.call(self._unsubscribe, subscriber)

    def publish(self, event: object) -> None:
        """Send the event to all who subscribed to its type: to nobody any more after the system's end.

        Within a function that has subscribed it is sent after the event that the function was called with.

        Raises:
            TypeError: the event's type is not hashable, which takes a metaclass of its own.
        """
        hash(type(event))
        self._scheduler.call(self._publish, event)

    def is_wanted(self, event_type: type) -> bool:
        """Whether anybody would get such an event. On the scheduler's thread only."""
        return bool(self._by_type) and bool(self._wanted_as(event_type))

    def _subscribe(self, subscriber: Subscriber, event_types: frozenset[type]) -> None:
        if isinstance(subscriber, ActorRef):
            subscriber = cast("ActorRef[Any]", subscriber)
            if not subscriber.is_alive():
                return
            subscriber.cell.own().subscribed = True
        subscription = self._subscriptions.get(subscriber)
        if subscription is None:
            subscription = self._subscriptions[subscriber] = _Subscription(subscriber)
        subscription.types |= event_types
        for event_type in event_types:
            if event_type not in self._by_type:
                self._by_type[event_type] = {}
                self._found.clear()
            self._by_type[event_type][subscription] = None

    def _unsubscribe(self, subscriber: Subscriber) -> None:
        subscription = self._subscriptions.pop(subscriber, None)
        if subscription is None:
            return
        subscription.live = False
        for event_type in subscription.types:
            of_type = self._by_type[event_type]
            del of_type[subscription]
            if not of_type:
                del self._by_type[event_type]
                self._found.clear()

    def _wanted_as(self, event_type: type) -> tuple[dict[_Subscription, None], ...]:
        """The subscriptions to each of the types that such an event is an instance of."""
        found = self._found.get(event_type)
        if found is None:
            found = tuple(
                subscriptions
                for wanted, subscriptions in self._by_type.items()
                if _is_subclass(event_type, wanted)
            )
            self._found[event_type] = found
        return found

    # A subscriber may raise a KeyboardInterrupt of its own making, which goes no further. A real Ctrl-C is
    # for the host, and is never raised in here.
    @trio.lowlevel.enable_ki_protection
    def _publish(self, event: object) -> None:
        if get_ident() != self._scheduler.thread_id:
            return  # the scheduler has ended
        self._unsent.append(event)
        if self._sending:
            return
        self._sending = True
        try:
            while self._unsent:
                self._send(self._unsent.popleft())
        finally:
            self._sending = False

    def _send(self, event: object) -> None:
        for subscription in tuple(dict.fromkeys(chain.from_iterable(self._wanted_as(type(event))))):
            if not subscription.live:
                continue  # another one, who got the event before, has unsubscribed it
            subscriber = subscription.subscriber
            if isinstance(subscriber, ActorRef):
                self._tell(cast("ActorRef[Any]", subscriber), event)
                continue
            try:
                subscriber(event)
            except BaseException:  # noqa: BLE001 - neither the publisher nor the next subscriber is to blame
                report(
                    _log.exception,
                    "a subscriber of the event stream failed",
                    event_type=type(event).__name__,
                )

    def _tell(self, subscriber: ActorRef[Any], event: object) -> None:
        """An event is no letter: it is for those who are there, and has no other reader."""
        try:
            subscriber.tell(event)
        except MailboxFullError:
            pass
        except pykka.ActorDeadError:  # an actor of another system: those of this one are unsubscribed
            self._unsubscribe(subscriber)
        except Exception:  # noqa: BLE001 - an injected fault: the publisher is not to blame
            report(_log.exception, "an event could not be sent", event_type=type(event).__name__)


def _is_subclass(event_type: type, wanted: type) -> bool:
    try:
        return issubclass(event_type, wanted)
    except Exception:  # noqa: BLE001 - a hook of the users' own: whoever publishes is not to blame
        report(_log.exception, "a type of event could not be asked for its subclasses", wanted=repr(wanted))
        return False
