"""`pipe`: what a child task came to, as a message to its actor."""

from __future__ import annotations

from typing import Any

import msgspec
import outcome
import trio
from trio.testing import MockClock

from runtime import ActorSystem, Mailbox, TrioActor, handles


class Fetched(msgspec.Struct, frozen=True):
    result: outcome.Value[str] | outcome.Error


class Fetcher(TrioActor):
    mailbox = Mailbox(limit=1)

    def __init__(self) -> None:
        super().__init__()
        self.results: list[Any] = []

    @handles(str)
    def on_fetch(self, name: str) -> None:
        self.pipe(self.fetch, name, 1.0, as_message=Fetched)

    @handles(Fetched)
    def on_fetched(self, message: Fetched) -> None:
        match message.result:
            case outcome.Value(value):
                self.results.append(value)
            case outcome.Error(error):
                self.results.append(error)

    @handles(list)
    def on_list(self, _: list[Any]) -> list[Any]:
        return self.results

    async def fetch(self, name: str, seconds: float) -> str:
        await trio.sleep(seconds)
        if name == "missing":
            raise LookupError(name)
        return f"contents of {name}"


async def test_the_result_of_a_piped_task_is_a_message(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    fetcher = system.spawn(Fetcher)

    fetcher.tell("page")
    await trio.sleep(2)

    assert await fetcher.ask([], block=False) == ["contents of page"]
    assert autojump_clock.current_time() == 2


async def test_the_failure_of_a_piped_task_is_a_message_and_fails_nobody(
    system: ActorSystem, autojump_clock: MockClock
) -> None:
    fetcher = system.spawn(Fetcher)

    fetcher.tell("missing")
    await trio.sleep(2)

    (error,) = await fetcher.ask([], block=False)
    assert isinstance(error, LookupError)
    assert fetcher.is_alive()
    assert autojump_clock.current_time() == 2


async def test_a_piped_task_that_is_cancelled_sends_nothing(system: ActorSystem) -> None:
    fetcher = system.spawn(Fetcher)
    fetcher.tell("page")

    assert await fetcher.stop(block=False)

    assert system.dead_letters == 0
