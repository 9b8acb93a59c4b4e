"""The event stream, and dead letters as its events."""

from __future__ import annotations

import gc
import logging
import threading
import weakref
from collections import Counter
from typing import Any, Protocol

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from runtime import (
    ActorFailed,
    ActorSystem,
    DeadLetter,
    Mailbox,
    Overflow,
    SystemThread,
    TrioActor,
    open_system,
)
from runtime.dead_letters import LogThrottle
from tests.runtime.samples import Echo, Obedient, Recorder, run_in_threads


class Event:
    """The most general one."""


class Special(Event):
    """One of its kinds."""


def ignore(_: object) -> None:
    """Take an event."""


def fail(_: Obedient) -> None:
    raise ValueError("told to fail")


async def test_subscribers_get_the_events_of_their_types_and_of_subclasses(system: ActorSystem) -> None:
    general: list[Any] = []
    special: list[Any] = []
    everything: list[Any] = []
    system.events.subscribe(general.append, Event)
    system.events.subscribe(special.append, Special)
    system.events.subscribe(system.spawn(Recorder, everything), object)
    first, second = Event(), Special()

    for event in (first, second, "text"):
        system.events.publish(event)
    await wait_all_tasks_blocked()

    assert general == [first, second]
    assert special == [second]
    assert everything == [first, second, "text"]


async def test_a_subscriber_of_several_types_gets_each_event_once(system: ActorSystem) -> None:
    notes: list[Any] = []
    system.events.subscribe(notes.append, Event, Special, object)
    system.events.subscribe(notes.append, Special)
    event = Special()

    system.events.publish(event)

    assert notes == [event]


async def test_a_second_subscription_adds_types(system: ActorSystem) -> None:
    notes: list[Any] = []
    system.events.publish(1)
    system.events.subscribe(notes.append, str)
    system.events.publish(2)
    system.events.subscribe(notes.append, int)
    system.events.publish(3)
    system.events.publish("four")

    assert notes == [3, "four"]


@pytest.mark.parametrize("kind", ["function", "actor"])
async def test_an_unsubscribed_subscriber_gets_nothing_more(system: ActorSystem, kind: str) -> None:
    notes: list[Any] = []
    subscriber = notes.append if kind == "function" else system.spawn(Recorder, notes)
    system.events.subscribe(subscriber, Event)
    system.events.publish(Event())
    await wait_all_tasks_blocked()

    system.events.unsubscribe(subscriber)
    system.events.unsubscribe(subscriber)
    system.events.publish(Event())
    await wait_all_tasks_blocked()

    assert len(notes) == 1


async def test_a_subscriber_that_another_one_unsubscribes_does_not_get_that_very_event(
    system: ActorSystem,
) -> None:
    notes: list[Any] = []

    def unsubscribe_the_next(_: Event) -> None:
        system.events.unsubscribe(notes.append)

    system.events.subscribe(unsubscribe_the_next, Event)
    system.events.subscribe(notes.append, Event)
    system.events.publish(Event())

    assert notes == []


@pytest.mark.parametrize("kinds", [(), ("text",), (1,), (Event, None)])
async def test_what_is_not_a_type_cannot_be_subscribed_to(
    system: ActorSystem, kinds: tuple[Any, ...]
) -> None:
    with pytest.raises((ValueError, TypeError)):
        system.events.subscribe(ignore, *kinds)
    system.events.publish("text")
    assert await system.spawn(Echo).ask("alive", block=False) == "alive"


class Shy(Protocol):
    """Not to be asked for its subclasses: it is not `runtime_checkable`."""

    def name(self) -> str: ...


class Moody(type):
    """Its classes refuse to be asked for subclasses once they are in a bad mood."""

    bad_mood = False

    def __subclasscheck__(cls, subclass: type) -> bool:
        if cls.bad_mood:
            raise RuntimeError("not now")
        return super().__subclasscheck__(subclass)


async def test_a_protocol_that_cannot_be_asked_for_its_subclasses_is_refused(system: ActorSystem) -> None:
    with pytest.raises(TypeError, match=r"Shy.* does not say what its subclasses are"):
        system.events.subscribe(ignore, Shy)


async def test_a_type_that_fails_when_it_is_asked_harms_neither_publisher_nor_subscribers(
    system: ActorSystem,
) -> None:
    class Mine(metaclass=Moody):
        pass

    notes: list[Any] = []
    system.events.subscribe(ignore, Mine)
    system.events.subscribe(notes.append, Event)
    Mine.bad_mood = True
    event = Event()
    await trio.to_thread.run_sync(system.events.publish, event)
    await wait_all_tasks_blocked()

    assert notes == [event]


class Unlisted(type):
    __hash__ = None  # type: ignore[assignment] - that is the point


async def test_an_event_of_an_unhashable_type_is_refused_where_it_is_published(system: ActorSystem) -> None:
    class Strange(metaclass=Unlisted):
        pass

    with pytest.raises(TypeError, match="unhashable"):
        await trio.to_thread.run_sync(system.events.publish, Strange())

    assert await system.spawn(Echo).ask("alive", block=False) == "alive"


async def test_types_of_events_made_at_run_time_are_let_go(system: ActorSystem) -> None:
    notes: list[str] = []
    system.events.subscribe(lambda event: notes.append(type(event).__name__), Event)
    made: list[weakref.ref[type]] = []
    for number in range(10):
        kind = type(f"Made{number}", (Event,), {})
        made.append(weakref.ref(kind))
        system.events.publish(kind())
        del kind
    gc.collect()

    assert notes == [f"Made{number}" for number in range(10)]
    assert [kind() for kind in made] == [None] * 10


async def test_a_subscriber_that_leaves_has_the_types_of_the_others_looked_for_no_second_time(
    system: ActorSystem,
) -> None:
    class Counting(type):
        asked = 0

        def __subclasscheck__(cls, subclass: type) -> bool:
            Counting.asked += 1
            return super().__subclasscheck__(subclass)

    class Counted(metaclass=Counting):
        pass

    boxes: list[list[Any]] = [[] for _ in range(100)]
    subscribers = [box.append for box in boxes]
    for subscriber in subscribers:
        system.events.subscribe(subscriber, Counted)
    Counting.asked = 0
    for subscriber in subscribers:
        system.events.publish(Event())
        system.events.unsubscribe(subscriber)

    assert Counting.asked == 1


class Unhashable:
    """A function that cannot be looked up."""

    __hash__ = None  # type: ignore[assignment] - that is the point

    def __call__(self, _: object) -> None:
        raise AssertionError


def test_a_mistake_in_another_thread_is_raised_in_that_thread(system_thread: SystemThread) -> None:
    events = system_thread.system.events

    with pytest.raises(TypeError):
        events.subscribe(Unhashable(), Event)
    with pytest.raises(TypeError):
        events.unsubscribe(Unhashable())
    with pytest.raises(TypeError):
        events.subscribe(ignore, "text")  # type: ignore[arg-type] - that is the point
    events.publish(Event())

    assert system_thread.system.spawn(Echo).ask("alive", timeout=10) == "alive"


async def test_a_dead_subscriber_is_forgotten(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Recorder, notes)
    system.events.subscribe(ref, Event)
    await ref.stop(block=False)

    assert not system.events.is_wanted(Event)
    system.events.publish(Event())
    system.events.subscribe(ref, Event)

    assert not system.events.is_wanted(Event)
    assert notes == []
    assert system.dead_letters == 0


async def test_a_dead_subscriber_of_another_system_is_forgotten_too(system: ActorSystem) -> None:
    notes: list[Any] = []
    async with open_system() as other:
        ref = other.spawn(Recorder, notes)
        system.events.subscribe(ref, Event)
        system.events.publish(Event())
        await ref.stop(block=False)
        system.events.publish(Event())

    assert len(notes) == 1
    assert not system.events.is_wanted(Event)


@pytest.mark.parametrize("error_class", [ValueError, SystemExit, KeyboardInterrupt, trio.Cancelled])
async def test_a_subscriber_that_raises_disturbs_nobody_else(
    system: ActorSystem, error_class: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    notes: list[Any] = []
    error = (
        trio.Cancelled._create(source="explicit")  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType] - nobody can make one otherwise
        if error_class is trio.Cancelled
        else error_class("of the subscriber")
    )

    def refuse(_: Event) -> None:
        raise error

    system.events.subscribe(refuse, Event)
    system.events.subscribe(notes.append, Event)

    def publish(actor: Obedient) -> str:
        actor.system.events.publish(Event())
        return "published"

    assert await system.spawn(Obedient).ask(publish, block=False) == "published"
    await trio.to_thread.run_sync(system.events.publish, Event())
    await wait_all_tasks_blocked()

    assert len(notes) == 2
    assert "a subscriber of the event stream failed" in caplog.text


async def test_events_published_by_a_subscriber_come_after_the_one_it_got(system: ActorSystem) -> None:
    early: list[Any] = []
    late: list[Any] = []

    def answer(event: int) -> None:
        early.append(event)
        if event < 3:
            system.events.publish(event + 1)

    system.events.subscribe(answer, int)
    system.events.subscribe(late.append, int)
    system.events.publish(1)

    assert early == [1, 2, 3]
    assert late == [1, 2, 3]


async def test_a_subscriber_may_spawn_kill_and_subscribe(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Echo)

    def act(_: Event) -> None:
        system.events.subscribe(system.spawn(Recorder, notes), Special)
        system.events.unsubscribe(act)
        ref.kill()
        system.events.publish(Special())

    system.events.subscribe(act, Event)
    system.events.publish(Event())
    await wait_all_tasks_blocked()

    assert [type(event) for event in notes] == [Special]
    assert not ref.is_alive()


async def test_an_event_for_a_full_mailbox_is_dropped_without_a_letter(system: ActorSystem) -> None:
    gate = trio.Event()

    class Small(Recorder):
        mailbox = Mailbox(1)

        async def on_receive(self, message: Any) -> None:
            await gate.wait()
            self.notes.append(message)

    notes: list[Any] = []
    ref = system.spawn(Small, notes)
    system.events.subscribe(ref, int)
    system.events.publish(0)
    await wait_all_tasks_blocked()
    for number in range(1, 5):
        system.events.publish(number)
    gate.set()
    await ref.stop(block=False)

    assert notes == [0, 1]
    assert system.dead_letters == 0


@pytest.mark.usefixtures("eager_thread_switches")
async def test_threads_publish_and_each_ones_events_keep_their_order(system: ActorSystem) -> None:
    by_function: list[tuple[int, int]] = []
    by_actor: list[tuple[int, int]] = []
    system.events.subscribe(by_function.append, tuple)
    system.events.subscribe(system.spawn(Recorder, by_actor), tuple)

    def publish(thread: int) -> None:
        for number in range(200):
            system.events.publish((thread, number))
            if number % 20 == 0:
                system.events.subscribe(ignore, Event)

    await run_in_threads(4, publish)
    await wait_all_tasks_blocked()

    for notes in (by_function, by_actor):
        for thread in range(4):
            assert [number for who, number in notes if who == thread] == list(range(200))


def test_a_function_is_called_on_the_systems_thread_only(system_thread: SystemThread) -> None:
    threads: list[int] = []
    inbox = system_thread.system.spawn(Echo).actor_inbox

    def note(_: object) -> None:
        threads.append(threading.get_ident())

    system_thread.system.events.subscribe(note, object)
    system_thread.system.events.publish(Event())
    system_thread.stop()
    system_thread.system.events.publish(Event())
    inbox.put(envelope("too late"))

    assert threads
    assert threading.get_ident() not in threads


def envelope(message: object) -> Any:
    from pykka._envelope import Envelope  # noqa: PLC0415 - what pykka's own actors put there

    return Envelope(message)


async def test_an_actor_that_fails_is_announced_and_one_that_stops_is_not(system: ActorSystem) -> None:
    notes: list[Any] = []
    system.events.subscribe(notes.append, ActorFailed)
    failing, stopping, killed = (system.spawn(Obedient) for _ in range(3))

    failing.tell(fail)
    killed.kill()
    await stopping.stop(block=False)
    await wait_all_tasks_blocked()

    assert [(event.ref, type(event.error)) for event in notes] == [(failing, ValueError)]


async def test_an_actor_that_fails_on_the_news_of_failures_fails_once(system: ActorSystem) -> None:
    class Nervous(TrioActor):
        def on_receive(self, message: Any) -> Any:
            raise ValueError(message)

    events: list[Any] = []
    system.events.subscribe(events.append, ActorFailed)
    nervous = [system.spawn(Nervous) for _ in range(3)]
    for ref in nervous:
        system.events.subscribe(ref, ActorFailed)

    system.spawn(Nervous).tell("go")
    await wait_all_tasks_blocked()

    assert len(events) == 4
    assert not any(ref.is_alive() for ref in nervous)


async def test_dead_letters_say_who_did_not_get_what_and_why(system: ActorSystem) -> None:
    letters: list[DeadLetter] = []
    system.events.subscribe(letters.append, DeadLetter)
    dead, failing = system.spawn(Echo), system.spawn(Obedient)
    await dead.stop(block=False)
    sender = system.spawn(Obedient)

    def send(actor: Obedient) -> None:
        actor.send(dead, "to the dead")
        actor.send(None, "to nobody")

    await sender.ask(send, block=False)
    failing.tell(fail)
    await wait_all_tasks_blocked()

    assert [(letter.recipient, letter.message) for letter in letters] == [
        (dead, "to the dead"),
        (None, "to nobody"),
        (failing, fail),
    ]
    assert len({letter.reason for letter in letters}) == 3
    assert system.dead_letters == 3


async def test_an_asked_message_is_answered_and_no_dead_letter(system: ActorSystem) -> None:
    class Strict(Obedient):
        expected_errors = ()

    def defer_and_fail(actor: Obedient) -> None:
        actor.defer()
        raise ValueError

    letters: list[DeadLetter] = []
    system.events.subscribe(letters.append, DeadLetter)
    for function in (fail, defer_and_fail):
        ref = system.spawn(Strict)
        reply = ref.ask(function, block=False)
        await reply.settled()
        await wait_all_tasks_blocked()
        assert not ref.is_alive()

    assert letters == []


async def test_a_dead_letter_about_a_dead_letter_is_counted_and_does_not_go_round(
    system: ActorSystem,
) -> None:
    letters: list[DeadLetter] = []
    system.events.subscribe(letters.append, DeadLetter)

    class Failing(TrioActor):
        def on_receive(self, message: Any) -> Any:
            raise ValueError(message)

    class Crowded(Recorder):
        mailbox = Mailbox(1, Overflow.DROP_OLDEST)

    system.events.subscribe(system.spawn(Failing), DeadLetter)
    system.events.subscribe(system.spawn(Crowded, []), DeadLetter)

    def send_three(actor: Obedient) -> None:
        for number in range(3):
            actor.send(None, number)

    await system.spawn(Obedient).ask(send_three, block=False)
    await wait_all_tasks_blocked()

    assert [letter.message for letter in letters] == [0, 1, 2]
    assert system.dead_letters > 3


async def test_a_function_that_makes_dead_letters_of_dead_letters_does_not_nest(
    system: ActorSystem,
) -> None:
    dead = system.spawn(Obedient)
    await dead.stop(block=False)
    sender = system.spawn(Obedient)
    seen = Counter[str]()

    def resend(letter: DeadLetter) -> None:
        seen[letter.message] += 1
        if sum(seen.values()) < 5_000:
            system.bury(dead, letter.message, "sent again")

    system.events.subscribe(resend, DeadLetter)

    def send(actor: Obedient) -> None:
        actor.send(dead, "again")

    await sender.ask(send, block=False)

    assert seen == {"again": 5_000}


@pytest.mark.usefixtures("eager_thread_switches")
async def test_dead_letters_from_threads_are_all_counted(system: ActorSystem) -> None:
    letters: list[DeadLetter] = []
    system.events.subscribe(letters.append, DeadLetter)
    dead = system.spawn(Echo)
    await dead.stop(block=False)

    def put(_: int) -> None:
        for number in range(200):
            dead.actor_inbox.put(envelope(number))

    await run_in_threads(4, put)
    await wait_all_tasks_blocked()

    assert system.dead_letters == len(letters) == 800


async def test_a_message_that_is_thrown_away_in_a_letter_may_speak(system: ActorSystem) -> None:
    """Finalizers run wherever a message is let go."""
    ref = system.spawn(Recorder, notes := [])

    class LastWords:
        def __del__(self) -> None:
            ref.tell("last words")

    def send(actor: Obedient) -> None:
        actor.send(None, LastWords())

    await system.spawn(Obedient).ask(send, block=False)
    gc.collect()
    await ref.stop(block=False)

    assert notes == ["last words"]


class OddMessage:
    """Does what it can to break whoever looks at it."""

    @property
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride, reportIncompatibleMethodOverride] - the point
        raise RuntimeError("asked for its class")


async def test_a_message_of_an_impossible_class_is_a_dead_letter_like_any_other(
    system: ActorSystem,
) -> None:
    ref = system.spawn(Recorder, [])
    ref.tell(OddMessage())
    ref.kill()
    await wait_all_tasks_blocked()

    assert system.dead_letters == 1
    assert await system.spawn(Echo).ask("alive", block=False) == "alive"


async def test_dead_letters_are_logged_by_type_within_limits(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "greenroom.runtime")

    def send_many(actor: Obedient) -> None:
        for _ in range(100):
            actor.send(None, "secret")

    await system.spawn(Obedient).ask(send_many, block=False)

    lines = [record for record in caplog.records if record.getMessage() == "dead letter"]
    assert 0 < len(lines) <= 10
    assert {vars(line)["message_type"] for line in lines} == {"str"}
    assert "secret" not in caplog.text
    assert system.dead_letters == 100


class Grudge(logging.Filter):
    """A filter of the host's that is broken."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise RuntimeError(record.getMessage())


async def test_a_host_whose_logging_is_broken_keeps_its_actors(system: ActorSystem) -> None:
    logger = logging.getLogger("greenroom.runtime")
    grudge = Grudge()
    level = logger.level
    logger.addFilter(grudge)
    logger.setLevel(logging.INFO)
    try:
        ref = system.spawn(Echo)
        ref.tell("too late")
        ref.kill()
        system.events.subscribe(lambda _: 1 / 0, Event)
        system.events.publish(Event())
        await wait_all_tasks_blocked()
    finally:
        logger.removeFilter(grudge)
        logger.setLevel(level)

    assert system.dead_letters == 1
    assert await system.spawn(Echo).ask("alive", block=False) == "alive"


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_throttle_admits_so_many_lines_a_window_and_says_how_many_it_held_back() -> None:
    clock = Clock()
    throttle = LogThrottle(lines=3, window_seconds=60, clock=clock)

    assert [throttle.admit() for _ in range(5)] == [0, 0, 0, None, None]
    clock.now = 59.9
    assert throttle.admit() is None
    clock.now = 60
    assert [throttle.admit() for _ in range(4)] == [3, 0, 0, None]
    clock.now = 1000
    assert throttle.admit() == 1
    clock.now = 2000
    assert throttle.admit() == 0
