"""What cannot work is refused where it is said, by one message that names it."""

from __future__ import annotations

import inspect
import pydoc
from typing import Any

import pykka
import pytest
import trio

import runtime
from runtime import ActorSystem, Mailbox, TrioActor, open_system
from runtime.supervision import ChildSpec, CountChildren, StartChild, Supervisor
from tests.runtime.samples import Echo, Obedient

WRONG: Any = "something else"

sleep: Any = trio.sleep


@pytest.mark.parametrize("expected", [[ValueError], ValueError, (1,), WRONG], ids=repr)
def test_expected_errors_are_a_tuple_of_exceptions(expected: Any) -> None:
    with pytest.raises(TypeError, match=r"Hasty\.expected_errors is .*: a tuple of exceptions, or None"):
        type("Hasty", (TrioActor,), {"expected_errors": expected})


@pytest.mark.parametrize("mailbox", [5, Mailbox], ids=repr)
def test_a_mailbox_is_an_instance(mailbox: Any) -> None:
    with pytest.raises(TypeError, match=r"Hasty\.mailbox is .*: a Mailbox"):
        type("Hasty", (TrioActor,), {"mailbox": mailbox})


@pytest.mark.parametrize("arguments", [(1.5,), ("5",), (5, "reject"), (True,)], ids=repr)
def test_a_mailbox_takes_a_number_and_an_overflow(arguments: Any) -> None:
    with pytest.raises(TypeError, match="not a whole number of messages and an Overflow"):
        Mailbox(*arguments)


async def test_only_classes_of_actors_can_be_spawned(system: ActorSystem) -> None:
    for wrong in (Echo(), dict, pykka.ThreadingActor, "Echo"):
        spawned: Any = wrong
        with pytest.raises(TypeError, match="spawn takes a class of TrioActor"):
            system.spawn(spawned)


async def test_an_actor_watches_forwards_to_and_runs_only_what_it_can(system: ActorSystem) -> None:
    def watch(actor: Obedient) -> None:
        actor.watch(WRONG)

    def forward(actor: Obedient) -> None:
        actor.forward(WRONG, "message")

    def spawn(actor: Obedient) -> None:
        called: Any = sleep(0)
        actor.spawn(called)

    ref = system.spawn(Obedient)
    for attempt, message in (
        (watch, "watch takes"),
        (forward, "forward takes"),
        (spawn, "cannot be called"),
    ):
        with pytest.raises(TypeError, match=message):
            await ref.ask(attempt, block=False)

    assert ref.is_alive()


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), WRONG], ids=repr)
async def test_a_shutdown_budget_is_a_number_of_seconds(seconds: Any) -> None:
    with pytest.raises(ValueError, match="a shutdown budget is a number of seconds from 0 on"):
        async with open_system(shutdown_budget_seconds=seconds):
            pass


@pytest.mark.parametrize(
    "arguments",
    [
        {"strategy": "one_for_one"},
        {"intensity": 3},
        {"backoff": (1, 2)},
        {"auto_shutdown": "never"},
        {"specs": ChildSpec("echo", Echo)},
        {"specs": [Echo]},
    ],
    ids=repr,
)
def test_a_supervisor_refuses_what_it_could_not_use(arguments: Any) -> None:
    with pytest.raises(TypeError, match="a Supervisor"):
        Supervisor(**arguments)


async def test_a_child_that_is_no_spec_is_its_askers_mistake(system: ActorSystem) -> None:
    supervisor = system.spawn(Supervisor, [ChildSpec("echo", Echo)])

    with pytest.raises(TypeError, match="StartChild takes a ChildSpec"):
        await supervisor.ask(StartChild(WRONG), block=False)

    assert (await supervisor.ask(CountChildren(), block=False)).active == 1


async def test_whoever_asks_the_dead_learns_why_they_died(system: ActorSystem) -> None:
    class Stillborn(TrioActor):
        def on_start(self) -> None:
            raise ValueError("no start")

    with pytest.raises(pykka.ActorDeadError) as caught:
        await system.spawn(Stillborn).ask("anybody?", block=False)

    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("name", runtime.__all__)
def test_what_is_public_can_be_asked_for_help(name: str) -> None:
    assert pydoc.render_doc(getattr(runtime, name))


def test_the_fields_of_a_child_spec_show_in_its_signature() -> None:
    assert {"name", "start", "restart", "shutdown"} <= inspect.signature(ChildSpec).parameters.keys()
