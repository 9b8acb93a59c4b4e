"""Mailboxes: bounds and what becomes of the rest, order, and what happens at the very end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import pykka
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import (
    ActorRef,
    ActorSystem,
    DeadLetter,
    Mailbox,
    MailboxFullError,
    Overflow,
    Reply,
    SystemThread,
    Terminated,
    TrioActor,
    open_system,
    start_system,
)
from runtime.scheduler import Pace, Scheduler
from tests.runtime.samples import Echo, Obedient, Recorder, run_in_threads


class Bounded(Recorder):
    """Notes what it is told, once its gate is open."""

    def __init__(self, notes: list[Any], gate: trio.Event) -> None:
        super().__init__(notes)
        self.gate = gate

    async def on_receive(self, message: Any) -> Any:
        await self.gate.wait()
        self.notes.append(message)
        return message


class Rejecting(Bounded):
    mailbox = Mailbox(2)


class DroppingOldest(Bounded):
    mailbox = Mailbox(2, Overflow.DROP_OLDEST)


class DroppingNewest(Bounded):
    mailbox = Mailbox(2, Overflow.DROP_NEWEST)


class Waiting(Bounded):
    mailbox = Mailbox(2, Overflow.WAIT)


class WaitingForOne(Bounded):
    mailbox = Mailbox(1, Overflow.WAIT)


BOUNDED = [Rejecting, DroppingOldest, DroppingNewest, Waiting]


async def fill(system: ActorSystem, cls: type[Bounded]) -> tuple[ActorRef[Any], list[Any], trio.Event]:
    """An actor that handles "handled", with two messages waiting, "first" and "second"."""
    notes: list[Any] = []
    gate = trio.Event()
    ref = system.spawn(cls, notes, gate)
    ref.tell("handled")
    await wait_all_tasks_blocked()
    ref.tell("first")
    ref.tell("second")
    return ref, notes, gate


def dead_letters_of(system: ActorSystem) -> list[Any]:
    """The list in which the messages of dead letters will stand."""
    messages: list[Any] = []

    def note(letter: DeadLetter) -> None:
        messages.append(letter.message)

    system.events.subscribe(note, DeadLetter)
    return messages


def test_a_mailbox_without_room_cannot_be_declared() -> None:
    for limit in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            Mailbox(limit)


# --- each policy, by each way in ----------------------------------------------------------------------


async def test_a_full_mailbox_that_rejects_tells_the_sender(system: ActorSystem) -> None:
    ref, notes, gate = await fill(system, Rejecting)
    letters = dead_letters_of(system)

    with pytest.raises(MailboxFullError, match="limit"):
        ref.tell("told")
    with pytest.raises(MailboxFullError):
        await ref.send("sent")
    asked = ref.ask("asked", block=False)
    gate.set()
    with pytest.raises(MailboxFullError):
        await asked
    await ref.stop(block=False)

    assert notes == ["handled", "first", "second"]
    assert letters == []


async def test_a_full_mailbox_that_drops_the_oldest_takes_the_newest(system: ActorSystem) -> None:
    ref, notes, gate = await fill(system, DroppingOldest)
    letters = dead_letters_of(system)

    ref.tell("told")
    asked = ref.ask("asked", block=False)
    gate.set()

    assert await asked == "asked"
    assert notes == ["handled", "told", "asked"]
    assert letters == ["first", "second"]


async def test_an_ask_that_is_dropped_as_the_oldest_is_answered(system: ActorSystem) -> None:
    notes: list[Any] = []
    gate = trio.Event()
    ref = system.spawn(DroppingOldest, notes, gate)
    ref.tell("handled")
    await wait_all_tasks_blocked()
    asked = ref.ask("asked", block=False)
    for number in range(2):
        ref.tell(number)

    with pytest.raises(MailboxFullError):
        await asked
    gate.set()
    await ref.stop(block=False)

    assert notes == ["handled", 0, 1]
    assert system.dead_letters == 0


async def test_a_full_mailbox_that_drops_the_newest_keeps_what_it_has(system: ActorSystem) -> None:
    ref, notes, gate = await fill(system, DroppingNewest)
    letters = dead_letters_of(system)

    ref.tell("told")
    await ref.send("sent")
    asked = ref.ask("asked", block=False)
    gate.set()
    with pytest.raises(MailboxFullError):
        await asked
    await ref.stop(block=False)

    assert notes == ["handled", "first", "second"]
    assert letters == ["told", "sent"]


async def test_a_full_mailbox_that_lets_wait_rejects_what_trio_may_not_wait_for(
    system: ActorSystem,
) -> None:
    ref, notes, gate = await fill(system, Waiting)

    with pytest.raises(MailboxFullError):
        ref.tell("told")
    with pytest.raises(MailboxFullError):
        await ref.ask("asked", block=False)
    gate.set()
    await ref.stop(block=False)

    assert notes == ["handled", "first", "second"]


async def test_send_waits_for_room(system: ActorSystem) -> None:
    ref, notes, gate = await fill(system, Waiting)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ref.send, "sent")
        await wait_all_tasks_blocked()
        gate.set()
    await ref.stop(block=False)

    assert notes == ["handled", "first", "second", "sent"]


async def test_a_handler_gets_mailbox_full_error_and_send_makes_it_a_dead_letter(
    system: ActorSystem,
) -> None:
    for cls in (Rejecting, Waiting):
        ref, _, gate = await fill(system, cls)
        letters = dead_letters_of(system)

        def tell(_: Obedient, ref: ActorRef[Any] = ref) -> None:
            ref.tell("told")

        def send(actor: Obedient, ref: ActorRef[Any] = ref) -> None:
            actor.send(ref, "sent")

        sender = system.spawn(Obedient)
        with pytest.raises(MailboxFullError):
            await sender.ask(tell, block=False)
        await sender.ask(send, block=False)
        gate.set()

        assert letters == ["sent"]


async def test_the_forwarded_question_of_an_asker_finds_no_room(system: ActorSystem) -> None:
    ref, _, gate = await fill(system, Rejecting)

    def forward(actor: Obedient) -> None:
        actor.forward(ref, "forwarded")

    with pytest.raises(MailboxFullError):
        await system.spawn(Obedient).ask(forward, block=False)
    gate.set()


class Held:
    """A bounded actor in the system of another thread, held up in the handler of its first message."""

    def __init__(self, host: SystemThread, cls: type[Bounded]) -> None:
        self.notes: list[Any] = []
        self._host = host
        self._gate = trio.Event()
        self.ref = host.system.spawn(cls, self.notes, self._gate)
        self.ref.tell("handled")
        self.settle()

    def settle(self) -> None:
        """Return when nothing more happens in the system."""
        self._host.call(wait_all_tasks_blocked)

    def open(self) -> None:
        async def open_gate() -> None:
            self._gate.set()

        self._host.call(open_gate)


def test_a_thread_is_rejected_at_once(system_thread: SystemThread) -> None:
    held = Held(system_thread, Rejecting)
    held.ref.tell("first")
    held.ref.tell("second")

    with pytest.raises(MailboxFullError):
        held.ref.tell("third")
    with pytest.raises(MailboxFullError):
        held.ref.ask("third", timeout=10)
    with pytest.raises(MailboxFullError):
        held.ref.ask("third", block=False).get(timeout=10)
    held.open()
    held.ref.stop(timeout=10)

    assert held.notes == ["handled", "first", "second"]


@pytest.mark.parametrize(
    ("cls", "kept", "dropped"),
    [(DroppingOldest, [3, 4], [0, 1, 2]), (DroppingNewest, [0, 1], [2, 3, 4])],
)
def test_what_a_thread_tells_too_much_is_dropped(
    system_thread: SystemThread, cls: type[Bounded], kept: list[int], dropped: list[int]
) -> None:
    held = Held(system_thread, cls)
    letters = dead_letters_of(system_thread.system)

    for number in range(5):
        held.ref.tell(number)
    held.settle()
    held.open()
    held.ref.stop(timeout=10)

    assert held.notes == ["handled", *kept]
    assert letters == dropped


def test_threads_wait_for_room_to_tell_and_to_ask(system_thread: SystemThread) -> None:
    held = Held(system_thread, Waiting)
    held.ref.tell("first")
    held.ref.tell("second")
    answers: list[Any] = []

    def ask() -> None:
        answers.append(held.ref.ask("asked", timeout=10))

    threads = [
        threading.Thread(target=held.ref.tell, args=["told"]),
        threading.Thread(target=ask),
    ]
    for thread in threads:
        thread.start()
    held.open()
    for thread in threads:
        thread.join(10)
    held.ref.stop(timeout=10)

    assert answers == ["asked"]
    assert sorted(held.notes) == ["asked", "first", "handled", "second", "told"]


def test_a_thread_waits_no_longer_than_its_timeout_for_room_and_leaves_nothing(
    system_thread: SystemThread,
) -> None:
    held = Held(system_thread, WaitingForOne)
    held.ref.tell("first")

    with pytest.raises(pykka.Timeout):
        held.ref.ask("too late", timeout=0.01)
    with pytest.raises(pykka.Timeout):
        held.ref.ask("too late", block=False, timeout=0.01).get(timeout=10)
    held.open()
    held.ref.ask("after", timeout=10)
    held.ref.stop(timeout=10)

    assert held.notes == ["handled", "first", "after"]


def test_an_asyncio_task_waits_for_room_in_send_and_nowhere_else(system_thread: SystemThread) -> None:
    held = Held(system_thread, WaitingForOne)
    held.ref.tell("first")

    async def send_three() -> str:
        with pytest.raises(MailboxFullError):
            held.ref.tell("told")
        with pytest.raises(MailboxFullError):
            await held.ref.ask("asked", block=False)
        cancelled = asyncio.create_task(held.ref.send("cancelled"))
        sent = asyncio.create_task(held.ref.send("sent"))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        assert cancelled.cancelled()
        await asyncio.to_thread(held.open)
        await sent
        return "done"

    assert asyncio.run(send_three()) == "done"
    held.ref.stop(timeout=10)
    assert held.notes == ["handled", "first", "sent"]


# --- those who wait -----------------------------------------------------------------------------------


async def test_those_who_wait_get_their_places_in_the_order_in_which_they_came(system: ActorSystem) -> None:
    notes: list[Any] = []
    gate = trio.Event()
    ref = system.spawn(WaitingForOne, notes, gate)
    ref.tell("handled")
    await wait_all_tasks_blocked()
    ref.tell("first")

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(ref.send, number)
            await wait_all_tasks_blocked()
        gate.set()
    await ref.stop(block=False)

    assert notes == ["handled", "first", *range(20)]


async def test_nobody_overtakes_those_who_wait(system: ActorSystem) -> None:
    """A place that was granted belongs to its sender, also before that has come to use it."""
    notes: list[Any] = []
    gate = trio.Event()

    class Overtaken(WaitingForOne):
        async def on_receive(self, message: Any) -> None:
            await super().on_receive(message)
            if message != 2:
                with pytest.raises(MailboxFullError):
                    self.actor_ref.tell("overtaking")

    ref = system.spawn(Overtaken, notes, gate)
    ref.tell("handled")
    await wait_all_tasks_blocked()
    ref.tell("first")

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(ref.send, number)
            await wait_all_tasks_blocked()
        gate.set()
    await ref.stop(block=False)

    assert notes == ["handled", "first", 0, 1, 2]


async def test_a_cancelled_wait_leaves_nothing_and_loses_no_place(system: ActorSystem) -> None:
    notes: list[Any] = []
    gate = trio.Event()
    ref = system.spawn(WaitingForOne, notes, gate)
    ref.tell("handled")
    await wait_all_tasks_blocked()
    ref.tell("first")
    scopes = [trio.CancelScope() for _ in range(10)]

    async def send(number: int) -> None:
        with scopes[number]:
            await ref.send(number)

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(send, number)
            await wait_all_tasks_blocked()
        for scope in scopes[::2]:
            scope.cancel()
        await wait_all_tasks_blocked()
        gate.set()
    await ref.send("last")
    await ref.stop(block=False)

    assert notes == ["handled", "first", 1, 3, 5, 7, 9, "last"]


async def test_a_place_granted_to_a_wait_that_is_being_cancelled_goes_to_the_next(
    system: ActorSystem,
) -> None:
    notes: list[Any] = []
    gates = [trio.Event() for _ in range(4)]

    class Stepwise(TrioActor):
        mailbox = Mailbox(1, Overflow.WAIT)

        async def on_receive(self, message: Any) -> None:
            notes.append(message)
            scope.cancel()  # at the very moment at which its place has been granted
            await gates[len(notes)].wait()

    scope = trio.CancelScope()
    ref = system.spawn(Stepwise)

    async def send(message: str, own: trio.CancelScope) -> None:
        with own:
            await ref.send(message)

    async with trio.open_nursery() as nursery:
        ref.tell("first")
        nursery.start_soon(send, "cancelled", scope)
        nursery.start_soon(send, "next", trio.CancelScope())
        await wait_all_tasks_blocked()
        for gate in gates:
            gate.set()
            await wait_all_tasks_blocked()
    await ref.send("last")
    await ref.stop(block=False)

    assert notes[0] == "first"
    assert set(notes) >= {"next", "last"}


async def test_a_send_that_is_cancelled_already_takes_no_place(system: ActorSystem) -> None:
    notes: list[Any] = []
    gate = trio.Event()
    ref = system.spawn(WaitingForOne, notes, gate)

    for number in range(3):
        with trio.CancelScope() as scope:
            scope.cancel()
            await ref.send(number)
    gate.set()
    ref.tell("after")
    await ref.stop(block=False)

    assert notes == ["after"]


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_those_who_wait_learn_that_the_actor_takes_no_more(system: ActorSystem, end: str) -> None:
    outcomes: list[type[BaseException]] = []
    never = trio.Event()

    class Slow(WaitingForOne):
        async def on_stop(self) -> None:
            await never.wait()

    notes: list[Any] = []
    gate = trio.Event()
    ref = system.spawn(Slow, notes, gate)
    ref.tell("handled")
    await wait_all_tasks_blocked()
    ref.tell("first")

    async def send() -> None:
        try:
            await ref.send("sent")
        except pykka.ActorDeadError as error:
            outcomes.append(type(error))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(send)
        await wait_all_tasks_blocked()
        stopped = ref.stop(block=False, drain=False)
        if end == "kill":
            ref.kill()
        gate.set()
    never.set()
    await stopped

    assert outcomes == [pykka.ActorDeadError] * 5
    assert "sent" not in notes
    with pytest.raises(pykka.ActorDeadError):
        await ref.send("later")


def test_threads_that_wait_learn_that_the_actor_is_dead(system_thread: SystemThread) -> None:
    held = Held(system_thread, WaitingForOne)
    held.ref.tell("first")
    outcomes: list[str] = []

    def tell() -> None:
        try:
            held.ref.tell("told")
        except pykka.ActorDeadError:
            outcomes.append("told")

    def ask() -> None:
        reply = held.ref.ask("asked", block=False)
        try:
            reply.get(timeout=10)
        except pykka.ActorDeadError:
            outcomes.append("asked")

    threads = [threading.Thread(target=function) for function in (tell, ask) * 3]
    for thread in threads:
        thread.start()
    held.ref.kill()
    for thread in threads:
        thread.join(10)

    assert sorted(outcomes) == ["asked"] * 3 + ["told"] * 3


# --- who is exempt ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", BOUNDED)
async def test_stops_timers_and_death_notices_take_no_place_and_are_never_dropped(
    system: ActorSystem, mock_clock: MockClock, cls: type[Bounded]
) -> None:
    other = system.spawn(Echo)

    class Busy(cls):
        def on_start(self) -> None:
            self.watch(other)
            for number in range(3):
                self.timers.start(number, 1, f"tick {number}")

    ref, notes, gate = await fill(system, Busy)
    mock_clock.jump(1)
    await other.stop(block=False)
    await wait_all_tasks_blocked()
    stopped = ref.stop(block=False)
    gate.set()

    assert await stopped is True
    assert notes[:3] == ["handled", "first", "second"]
    assert sorted(map(str, notes[3:])) == sorted(
        ["tick 0", "tick 1", "tick 2", str(Terminated(other, None))]
    )


async def test_the_oldest_message_is_dropped_from_behind_what_is_exempt(
    system: ActorSystem, mock_clock: MockClock
) -> None:
    class Ticking(DroppingOldest):
        def on_start(self) -> None:
            self.timers.start("tick", 1, "tick")

    notes: list[Any] = []
    gate = trio.Event()
    ref = system.spawn(Ticking, notes, gate)
    ref.tell("handled")
    await wait_all_tasks_blocked()
    mock_clock.jump(1)
    await wait_all_tasks_blocked()
    for number in range(5):
        ref.tell(number)
    gate.set()
    await ref.stop(block=False)

    assert notes == ["handled", "tick", 3, 4]


async def test_the_message_in_hand_takes_no_place(system: ActorSystem) -> None:
    ref, notes, gate = await fill(system, Rejecting)
    with pytest.raises(MailboxFullError):
        ref.tell("third")
    gate.set()
    await wait_all_tasks_blocked()

    for message in ("fourth", "fifth"):
        ref.tell(message)
    with pytest.raises(MailboxFullError):
        ref.tell("sixth")
    await ref.stop(block=False)

    assert notes == ["handled", "first", "second", "fourth", "fifth"]


# --- what happens in between --------------------------------------------------------------------------


@pytest.mark.parametrize("overflow", [Overflow.DROP_OLDEST, Overflow.DROP_NEWEST])
async def test_whoever_learns_of_a_dropped_message_may_tell_the_same_actor_at_once(
    system: ActorSystem, overflow: Overflow
) -> None:
    class Tiny(Recorder):
        mailbox = Mailbox(1, overflow)

    notes: list[Any] = []
    ref = system.spawn(Tiny, notes)

    def complain(letter: DeadLetter) -> None:
        if letter.message != "complaint":
            ref.tell("complaint")

    system.events.subscribe(complain, DeadLetter)
    for number in range(5):
        ref.tell(number)
    await ref.stop(block=False)

    assert len(notes) == 1
    assert await system.spawn(Echo).ask("alive", block=False) == "alive"


class Interrupting(deque[Any]):
    """A ready queue that is interrupted by a function just when its length has been looked at."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self.scheduler = scheduler
        self.function: Callable[[], object] | None = None

    def __len__(self) -> int:
        length = super().__len__()
        function = self.function
        if function is not None and self.scheduler.parked and not length:
            self.function = None
            function()
        return length

    def __bool__(self) -> bool:
        return len(self) > 0


async def test_a_message_that_comes_while_the_dispatcher_is_about_to_sleep_is_handled() -> None:
    """A finalizer or a signal handler may tell an actor something at any moment."""
    queues: list[Interrupting] = []

    class InterruptedPace(Pace):
        def ready_queue(self, scheduler: Scheduler) -> Interrupting:
            queues.append(Interrupting(scheduler))
            return queues[-1]

    async with open_system(pace=InterruptedPace()) as system:
        notes: list[Any] = []
        ref = system.spawn(Recorder, notes)
        queues[0].function = functools.partial(ref.tell, "told")
        await wait_all_tasks_blocked()

        assert notes == ["told"]


class LastWords:
    """Tells an actor something when it is thrown away."""

    def __init__(self, ref: ActorRef[Any]) -> None:
        self.ref = ref

    def __del__(self) -> None:
        self.ref.tell("last words")


async def test_a_message_that_speaks_when_it_is_dropped_disturbs_nobody(system: ActorSystem) -> None:
    class Tiny(Recorder):
        mailbox = Mailbox(1, Overflow.DROP_OLDEST)

    notes: list[Any] = []
    ref = system.spawn(Tiny, notes)

    for number in range(3):
        ref.tell(LastWords(ref))
        ref.tell(number)
    await wait_all_tasks_blocked()
    notes.clear()
    ref.tell("after")
    await ref.stop(block=False)

    assert notes[-1] in ("after", "last words")


async def test_an_actor_that_tells_itself_too_much_before_its_start_harms_nobody(
    system: ActorSystem,
) -> None:
    class Talkative(Recorder):
        mailbox = Mailbox(2, Overflow.DROP_OLDEST)

        def __init__(self, notes: list[Any]) -> None:
            super().__init__(notes)
            for number in range(5):
                self.actor_ref.tell(number)

    notes: list[Any] = []
    await system.spawn(Talkative, notes).stop(block=False)

    assert notes == [3, 4]


# --- places are right, whatever happened --------------------------------------------------------------


class Counting(TrioActor):
    """Handles messages without hurry, and may stop to wait."""

    def __init__(self, handled: Counter[Any]) -> None:
        super().__init__()
        self.handled = handled

    def on_receive(self, message: Any) -> Any:
        self.handled[message] += 1
        return message if self.handled[message] % 7 else self.wait()

    async def wait(self) -> None:
        await trio.lowlevel.checkpoint()


@pytest.mark.usefixtures("eager_thread_switches")
@pytest.mark.parametrize("overflow", list(Overflow))
async def test_after_thousands_of_operations_there_are_as_many_places_as_before(
    system: ActorSystem, overflow: Overflow
) -> None:
    """Every message is handled, refused, dropped or given up; then the mailbox takes its limit again."""
    limit = 3

    class Small(Counting):
        mailbox = Mailbox(limit, overflow)

    handled: Counter[Any] = Counter()
    ref = system.spawn(Small, handled)
    letters = dead_letters_of(system)
    accepted = [0] * 6
    replies: list[Reply[Any]] = []

    def talk(number: int) -> None:
        dice = random.Random(number)
        for _ in range(200):
            try:
                if dice.random() < 0.5:
                    ref.tell("told")
                    accepted[number] += 1
                else:
                    timeout = dice.choice([None, 0.0, 0.001])
                    replies.append(ref.ask("asked", block=False, timeout=timeout))
            except MailboxFullError:
                pass

    async def send(number: int) -> None:
        dice = random.Random(number)
        for _ in range(200):
            with trio.CancelScope() as scope:
                if dice.random() < 0.3:
                    trio.lowlevel.current_trio_token().run_sync_soon(scope.cancel)
                try:
                    await ref.send("told")
                except MailboxFullError:
                    await trio.lowlevel.checkpoint()
                else:
                    accepted[number] += 1

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_in_threads, 4, talk)
            nursery.start_soon(send, 4)
            nursery.start_soon(send, 5)
        for reply in replies:
            await reply.settled()
        await wait_all_tasks_blocked()

    assert handled["told"] + len(letters) == sum(accepted)
    for number in range(limit):  # on this thread nothing is handled in between
        ref.tell(number)
    if overflow in (Overflow.REJECT, Overflow.WAIT):
        with pytest.raises(MailboxFullError):
            ref.tell("one too many")
    await ref.stop(block=False)
    assert [handled[number] for number in range(limit)] == [1] * limit


@pytest.mark.usefixtures("eager_thread_switches")
@pytest.mark.parametrize("mailbox", [None, Mailbox(4, Overflow.WAIT)], ids=["unbounded", "waiting"])
async def test_the_messages_of_each_thread_arrive_in_their_order(
    system: ActorSystem, mailbox: Mailbox | None
) -> None:
    notes: list[tuple[int, int]] = []

    class Noting(Recorder):
        pass

    Noting.mailbox = mailbox
    ref = system.spawn(Noting, notes)

    def tell(sender: int) -> None:
        for number in range(300):
            if number % 3:
                ref.tell((sender, number))
            else:
                ref.ask((sender, number), block=number % 30 == 0, timeout=60)

    async def send() -> None:
        for number in range(300):
            await ref.send((9, number))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        nursery.start_soon(run_in_threads, 4, tell)
    await ref.stop(block=False)

    for sender in (0, 1, 2, 3, 9):
        assert [number for who, number in notes if who == sender] == list(range(300))


# --- the very end -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("eager_thread_switches")
@pytest.mark.parametrize("cls", [TrioActor, *BOUNDED])
@pytest.mark.parametrize("end", ["stop", "halt", "kill", "fail"])
async def test_every_ask_is_answered_whenever_the_actor_ends(
    system: ActorSystem, cls: type[TrioActor], end: str
) -> None:
    """pykka's race: an ask that is put after the last look into the inbox would wait for ever."""
    bounds = cls.mailbox

    class Answering(TrioActor):
        mailbox = bounds

        def on_receive(self, message: Any) -> Any:
            if message == "fail":
                raise SystemExit
            return message

    replies: list[Reply[Any]] = []
    threads, turns = 4, 6
    refs = [system.spawn(Answering) for _ in range(turns)]
    barrier = threading.Barrier(threads + 1)

    def ask(number: int) -> None:
        for ref in refs:
            barrier.wait(30)
            if number == threads:
                end_actor(ref, end)
                continue
            replies.extend(ref.ask(message, block=False) for message in range(20))

    with trio.fail_after(60):
        await run_in_threads(threads + 1, ask)
        for ref in refs:
            end_actor(ref, "kill")
        for reply in replies:
            await reply.settled()

    assert len(replies) == threads * turns * 20
    for reply in replies:
        with contextlib.suppress(pykka.ActorDeadError, MailboxFullError):
            reply.get()


def end_actor(ref: ActorRef[Any], end: str) -> None:
    match end:
        case "stop":
            ref.stop(block=False)
        case "halt":
            ref.stop(block=False, drain=False)
        case "kill":
            ref.kill()
        case _:
            ref.ask("fail", block=False)


@pytest.mark.usefixtures("eager_thread_switches")
@pytest.mark.parametrize("overflow", [None, *Overflow])
def test_threads_that_ask_while_the_system_ends_are_all_answered(overflow: Overflow | None) -> None:
    class Answering(Echo):
        mailbox = None if overflow is None else Mailbox(2, overflow)

    for _ in range(3):
        host = start_system()
        refs = [host.system.spawn(Answering) for _ in range(3)]
        replies: list[Reply[Any]] = []
        refused: list[type[BaseException]] = []
        ended = threading.Event()

        def ask(
            refs: Any = refs, replies: Any = replies, refused: Any = refused, ended: Any = ended
        ) -> None:
            while not ended.is_set():
                for ref in refs:
                    replies.append(ref.ask("asked", block=False, timeout=60))
                    try:
                        ref.tell("told")
                    except (pykka.ActorDeadError, MailboxFullError) as error:
                        refused.append(type(error))
            for ref in refs:
                replies.append(ref.ask("after the end", block=False, timeout=60))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(replies) < 100:
            threading.Event().wait(0.001)
        host.stop()
        ended.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()

        for reply in replies:
            with contextlib.suppress(pykka.ActorDeadError, MailboxFullError):
                assert reply.get(timeout=10) == "asked"


def test_asking_and_telling_after_the_end_of_the_system_says_that_the_actor_is_dead(
    system_thread: SystemThread,
) -> None:
    calls: list[Callable[[ActorRef[Any]], object]] = [
        lambda ref: ref.tell("told"),
        lambda ref: ref.ask("asked", timeout=10),
        lambda ref: ref.ask("asked", block=False, timeout=10).get(timeout=10),
    ]
    refs = [system_thread.system.spawn(cls, [], trio.Event()) for cls in BOUNDED]
    system_thread.stop()

    for ref in refs:
        for call in calls:
            with pytest.raises(pykka.ActorDeadError):
                call(ref)
