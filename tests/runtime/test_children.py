"""Child actors: they end with their parent, and before it."""

from __future__ import annotations

from typing import Any

import pykka
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import (
    ActorKilledError,
    ActorRef,
    ActorSystem,
    SystemClosedError,
    SystemThread,
    Terminated,
    TrioActor,
    open_system,
)
from tests.runtime.samples import Echo, Obedient

Tree = dict[str, "Tree"]


class Member(TrioActor):
    """One of a family, which notes its end and knows its children."""

    def __init__(self, name: str, notes: list[Any], tree: Tree | None = None) -> None:
        super().__init__()
        self.called = name
        self.notes = notes
        self.tree = tree or {}
        self.refs: dict[str, ActorRef[Any]] = {}

    def on_start(self) -> None:
        for name, tree in self.tree.items():
            self.refs[name] = self.spawn_actor(type(self), name, self.notes, tree)

    async def on_receive(self, message: Any) -> Any:
        match message:
            case "hang":
                await trio.sleep_forever()
            case "fail":
                raise ValueError(self.called)
            case "work":
                self.spawn(self.work)
            case ("watch", ref):
                self.watch(ref)
            case Terminated():
                self.notes.append(message)
            case _:
                return self.refs[message]
        return None

    async def work(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.notes.append(f"task of {self.called}")

    def on_stop(self) -> None:
        self.notes.append(self.called)

    def on_failure(self, *_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - takes them all
        self.notes.append(f"{self.called} failed")


class HangingLast(Member):
    """Never comes to the end of its last hook."""

    async def on_stop(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - async
        self.notes.append(self.called)
        await trio.sleep_forever()


async def member(ref: ActorRef[Any], *path: str) -> ActorRef[Any]:
    """The descendant at the end of the path."""
    for name in path:
        ref = await ref.ask(name, block=False)
    return ref


TREE: Tree = {"a": {"a1": {}, "a2": {}}, "b": {}, "c": {"c1": {"c11": {}}}}
IN_ORDER = ["c11", "c1", "c", "b", "a2", "a1", "a", "root"]


async def test_child_actors_end_before_their_parent_the_youngest_first(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Member, "root", notes, TREE)

    assert await ref.stop(block=False) is True

    assert notes == IN_ORDER


async def test_the_tasks_of_the_parent_end_before_its_child_actors(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Member, "root", notes, {"child": {}})
    ref.tell("work")
    await wait_all_tasks_blocked()

    await ref.stop(block=False)

    assert notes == ["task of root", "child", "root"]


async def test_child_actors_end_also_when_their_parent_fails(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Member, "root", notes, TREE)

    ref.tell("fail")
    await wait_all_tasks_blocked()

    assert notes == [*IN_ORDER[:-1], "root failed"]
    assert not ref.is_alive()


async def test_child_actors_end_also_when_their_parent_does_not_start(system: ActorSystem) -> None:
    notes: list[Any] = []

    class Stillborn(TrioActor):
        def on_start(self) -> None:
            self.spawn_actor(Member, "child", notes)
            raise ValueError

    ref = system.spawn(Stillborn)
    await wait_all_tasks_blocked()

    assert notes == ["child"]
    assert not ref.is_alive()


@pytest.mark.parametrize(("cls", "message"), [(HangingLast, "nothing"), (Member, "hang")])
async def test_a_child_that_does_not_end_is_killed_when_its_time_is_over(
    system: ActorSystem, autojump_clock: MockClock, cls: type[Member], message: str
) -> None:
    notes: list[Any] = []
    ends: list[Any] = []

    class Parent(TrioActor):
        def on_start(self) -> None:
            self.eldest = self.spawn_actor(Member, "eldest", notes)
            self.hanging = self.spawn_actor(cls, "hanging", notes)
            if message == "hang":
                self.hanging.tell(message)

        def on_receive(self, message: Any) -> Any:  # noqa: ARG002 - pykka's signature
            return self.hanging

    ref = system.spawn(Parent)
    hanging = await ref.ask("hanging", block=False)
    await system.spawn(Member, "watcher", ends).ask(("watch", hanging), block=False)

    await ref.stop(block=False)
    await wait_all_tasks_blocked()

    assert autojump_clock.current_time() == TrioActor.shutdown_seconds
    assert notes[-1] == "eldest"
    assert [(end.ref, type(end.reason)) for end in ends] == [(hanging, ActorKilledError)]


async def test_a_child_declares_how_long_its_parent_waits(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    class Impatient(HangingLast):
        shutdown_seconds = 0

    class Brief(HangingLast):
        shutdown_seconds = 2

    class Parent(TrioActor):
        def on_start(self) -> None:
            self.spawn_actor(Impatient, "impatient", notes)
            self.spawn_actor(Brief, "brief", notes)

    notes: list[Any] = []
    await system.spawn(Parent).stop(block=False)

    assert notes == ["brief"]
    assert autojump_clock.current_time() == 2


async def test_grandchildren_of_a_child_that_is_killed_are_killed_with_it(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    notes: list[Any] = []
    ref = system.spawn(HangingLast, "root", notes, {"a": {"a1": {}, "a2": {}}})
    leaf = await member(ref, "a", "a1")
    stopped = ref.stop(block=False)
    await trio.sleep(6)

    assert not leaf.is_alive()
    assert notes == ["a2", "root"]
    ref.kill()
    await stopped
    assert autojump_clock.current_time() == 6


async def test_a_child_that_ends_leaves_its_parent_and_its_siblings_alone(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Member, "root", notes, {"a": {}, "b": {}, "c": {}})
    first, second, third = [await member(ref, name) for name in "abc"]

    first.tell("fail")
    second.kill()
    await wait_all_tasks_blocked()
    assert notes == ["a failed"]
    assert [child.is_alive() for child in (first, second, third, ref)] == [False, False, True, True]
    await ref.stop(block=False)

    assert notes == ["a failed", "c", "root"]


async def test_a_parent_that_watches_its_child_learns_of_its_end(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Member, "root", notes, {"a": {}, "b": {}})
    first, second = await member(ref, "a"), await member(ref, "b")
    for child in (first, second):
        await ref.ask(("watch", child), block=False)

    await first.stop(block=False)
    second.tell("fail")
    await wait_all_tasks_blocked()

    assert notes[:2] == ["a", Terminated(first, None)]
    assert [type(notice.reason) for notice in notes if isinstance(notice, Terminated)] == [
        type(None),
        ValueError,
    ]


async def test_children_that_end_at_the_same_time_as_their_parent_end_once(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Member, "root", notes, {"a": {}, "b": {}, "c": {}})
    children = [await member(ref, name) for name in "abc"]

    stops = [ref.stop(block=False), *(child.stop(block=False) for child in children)]
    for stopped in stops:
        await stopped

    assert sorted(notes) == ["a", "b", "c", "root"]
    assert notes[-1] == "root"


async def test_a_parent_waits_for_a_child_that_ends_already(system: ActorSystem) -> None:
    notes: list[Any] = []
    gate = trio.Event()

    class Slow(Member):
        async def on_stop(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - async
            if self.called == "child":
                await gate.wait()
            self.notes.append(self.called)

    ref = system.spawn(Slow, "root", notes, {"child": {}})
    child = await member(ref, "child")
    ended = child.stop(block=False)
    await wait_all_tasks_blocked()
    stopped = ref.stop(block=False)
    await wait_all_tasks_blocked()
    assert not stopped.done
    gate.set()

    assert [await ended, await stopped] == [True, True]
    assert notes == ["child", "root"]


async def test_an_actor_that_is_ending_starts_no_child_and_no_dead_one_does(system: ActorSystem) -> None:
    refused: list[str] = []
    actors: list[Obedient] = []

    class Late(Obedient):
        def on_start(self) -> None:
            actors.append(self)

        def on_stop(self) -> None:
            try:
                self.spawn_actor(Echo)
            except SystemClosedError:
                refused.append("on_stop")

    ref = system.spawn(Late)
    await ref.stop(block=False)
    with pytest.raises(SystemClosedError):
        actors[0].spawn_actor(Echo)

    assert refused == ["on_stop"]


async def test_what_the_constructor_of_a_child_raises_is_raised_in_its_parent(system: ActorSystem) -> None:
    class Broken(TrioActor):
        def __init__(self) -> None:
            super().__init__()
            raise ValueError("broken")

    def spawn(actor: Obedient) -> None:
        actor.spawn_actor(Broken)

    ref = system.spawn(Obedient)
    with pytest.raises(ValueError, match="broken"):
        await ref.ask(spawn, block=False)

    assert await ref.stop(block=False) is True


async def test_a_parent_asks_nothing_of_the_mail_of_a_child_that_it_ends(system: ActorSystem) -> None:
    notes: list[Any] = []
    ref = system.spawn(Member, "root", notes, {"child": {}})
    child = await member(ref, "child")

    def stop_and_ask() -> Any:
        stopped = ref.stop(block=False)
        return stopped, child.ask("hang", block=False)

    child.tell("work")
    await wait_all_tasks_blocked()
    stopped, asked = stop_and_ask()
    ref.kill()

    await stopped
    with pytest.raises(pykka.ActorDeadError):
        await asked
    assert notes == ["task of child"]


async def test_a_system_stops_whole_trees_in_order() -> None:
    notes: list[Any] = []
    async with open_system() as system:
        system.spawn(Member, "root", notes, TREE)
        system.spawn(Member, "root", notes, {"x": {}})
        await wait_all_tasks_blocked()

    assert notes == ["x", "root", *IN_ORDER]


async def test_a_system_that_is_cut_off_ends_its_trees(autojump_clock: MockClock) -> None:
    notes: list[Any] = []
    refs: list[ActorRef[Any]] = []
    async with open_system(shutdown_budget_seconds=1) as system:
        for _ in range(3):
            ref = system.spawn(HangingLast, "root", notes, TREE)
            refs += [ref, await member(ref, "c"), await member(ref, "c", "c1", "c11")]
    assert not any(ref.is_alive() for ref in refs)
    assert autojump_clock.current_time() == 1


class Link(TrioActor):
    """One of a chain, each the child of the one before."""

    def __init__(self, length: int, ends: list[int], last: list[ActorRef[Any]]) -> None:
        super().__init__()
        self.length = length
        self.ends = ends
        self.last = last

    def on_start(self) -> None:
        if self.length:
            self.spawn_actor(Link, self.length - 1, self.ends, self.last)
        else:
            self.last.append(self.actor_ref)

    def on_stop(self) -> None:
        self.ends.append(self.length)


@pytest.mark.parametrize("end", ["stop", "kill", "system", "cut off"])
async def test_a_family_may_have_thousands_of_generations(end: str) -> None:
    ends: list[int] = []
    last: list[ActorRef[Any]] = []
    budget = 0 if end == "cut off" else 60
    with trio.fail_after(60):
        async with open_system(shutdown_budget_seconds=budget) as system:
            ref = system.spawn(Link, 3_000, ends, last)
            while not last:
                await trio.lowlevel.checkpoint()
            if end == "stop":
                await ref.stop(block=False)
            elif end == "kill":
                stopped = ref.stop(block=False, drain=False)
                ref.kill()
                await stopped

    assert not ref.is_alive()
    assert not last[0].is_alive()
    assert ends == (list(range(3_001)) if end in ("stop", "system") else [])


async def test_a_parent_of_thousands_ends_in_linear_time(system: ActorSystem) -> None:
    notes: list[Any] = []
    names = [str(number) for number in range(5_000)]
    ref = system.spawn(Member, "root", notes, {name: {} for name in names})

    with trio.fail_after(30):
        await ref.stop(block=False)

    assert notes == [*reversed(names), "root"]


def test_a_thread_stops_and_kills_the_actors_of_a_tree(system_thread: SystemThread) -> None:
    notes: list[Any] = []
    ref = system_thread.system.spawn(Member, "root", notes, TREE)
    branch: ActorRef[Any] = ref.ask("c", block=True, timeout=10)

    branch.kill()
    branch.stop(timeout=10)
    assert not branch.is_alive()
    assert ref.stop(timeout=10) is True

    assert notes == [name for name in IN_ORDER if not name.startswith("c")]
