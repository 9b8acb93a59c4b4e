"""tell, ask, send, defer and forward."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pykka
import pytest
import trio
from pykka._envelope import Envelope
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import ActorRef, ActorSystem, BlockingCallError, Reply, SystemThread, Terminated, TrioActor
from tests.runtime.samples import Echo, Obedient, Recorder, run_in_threads


async def test_messages_of_one_sender_arrive_in_the_order_they_were_told(system: ActorSystem) -> None:
    notes: list[int] = []
    ref = system.spawn(Recorder, notes)

    for number in range(1_000):
        ref.tell(number)
    await ref.stop(block=False)

    assert notes == list(range(1_000))


async def test_messages_of_each_thread_arrive_in_the_order_they_were_told(system: ActorSystem) -> None:
    notes: list[tuple[int, int]] = []
    ref = system.spawn(Recorder, notes)

    def tell(sender: int) -> None:
        for number in range(500):
            ref.tell((sender, number))

    await run_in_threads(8, tell)
    await ref.stop(block=False)

    assert len(notes) == 8 * 500
    for sender in range(8):
        assert [number for who, number in notes if who == sender] == list(range(500))


async def test_a_trio_task_awaits_an_answer(system: ActorSystem) -> None:
    ref = system.spawn(Echo)

    assert await ref.ask("hello", block=False) == "hello"


def test_a_thread_waits_for_an_answer(system_thread: SystemThread) -> None:
    ref = system_thread.system.spawn(Echo)

    assert ref.ask("hello", timeout=10) == "hello"


def test_an_asyncio_task_awaits_an_answer(system_thread: SystemThread) -> None:
    ref = system_thread.system.spawn(Echo)

    async def main() -> list[Any]:
        return await asyncio.gather(*(_answer(ref, number) for number in range(100)))

    assert asyncio.run(main()) == list(range(100))


async def _answer(ref: ActorRef[Any], message: object) -> Any:
    return await ref.ask(message, block=False)


async def test_many_trio_tasks_and_threads_ask_the_same_actor(system: ActorSystem) -> None:
    ref = system.spawn(Echo)
    answers: list[Any] = []

    async def ask(number: int) -> None:
        answers.append(await ref.ask(number, block=False))

    def ask_in_thread(number: int) -> None:
        answers.append(ref.ask(100 + number, timeout=10))

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(ask, number)
        nursery.start_soon(run_in_threads, 8, ask_in_thread)

    assert sorted(answers) == list(range(108))


async def test_a_told_failure_fails_the_actor_and_an_asked_one_only_answers(system: ActorSystem) -> None:
    def fail(_: Obedient) -> None:
        raise ValueError("no")

    ref = system.spawn(Obedient)

    with pytest.raises(ValueError, match="no"):
        await ref.ask(fail, block=False)
    assert ref.is_alive()

    ref.tell(fail)
    with pytest.raises(pykka.ActorDeadError):
        await ref.ask(fail, block=False)
    assert not ref.is_alive()


class Strict(TrioActor):
    expected_errors = (KeyError,)

    def on_receive(self, message: Exception) -> None:
        raise message


@pytest.mark.parametrize("error", [KeyError("expected"), type("Missing", (KeyError,), {})("a subclass")])
async def test_an_expected_error_only_answers(system: ActorSystem, error: Exception) -> None:
    ref = system.spawn(Strict)

    with pytest.raises(KeyError):
        await ref.ask(error, block=False)

    assert ref.is_alive()


async def test_an_unexpected_error_answers_and_fails_the_actor(system: ActorSystem) -> None:
    ref = system.spawn(Strict)

    with pytest.raises(ZeroDivisionError):
        await ref.ask(ZeroDivisionError(), block=False)

    assert not ref.is_alive()


async def test_an_expected_error_that_was_told_fails_the_actor(system: ActorSystem) -> None:
    ref = system.spawn(Strict)

    ref.tell(KeyError("nobody asked"))

    assert await ref.stop(block=False) is True  # it was alive when the stop was sent
    assert not ref.is_alive()


async def test_blocking_calls_on_the_scheduler_thread_raise_and_send_nothing(system: ActorSystem) -> None:
    notes: list[Any] = []
    other = system.spawn(Recorder, notes)

    def block(_: Obedient) -> list[str]:
        raised: list[str] = []
        for call in (lambda: other.ask("asked"), other.stop, Reply[None]().get):
            try:
                call()
            except BlockingCallError:
                raised.append("refused")
        return raised

    assert await system.spawn(Obedient).ask(block, block=False) == ["refused"] * 3
    assert other.is_alive()
    await other.stop(block=False)
    assert notes == []


async def test_a_settled_reply_may_be_got_on_the_scheduler_thread(system: ActorSystem) -> None:
    ref = system.spawn(Echo)
    reply = ref.ask(1, block=False)
    await reply

    assert reply.get() == 1


async def test_a_message_sent_to_a_dead_actor_or_to_nobody_is_a_dead_letter(system: ActorSystem) -> None:
    dead = system.spawn(Echo)
    await dead.stop(block=False)

    def send(actor: Obedient) -> None:
        actor.send(dead, "too late")
        actor.send(None, "to nobody")

    ref = system.spawn(Obedient)
    await ref.ask(send, block=False)

    assert ref.is_alive()
    assert system.dead_letters == 2


async def test_mail_accepted_by_an_actor_that_stops_first_is_a_dead_letter(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Recorder, notes)

    stopped = ref.stop(block=False)
    ref.tell("behind the stop")
    await stopped

    assert notes == []
    assert system.dead_letters == 1


class Slow(TrioActor):
    """Defers every answer, and keeps the replies."""

    def __init__(self) -> None:
        super().__init__()
        self.replies: list[pykka.Future[Any] | None] = []

    def on_receive(self, message: Any) -> Any:
        match message:
            case "answer":
                for reply in self.replies:
                    assert reply is not None
                    reply.set("later")
            case "in a child":
                self.spawn(self.answer_from_child, self.defer())
            case "answer and return":
                reply = self.defer()
                assert reply is not None
                reply.set("set")
                return "returned"
            case _:
                self.replies.append(self.defer())
                return "not this"
        return None

    async def answer_from_child(self, reply: pykka.Future[Any] | None) -> None:
        assert reply is not None
        await trio.sleep(1)
        reply.set("from a child")


async def test_a_deferred_reply_is_settled_later(system: ActorSystem) -> None:
    ref = system.spawn(Slow)

    first, second = ref.ask("wait", block=False), ref.ask("wait", block=False)
    await wait_all_tasks_blocked()
    assert not first.done
    ref.tell("answer")

    assert [await first, await second] == ["later", "later"]


async def test_a_deferred_reply_is_settled_by_a_child_task(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    assert await system.spawn(Slow).ask("in a child", block=False) == "from a child"
    assert autojump_clock.current_time() == 1


async def test_a_reply_settled_in_the_handler_that_deferred_it_stands(system: ActorSystem) -> None:
    ref = system.spawn(Slow)

    assert await ref.ask("answer and return", block=False) == "set"
    assert ref.is_alive()


async def test_the_asker_learns_that_the_actor_died_before_it_answered(system: ActorSystem) -> None:
    ref = system.spawn(Slow)

    reply = ref.ask("wait", block=False)
    await ref.stop(block=False)

    with pytest.raises(pykka.ActorDeadError):
        await reply


async def test_defer_gives_none_for_a_message_that_was_told(system: ActorSystem) -> None:
    ref = system.spawn(Slow)
    ref.tell("wait")

    with pytest.raises(AssertionError):
        await ref.ask("answer", block=False)


async def test_a_deferred_reply_set_twice_harms_the_second_setter_only(system: ActorSystem) -> None:
    ref = system.spawn(Slow)
    reply = ref.ask("wait", block=False)
    reply.set("the asker lost patience")

    ref.tell("answer")

    assert await reply == "the asker lost patience"
    with pytest.raises(pykka.ActorDeadError):  # queue.Full failed the actor that set it, and nobody else
        await ref.ask("wait", block=False)
    assert await system.spawn(Echo).ask("alive", block=False) == "alive"


@pytest.mark.parametrize("future_class", [Reply, pykka.ThreadingFuture])
async def test_a_reply_that_the_asker_settled_itself_does_not_disturb_the_actor(
    system: ActorSystem, future_class: type[pykka.Future[Any]]
) -> None:
    def answer(_: Obedient) -> str:
        return "alive"

    def fail(_: Obedient) -> None:
        raise ValueError

    async def answer_late(_: Obedient) -> None:
        await trio.lowlevel.checkpoint()

    ref = system.spawn(Obedient)
    for message in (answer, fail, answer_late):
        future = future_class()
        future.set("the asker's own")
        ref.actor_inbox.put(Envelope(message, reply_to=future))

    assert await ref.ask(answer, block=False) == "alive"


async def test_a_settled_reply_in_the_mail_of_a_dying_actor_does_not_disturb_its_end(
    system: ActorSystem,
) -> None:
    ref = system.spawn(Slow)
    deferred = ref.ask("wait", block=False)
    await wait_all_tasks_blocked()
    stopped = ref.stop(block=False)
    behind = ref.ask("behind", block=False)
    deferred.set(1)
    behind.set(2)

    assert await stopped is True
    assert await system.spawn(Echo).ask("alive", block=False) == "alive"


async def test_a_forwarded_message_is_answered_by_the_other_actor(system: ActorSystem) -> None:
    notes: list[Any] = []
    echo, recorder = system.spawn(Echo), system.spawn(Recorder, notes)

    def forward_ask(actor: Obedient) -> None:
        actor.forward(echo, "asked")

    def forward_tell(actor: Obedient) -> None:
        actor.forward(recorder, "told")

    front = system.spawn(Obedient)
    front.tell(forward_tell)

    assert await front.ask(forward_ask, block=False) == "asked"
    await recorder.stop(block=False)
    assert notes == ["told"]


async def test_a_deferred_reply_can_be_forwarded(system: ActorSystem) -> None:
    echo = system.spawn(Echo)
    front = system.spawn(Obedient)

    def defer_and_forward(actor: Obedient) -> None:
        actor.forward(echo, "passed on", actor.defer())

    reply = front.ask(defer_and_forward, block=False)

    assert await reply == "passed on"
    await front.stop(block=False)
    assert reply.get() == "passed on"


@pytest.mark.parametrize("dead", [True, False], ids=["dead", "nobody"])
async def test_a_message_forwarded_to_the_dead_is_answered_with_actor_dead_error(
    system: ActorSystem, dead: bool
) -> None:
    target = system.spawn(Echo) if dead else None
    if target is not None:
        await target.stop(block=False)

    def forward(actor: Obedient) -> None:
        actor.forward(target, "passed on")

    front = system.spawn(Obedient)

    with pytest.raises(pykka.ActorDeadError):
        await front.ask(forward, block=False)
    assert front.is_alive()


class ThreadingEcho(pykka.ThreadingActor):
    def on_receive(self, message: Any) -> Any:
        return message


async def test_a_message_is_forwarded_to_a_threading_actor(system: ActorSystem) -> None:
    echo = ThreadingEcho.start()

    def forward(actor: Obedient) -> None:
        actor.forward(echo, "across")

    front = system.spawn(Obedient)

    assert await front.ask(forward, block=False) == "across"
    await trio.to_thread.run_sync(echo.stop)
    with pytest.raises(pykka.ActorDeadError):
        await front.ask(forward, block=False)


async def test_a_death_notice_that_is_passed_on_is_a_message_like_any_other(system: ActorSystem) -> None:
    ref = system.spawn(Echo)
    notice = Terminated(ref, None)

    assert await ref.ask(notice, block=False) is notice


async def test_what_follows_from_a_message_of_a_thread_does_not_overtake_it(system: ActorSystem) -> None:
    for _ in range(300):
        told, stopped = list[Any](), list[Any]()
        first, second = system.spawn(Recorder, told), system.spawn(Recorder, stopped)
        await trio.lowlevel.checkpoint()

        await trio.to_thread.run_sync(first.tell, 1)
        first.tell(2)
        await trio.to_thread.run_sync(second.tell, 1)
        await second.stop(block=False)
        await first.stop(block=False)

        assert told == [1, 2]
        assert stopped == [1]


async def test_what_a_finalizer_tells_while_another_message_makes_room_for_itself_is_not_lost(
    system: ActorSystem,
) -> None:
    counters = [system.spawn(Tally) for _ in range(100)]
    await trio.lowlevel.checkpoint()
    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(7)  # so that the collector comes in wherever something is made
    try:
        for _ in range(10):
            for counter in counters:
                TellsAtItsEnd(counter)
                counter.tell("told")
            await trio.lowlevel.checkpoint()
    finally:
        gc.set_threshold(*before)
    gc.collect()

    handled = [await counter.ask("how many", block=False) for counter in counters]

    assert sum(handled) == 2 * 10 * 100
    assert system.dead_letters == 0


class Tally(TrioActor):
    def __init__(self) -> None:
        super().__init__()
        self.handled = 0

    def on_receive(self, message: Any) -> Any:
        if message == "how many":
            return self.handled
        self.handled += 1
        return None


class TellsAtItsEnd:
    def __init__(self, ref: ActorRef[Any]) -> None:
        self.ref = ref
        self.itself = self  # so that only the collector ends it

    def __del__(self) -> None:
        self.ref.tell("told at the end")


class UnhashableType(type):
    __hash__ = None  # type: ignore[assignment] - that is the point


class OddMessage(metaclass=UnhashableType):
    @property
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride, reportIncompatibleMethodOverride] - that is the point
        raise RuntimeError("asked for its class")


async def test_a_message_of_an_impossible_type_fails_its_receiver_only(system: ActorSystem) -> None:
    bystander, ref = system.spawn(Echo), system.spawn(Echo)

    with pytest.raises(TypeError):
        await ref.ask(OddMessage(), block=False)

    assert await bystander.ask("alive", block=False) == "alive"


@pytest.mark.usefixtures("eager_thread_switches")
async def test_no_ask_is_lost_while_the_actor_stops(system: ActorSystem) -> None:
    """Every ask that is put while the actor dies is answered: by it, or with ActorDeadError."""
    for _ in range(40):
        ref = system.spawn(Echo)
        replies: list[Reply[Any]] = []
        start = threading.Barrier(9)

        def ask(number: int, ref: Any = ref, replies: Any = replies, start: Any = start) -> None:
            start.wait()
            if number == 8:
                ref.tell(0)
                ref.stop(block=False)
                return
            for message in range(50):
                replies.append(ref.ask(message, block=False))

        await run_in_threads(9, ask)
        await ref.stop(block=False)

        assert len(replies) == 8 * 50
        lost = 0
        with trio.move_on_after(5):
            for reply in replies:
                await reply.settled()
        lost = sum(not reply.done for reply in replies)
        assert lost == 0


@pytest.mark.usefixtures("eager_thread_switches")
async def test_no_told_message_vanishes_while_the_actor_stops(system: ActorSystem) -> None:
    """What `tell` accepted is handled or a dead letter."""
    accepted: list[int] = []
    handled: list[Any] = []
    for _ in range(20):
        ref = system.spawn(Recorder, handled)

        def tell(number: int, ref: Any = ref) -> None:
            if number == 4:
                ref.stop(block=False)
                return
            try:
                for message in range(100):
                    ref.tell(message)
                    accepted.append(message)
            except pykka.ActorDeadError:
                pass

        await run_in_threads(5, tell)
        await ref.stop(block=False)

    await wait_all_tasks_blocked()  # what came too late is counted when its turn comes
    assert len(handled) + system.dead_letters == len(accepted)
