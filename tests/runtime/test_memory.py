"""The dead are let go."""

from __future__ import annotations

import gc
import logging
import weakref
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from runtime import ActorSystem, Terminated, TrioActor
from runtime.cell import Cell
from tests.runtime.samples import Echo


class Belongings:
    """Something that only the actor holds."""


class Owner(TrioActor):
    def __init__(self, belongings: Belongings) -> None:
        super().__init__()
        self.belongings = belongings

    def on_receive(self, message: Any) -> Any:
        match message:
            case "fail":
                raise ValueError
            case "async":
                return self.wait()
            case "child":
                self.spawn(self.wait_for_ever)
            case _:
                pass
        return None

    async def wait(self) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_for_ever(self) -> None:
        await trio.sleep_forever()


@pytest.mark.parametrize("message", ["nothing", "async", "child"])
async def test_a_stopped_actor_is_collected_while_its_ref_is_kept(
    system: ActorSystem, message: str
) -> None:
    belongings = Belongings()
    alive = weakref.ref(belongings)
    ref = system.spawn(Owner, belongings)
    del belongings
    ref.tell(message)
    await wait_all_tasks_blocked()
    await ref.stop(block=False)
    gc.collect()

    assert alive() is None
    assert not ref.is_alive()


async def test_a_failed_actor_is_collected_with_its_ref(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="pykka")  # records would keep the traceback, and it the actor
    belongings = Belongings()
    alive = weakref.ref(belongings)
    ref = system.spawn(Owner, belongings)
    del belongings
    ref.tell("fail")
    await wait_all_tasks_blocked()
    del ref
    gc.collect()

    assert alive() is None


class Watching(TrioActor):
    """Spawns, watches and stops, over and over."""

    def __init__(self, rounds: int, done: trio.Event) -> None:
        super().__init__()
        self.rounds = rounds
        self.done = done

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Terminated):
            self.rounds -= 1
        if self.rounds:
            ref = self.system.spawn_named("the only one", Echo)
            self.watch(ref)
            self.send(ref, "something")
            ref.stop(block=False)
        else:
            self.done.set()
        return None


async def test_ten_thousand_lives_leave_nothing_behind(system: ActorSystem) -> None:
    done = trio.Event()
    ref = system.spawn(Watching, 10_000, done)
    gc.collect()
    cells_before = count_cells()

    ref.tell("go")
    await done.wait()
    await wait_all_tasks_blocked()
    gc.collect()

    assert count_cells() == cells_before
    assert not ref._cell.belongings.watching  # pyright: ignore[reportPrivateUsage] - the test looks inside
    assert system.find("the only one") is None


def count_cells() -> int:
    return sum(isinstance(thing, Cell) for thing in gc.get_objects())
