"""Children that the whole system knows by a name of their own."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import wait_all_tasks_blocked

from runtime import ActorRef, ActorSystem, NameTakenError
from runtime.supervision import (
    Backoff,
    ChildStartError,
    CountChildren,
    FindChild,
    Intensity,
    Restart,
    RestartChild,
    RestartIntensityError,
    StartChild,
    Strategy,
    Supervisor,
    TerminateChild,
)
from tests.runtime.samples import Echo
from tests.runtime.supervision.family import Diary, Family, fail


@pytest.fixture
def diary() -> Diary:
    return Diary()


async def test_a_child_is_found_by_its_registered_name_through_all_its_restarts(
    system: ActorSystem, diary: Diary
) -> None:
    specs = [diary.spec("a", registered_name="the printer"), diary.spec("b")]
    family = await Family.start(system, diary, *specs, strategy=Strategy.ONE_FOR_ALL)
    a = family.children["a"]
    assert system.find("the printer") is a
    assert system.find("a") is None

    for culprit in ("a", "b", "a"):
        family.children[culprit].tell(fail)
        assert system.find("the printer") is a
        await wait_all_tasks_blocked()
        assert system.find("the printer") is a

    assert diary.lives["a"] == 4
    assert await a.ask("hello", block=False) == (4, "hello")


async def test_a_child_is_found_while_it_waits_for_its_restart(system: ActorSystem, diary: Diary) -> None:
    printer = diary.spec("a", registered_name="the printer")
    family = await Family.start(system, diary, printer, backoff=Backoff(first_seconds=10.0))

    family.children["a"].tell(fail)
    await wait_all_tasks_blocked()

    assert diary.lives["a"] == 1
    assert system.find("the printer") is family.children["a"]


async def test_the_name_is_free_when_the_child_has_ended_for_good_and_its_own_when_it_comes_back(
    system: ActorSystem, diary: Diary
) -> None:
    family = await Family.start(system, diary, diary.spec("a", registered_name="the printer"))

    await family.ask(TerminateChild("a"))
    assert system.find("the printer") is None
    anew: ActorRef[Any] = await family.ask(RestartChild("a"))
    assert system.find("the printer") is anew
    await family.supervisor.stop(block=False)

    assert system.find("the printer") is None
    assert system.spawn_named("the printer", Echo) is system.find("the printer")


async def test_a_child_whose_name_is_taken_is_not_started_and_leaves_nothing_behind(
    system: ActorSystem, diary: Diary
) -> None:
    taken = system.spawn_named("the printer", Echo)
    family = await Family.start(system, diary, diary.spec("a"))
    actors = system.statistics().actors
    printer = diary.spec("b", registered_name="the printer")

    with pytest.raises(ChildStartError) as raised:
        await family.ask(StartChild(printer))

    assert isinstance(raised.value.__cause__, NameTakenError)
    assert system.find("the printer") is taken
    assert system.statistics().actors == actors
    assert await family.ask(FindChild("b")) is None
    assert (await family.ask(CountChildren())).specs == 1
    await taken.stop(block=False)
    assert await family.ask(StartChild(printer)) is system.find("the printer")
    assert await family.settled() == "b starts"


async def test_a_supervisor_two_of_whose_children_have_one_name_cannot_start(
    system: ActorSystem, diary: Diary
) -> None:
    specs = [diary.spec(name, registered_name="the printer") for name in "ab"]
    family = Family(system, diary, system.spawn(Supervisor, specs))
    family.mourn(family.supervisor)

    assert await family.settled() == "a starts, a stops"
    reason = family.reason_of_end(family.supervisor)
    assert isinstance(reason, ChildStartError)
    assert isinstance(reason.__cause__, NameTakenError)
    assert system.find("the printer") is None


async def test_a_name_that_was_taken_meanwhile_fails_the_restart(system: ActorSystem, diary: Diary) -> None:
    """One for all brings a child back that had ended in order, and its name is another's by then."""
    specs = [diary.spec("a"), diary.spec("b", Restart.TRANSIENT, registered_name="the printer")]
    family = await Family.start(
        system, diary, *specs, strategy=Strategy.ONE_FOR_ALL, intensity=Intensity(max_restarts=3)
    )
    await family.children["b"].stop(block=False)
    taken = system.spawn_named("the printer", Echo)

    family.children["a"].tell(fail)
    await wait_all_tasks_blocked()

    reason = family.reason_of_end(family.supervisor)
    assert isinstance(reason, RestartIntensityError)
    assert isinstance(reason.__cause__, NameTakenError)
    assert diary.lives["a"] == 4
    assert system.find("the printer") is taken
