"""The log of the library: silent for a host that does not ask for it, and harmless to it."""

from __future__ import annotations

import gc
import logging
import weakref
from typing import Any

import pytest
import structlog
import trio
from structlog.typing import EventDict
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import ActorSystem, Mailbox, TrioActor, add_actor, get_logger, handles, open_system
from runtime.owner import owner_in
from tests.runtime.samples import Echo, Obedient


def test_fields_and_context_variables_reach_standard_logging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), structlog.contextvars.bound_contextvars(tenant="a"):
        get_logger("test").info("something happened", session_id="s")

    (record,) = caplog.records
    assert record.name == "greenroom.test"
    assert record.getMessage() == "something happened"
    assert (record.__dict__["session_id"], record.__dict__["tenant"]) == ("s", "a")


@pytest.mark.parametrize("field", ["name", "args", "module", "process", "message", "asctime"])
def test_a_context_variable_that_is_called_like_a_field_of_records_is_renamed(
    caplog: pytest.LogCaptureFixture, field: str
) -> None:
    with caplog.at_level(logging.INFO), structlog.contextvars.bound_contextvars(**{field: "mine"}):
        get_logger("test").info("something happened")

    (record,) = caplog.records
    assert record.__dict__[f"{field}_"] == "mine"


def test_an_exception_stays_with_its_record(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("x")
    except ValueError:
        with caplog.at_level(logging.INFO):
            get_logger("test").exception("it failed")

    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is ValueError


log = get_logger("test")


class Speaking(TrioActor):
    """Says something wherever it can."""

    def on_start(self) -> None:
        log.info("hook")

    @handles(str)
    def speak(self, message: str) -> None:
        log.info(message)

    @handles(int)
    async def speak_later(self, message: int) -> None:
        log.info("async, before")
        await trio.sleep(message)
        log.info("async, after")

    @handles(float)
    async def have_tasks_speak(self, message: float) -> None:
        self.spawn(self.speak_in_task, message)

    async def speak_in_task(self, seconds: float) -> None:
        log.info("task")
        await trio.sleep(seconds)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.speak_in_task_of_task)

    async def speak_in_task_of_task(self) -> None:
        log.info("task of the task")
        await trio.to_thread.run_sync(log.info, "thread")
        self.spawn(self.speak_last)

    async def speak_last(self) -> None:
        log.info("task by a task")


def said(caplog: pytest.LogCaptureFixture, name: str = "greenroom.test") -> list[tuple[Any, ...]]:
    return [
        (record.getMessage(), record.__dict__.get("actor"), record.__dict__.get("message_type"))
        for record in caplog.records
        if record.name == name
    ]


async def test_what_an_actor_logs_says_who_it_is_and_what_it_works_on(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        named = system.spawn_named("speaker", Speaking)
        await named.ask("told", block=False)
        await named.ask(0, block=False)
        await named.stop(block=False)

    assert said(caplog) == [
        ("hook", "speaker", None),
        ("told", "speaker", "str"),
        ("async, before", "speaker", "int"),
        ("async, after", "speaker", "int"),
    ]


async def test_an_actor_without_a_name_is_known_by_class_and_urn(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        ref = system.spawn(Speaking)
        await ref.ask("asked", block=False)

    assert said(caplog)[-1] == ("asked", f"Speaking ({ref.actor_urn})", "str")


async def test_tasks_and_threads_speak_for_their_actor_and_the_message_they_began_with(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        ref = system.spawn_named("speaker", Speaking)
        await ref.ask(0.0, block=False)
        await ref.ask(0, block=False)  # another message is handled meanwhile
        with trio.fail_after(30):
            while ("task by a task", "speaker", "float") not in said(caplog):
                await trio.lowlevel.checkpoint()

    lines = said(caplog)
    for text in ("task", "task of the task", "thread", "task by a task"):
        assert (text, "speaker", "float") in lines


async def test_actors_that_speak_by_turns_are_told_apart(
    system: ActorSystem, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    with caplog.at_level(logging.INFO):
        refs = [system.spawn_named(f"speaker {number}", Speaking) for number in range(5)]
        replies = [ref.ask(5 - number, block=False) for number, ref in enumerate(refs)]
        for reply in replies:
            await reply

    assert [actor for text, actor, _ in said(caplog) if text == "async, after"] == [
        f"speaker {number}" for number in (4, 3, 2, 1, 0)
    ]
    assert autojump_clock.current_time() == 5


async def test_outside_of_actors_nobody_is_named(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await system.spawn(Speaking).ask("inside", block=False)
        log.info("outside")
        await trio.to_thread.run_sync(log.info, "in a thread")

    assert said(caplog)[-2:] == [("outside", None, None), ("in a thread", None, None)]


async def test_the_actors_of_a_system_inside_an_actor_are_themselves(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    async def open_another(_: Obedient) -> None:
        async with open_system() as other:
            await other.spawn_named("inner", Speaking).ask("inside", block=False)
        log.info("after")

    with caplog.at_level(logging.INFO):
        await system.spawn_named("outer", Obedient).ask(open_another, block=False)

    assert [(text, actor) for text, actor, _ in said(caplog)] == [
        ("hook", "inner"),
        ("inside", "inner"),
        ("after", "outer"),
    ]


async def test_what_a_line_says_itself_stands(
    system: ActorSystem, caplog: pytest.LogCaptureFixture
) -> None:
    def speak(_: Obedient) -> None:
        log.info("about another", actor="another", message_type="Other")

    with caplog.at_level(logging.INFO):
        await system.spawn(Obedient).ask(speak, block=False)

    assert said(caplog) == [("about another", "another", "Other")]


async def test_the_messages_of_timers_and_bounded_mailboxes_are_named(
    system: ActorSystem, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    class Bounded(Speaking):
        mailbox = Mailbox(limit=1)

        def on_start(self) -> None:
            self.timers.start("key", 1, "from a timer")

    with caplog.at_level(logging.INFO):
        ref = system.spawn_named("speaker", Bounded)
        await ref.ask("asked", block=False)
        ref.tell("told")
        await trio.sleep(1.5)

    assert said(caplog) == [(text, "speaker", "str") for text in ("asked", "told", "from a timer")]
    assert autojump_clock.current_time() == 1.5


async def test_a_hosts_own_loggers_may_name_the_actor_too(system: ActorSystem) -> None:
    host_log = structlog.wrap_logger(structlog.testing.CapturingLogger(), processors=[add_actor, keep])

    def speak(_: Obedient) -> None:
        host_log.info("hello")

    await system.spawn_named("speaker", Obedient).ask(speak, block=False)
    host_log.info("hello")

    assert kept == [
        {"event": "hello", "actor": "speaker", "message_type": "function"},
        {"event": "hello"},
    ]


kept: list[dict[str, Any]] = []


def keep(_: Any, __: str, event: EventDict) -> EventDict:
    kept.append(dict(event))
    raise structlog.DropEvent


async def test_an_actor_that_never_logs_carries_nothing_for_it(system: ActorSystem) -> None:
    ref = system.spawn(Echo)
    await ref.ask("anything", block=False)

    assert ref.cell.context is not None
    assert owner_in(ref.cell.context) is None


async def test_idle_workers_keep_no_dead_actor(system: ActorSystem) -> None:
    async def wait(_: Obedient) -> None:
        await trio.lowlevel.checkpoint()

    ref = system.spawn(Obedient)
    await ref.ask(wait, block=False)
    await ref.stop(block=False)
    cell = weakref.ref(ref.cell)
    del ref
    await wait_all_tasks_blocked()
    gc.collect()

    assert cell() is None
