"""Start, stop, watch, names and child tasks: an actor's life."""

from __future__ import annotations

from typing import Any

import pykka
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import (
    ActorRef,
    ActorSystem,
    ChildTask,
    NameTakenError,
    NoActorSystemError,
    SystemClosedError,
    Terminated,
    TrioActor,
    open_system,
)
from tests.runtime.samples import Echo, Obedient, Recorder


async def test_stop_handles_the_mail_that_came_before_it(system: ActorSystem) -> None:
    notes: list[int] = []
    ref = system.spawn(Recorder, notes)

    for number in range(200):
        ref.tell(number)
    stopped = ref.stop(block=False)
    late = ref.ask("late", block=False)

    assert await stopped is True
    assert notes == list(range(200))
    with pytest.raises(pykka.ActorDeadError):
        await late


async def test_stopping_again_answers_false_once_the_actor_is_dead(system: ActorSystem) -> None:
    ref = system.spawn(Echo)

    first, second = ref.stop(block=False), ref.stop(block=False)

    assert [await first, await second] == [True, True]
    assert await ref.stop(block=False) is False


async def test_an_async_handler_finishes_before_the_actor_stops(system: ActorSystem) -> None:
    gate = trio.Event()

    async def wait(_: Obedient) -> str:
        await gate.wait()
        return "finished"

    ref = system.spawn(Obedient)
    answer, stopped = ref.ask(wait, block=False), ref.stop(block=False)
    await wait_all_tasks_blocked()
    assert not stopped.done
    gate.set()

    assert await answer == "finished"
    assert await stopped is True


class Hooked(TrioActor):
    """Has hooks that are async, or not, and notes them."""

    def __init__(self, notes: list[str], *, slow: bool, fail_in: str = "") -> None:
        super().__init__()
        self.notes = notes
        self.slow = slow
        self.fail_in = fail_in

    def note(self, text: str) -> Any:
        if self.slow:
            return self.note_slowly(text)
        self.notes.append(text)
        if self.fail_in == text:
            raise ValueError(text)
        return None

    async def note_slowly(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        self.notes.append(text)
        if self.fail_in == text:
            raise ValueError(text)

    def on_start(self) -> Any:
        return self.note("start")

    def on_receive(self, message: Any) -> Any:
        return self.note(message)

    def on_stop(self) -> Any:
        return self.note("stop")

    def on_failure(self, *_: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - takes them all
        return self.note("failure")


@pytest.mark.parametrize("slow", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("fail_in", "expected"),
    [
        ("", ["start", "told", "stop"]),
        ("start", ["start"]),
        ("told", ["start", "told", "failure"]),
        ("stop", ["start", "told", "stop"]),
    ],
)
async def test_the_hooks_frame_a_life(
    system: ActorSystem, slow: bool, fail_in: str, expected: list[str]
) -> None:
    notes: list[str] = []
    ref = system.spawn(Hooked, notes, slow=slow, fail_in=fail_in)

    ref.tell("told")
    await ref.stop(block=False)

    assert notes == expected
    assert not ref.is_alive()


async def test_a_failure_in_on_failure_still_ends_the_actor(system: ActorSystem) -> None:
    class Hopeless(Hooked):
        def on_failure(self, *_: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - takes them all
            raise KeyError

    notes: list[str] = []
    ref = system.spawn(Hopeless, notes, slow=True, fail_in="told")
    ref.tell("told")
    await wait_all_tasks_blocked()

    assert not ref.is_alive()


async def test_mail_that_comes_while_on_start_waits_is_handled_after_it(system: ActorSystem) -> None:
    notes: list[str] = []
    gate = trio.Event()

    class SlowStart(Recorder):
        async def on_start(self) -> None:
            await gate.wait()
            self.notes.append("started")

    ref = system.spawn(SlowStart, notes)
    ref.tell("told")
    await wait_all_tasks_blocked()
    gate.set()
    await ref.stop(block=False)

    assert notes == ["started", "told"]


# --- names --------------------------------------------------------------------------------------------


async def test_a_named_actor_is_found_until_it_is_dead(system: ActorSystem) -> None:
    ref = system.spawn_named("registry", Echo)

    assert system.find("registry") is ref
    assert ref.name == "registry"
    assert system.find("nobody") is None
    with pytest.raises(NameTakenError):
        system.spawn_named("registry", Echo)

    await ref.stop(block=False)
    assert system.find("registry") is None
    assert system.find("registry") is not system.spawn_named("registry", Echo)


async def test_names_are_found_by_how_they_begin_the_oldest_first(system: ActorSystem) -> None:
    refs = [system.spawn_named(name, Echo) for name in ("room/b", "hall", "room/a")]
    system.spawn(Echo)

    assert system.names("room/") == ("room/b", "room/a")
    assert system.names("cellar/") == ()

    await refs[0].stop(block=False)
    assert system.names("room/") == ("room/a",)


async def test_the_name_of_an_actor_that_fails_is_free_again(system: ActorSystem) -> None:
    ref = system.spawn_named("fragile", Hooked, [], slow=False, fail_in="start")
    await wait_all_tasks_blocked()

    assert not ref.is_alive()
    system.spawn_named("fragile", Echo)


def test_starting_an_actor_without_a_system_says_so() -> None:
    with pytest.raises(NoActorSystemError):
        Echo.start()


async def test_start_uses_the_system_of_the_block_it_is_called_in(system: ActorSystem) -> None:
    def start(actor: Obedient) -> bool:
        return Echo.start()._cell.system is actor.system  # pyright: ignore[reportPrivateUsage] - no public way

    async with open_system():
        assert await system.spawn(Obedient).ask(start, block=False) is True


async def test_started_actors_leave_pykkas_registry_also_when_they_are_cut_off(
    autojump_clock: MockClock,
) -> None:
    before = len(pykka.ActorRegistry.get_all())
    async with open_system(shutdown_budget_seconds=1):
        for _ in range(3):
            Obedient.start().tell(hang)
    assert len(pykka.ActorRegistry.get_all()) == before
    assert autojump_clock.current_time() == 1


async def hang(_: Obedient) -> None:
    await trio.sleep_forever()


# --- watch --------------------------------------------------------------------------------------------


class Watcher(Recorder):
    """Watches and unwatches as it is told, and notes the rest."""

    def on_receive(self, message: Any) -> Any:
        match message:
            case ("watch", ref):
                self.watch(ref)
            case ("unwatch", ref):
                self.unwatch(ref)
            case ("rewatch", ref):
                self.unwatch(ref)
                self.watch(ref)
            case _:
                self.notes.append(message)


async def test_a_watcher_is_told_once_that_an_actor_has_stopped(system: ActorSystem) -> None:
    notes: list[Any] = []
    watcher, ref = system.spawn(Watcher, notes), system.spawn(Echo)
    await watcher.ask(("watch", ref), block=False)
    await watcher.ask(("watch", ref), block=False)

    await ref.stop(block=False)
    await wait_all_tasks_blocked()

    assert notes == [Terminated(ref, None)]


async def test_a_watcher_is_told_why_an_actor_failed(system: ActorSystem) -> None:
    notes: list[Any] = []
    watcher, ref = system.spawn(Watcher, notes), system.spawn(Hooked, [], slow=False, fail_in="told")
    await watcher.ask(("watch", ref), block=False)

    ref.tell("told")
    await wait_all_tasks_blocked()

    assert [type(notice.reason) for notice in notes] == [ValueError]


async def test_watching_a_dead_actor_is_answered_at_once(system: ActorSystem) -> None:
    notes: list[Any] = []
    watcher, ref = system.spawn(Watcher, notes), system.spawn(Echo)
    await ref.stop(block=False)

    watcher.tell(("watch", ref))
    await wait_all_tasks_blocked()

    assert notes == [Terminated(ref, None)]


async def test_no_notice_arrives_after_unwatch_not_even_one_under_way(system: ActorSystem) -> None:
    notes: list[Any] = []
    watcher, ref = system.spawn(Watcher, notes), system.spawn(Echo)
    await watcher.ask(("watch", ref), block=False)
    gate = trio.Event()

    class Holding(Watcher):
        async def on_start(self) -> None:
            self.watch(ref)
            await gate.wait()
            self.unwatch(ref)  # the notice lies in the mail by now

    holding = system.spawn(Holding, notes)
    await wait_all_tasks_blocked()
    watcher.tell(("unwatch", ref))
    await wait_all_tasks_blocked()
    await ref.stop(block=False)
    gate.set()
    await holding.stop(block=False)
    await watcher.stop(block=False)

    assert notes == []


async def test_unwatching_and_watching_again_gives_one_notice(system: ActorSystem) -> None:
    notes: list[Any] = []
    watcher, ref = system.spawn(Watcher, notes), system.spawn(Echo)
    await ref.stop(block=False)

    for _ in range(3):
        watcher.tell(("rewatch", ref))
    await watcher.stop(block=False)
    assert len(notes) <= 1

    notes.clear()
    watcher = system.spawn(Watcher, notes)
    for _ in range(3):
        watcher.tell(("rewatch", ref))
    await wait_all_tasks_blocked()
    assert notes == [Terminated(ref, None)]


async def test_watching_oneself_or_dying_before_the_watched_harms_nobody(system: ActorSystem) -> None:
    notes: list[Any] = []
    first, second, ref = system.spawn(Watcher, notes), system.spawn(Watcher, notes), system.spawn(Echo)
    first.tell(("watch", first))
    first.tell(("watch", ref))
    second.tell(("watch", ref))
    await first.stop(block=False)
    await ref.stop(block=False)
    await wait_all_tasks_blocked()

    assert notes == [Terminated(ref, None)]
    assert system.dead_letters == 0


async def test_a_death_notice_comes_after_what_the_dead_actor_said(system: ActorSystem) -> None:
    notes: list[Any] = []
    watcher = system.spawn(Watcher, notes)

    class Talkative(TrioActor):
        def on_receive(self, message: Any) -> Any:
            watcher.tell(message)
            self.spawn(self.last_words)
            self.stop()

        async def last_words(self) -> None:
            try:
                await trio.sleep_forever()
            finally:
                watcher.tell("from a child")

        async def on_stop(self) -> None:
            await trio.lowlevel.checkpoint()
            watcher.tell("from on_stop")

    ref = system.spawn(Talkative)
    await watcher.ask(("watch", ref), block=False)
    ref.tell("from a handler")
    await wait_all_tasks_blocked()

    assert notes == ["from a handler", "from a child", "from on_stop", Terminated(ref, None)]


async def test_thousands_watch_one_actor(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Echo)
    watchers = [system.spawn(Watcher, notes) for _ in range(5_000)]
    for watcher in watchers:
        watcher.tell(("watch", ref))

    await wait_all_tasks_blocked()
    await ref.stop(block=False)
    await wait_all_tasks_blocked()

    assert len(notes) == 5_000


async def test_an_actor_of_another_system_cannot_be_watched(system: ActorSystem) -> None:
    async with open_system() as other:
        foreign = other.spawn(Echo)
        with pytest.raises(ValueError, match="another actor system"):
            await system.spawn(Watcher, []).ask(("watch", foreign), block=False)


# --- child tasks --------------------------------------------------------------------------------------


class Parent(TrioActor):
    """Owns child tasks; notes what becomes of them."""

    def __init__(self, notes: list[Any]) -> None:
        super().__init__()
        self.notes = notes
        self.child: ChildTask | None = None

    def on_receive(self, message: Any) -> Any:
        match message:
            case "cancel":
                assert self.child is not None
                self.child.cancel()
                self.child.cancel()
            case "work":
                self.child = self.spawn(self.work)
            case function:
                self.child = self.spawn(function)

    async def work(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.notes.append("child ended")

    def on_stop(self) -> None:
        self.notes.append("on_stop")
        self.spawn(self.work)

    def on_failure(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - takes them all
        self.notes.append("on_failure")


async def test_child_tasks_are_cancelled_and_ended_before_the_last_hook(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Parent, notes)
    ref.tell("work")
    ref.tell("work")
    await wait_all_tasks_blocked()

    await ref.stop(block=False)

    assert notes == ["child ended", "child ended", "on_stop"]


async def test_a_child_task_cannot_be_started_in_on_stop(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    ref = system.spawn(Parent, [])

    assert await ref.stop(block=False) is True

    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [SystemClosedError]


async def test_a_cancelled_child_task_is_no_failure(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Parent, notes)
    ref.tell("work")
    await wait_all_tasks_blocked()
    ref.tell("cancel")
    await wait_all_tasks_blocked()

    assert notes == ["child ended"]
    assert ref.is_alive()


async def test_a_child_task_that_raises_fails_its_actor_and_ends_its_siblings(system: ActorSystem) -> None:
    async def fail() -> None:
        raise ValueError

    notes: list[Any] = []
    ref = system.spawn(Parent, notes)
    ref.tell("work")
    await wait_all_tasks_blocked()
    ref.tell(fail)
    await wait_all_tasks_blocked()

    assert notes == ["child ended", "on_failure"]


async def test_a_child_task_that_raises_while_it_is_cancelled_is_reported(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail_at_the_end() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ZeroDivisionError

    ref: ActorRef[Any] = system.spawn(Parent, [])
    ref.tell(fail_at_the_end)
    await wait_all_tasks_blocked()
    await ref.stop(block=False)

    assert ZeroDivisionError in [record.exc_info[0] for record in caplog.records if record.exc_info]
