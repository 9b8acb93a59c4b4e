"""The registry between callers and sessions that a test plays itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from trio.testing import wait_all_tasks_blocked

from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.registry.actor import RegistryActor
from actors.registry.protocol import Deliver, GetPoolStatus, Passivate, RequestSlot
from actors.session.protocol import AbortTurn, GetSnapshot, SessionCommand
from runtime import ActorRef, ActorSystem, TrioActor, open_system

NOT_FOUND = ErrorInfo(ErrorCode.SESSION_NOT_FOUND, "nobody")


class ToldSession(TrioActor):
    """Keeps what it is told."""

    def __init__(self, told: list[object]) -> None:
        super().__init__()
        self._told = told

    def on_receive(self, message: object) -> str:
        self._told.append(message)
        return "loaded"


class Idle(TrioActor):
    pass


class Backstage:
    """A registry, its sessions, and all that they were told."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self.told: list[object] = []
        self.spawned = 0
        self.persistence = system.spawn(Idle)
        self.registry: ActorRef[RegistryActor] = system.spawn(
            RegistryActor,
            persistence=self.persistence,
            spawn_session=self._spawn,
            max_concurrent=1,
            max_queue_size=1,
        )

    def _spawn(self, _: str) -> ActorRef[Any]:
        self.spawned += 1
        return self._system.spawn(ToldSession, self.told)

    async def ask(self, message: object) -> object:
        return await self.registry.ask(message, block=False)

    async def deliver(self, command: SessionCommand) -> object:
        return await self.ask(Deliver("s", command))


@asynccontextmanager
async def backstage() -> AsyncGenerator[Backstage]:
    async with open_system() as system:
        yield Backstage(system)


async def test_mail_for_a_session_that_says_goodbye_goes_to_the_next_one() -> None:
    async with backstage() as stage:
        await stage.deliver(GetSnapshot())
        goodbye = stage.registry.ask(Passivate("s"), block=False)
        answer = stage.registry.ask(Deliver("s", AbortTurn()), block=False)

        assert await answer == "loaded"

        await goodbye
        assert stage.spawned == 2
        assert stage.told == [GetSnapshot(), AbortTurn()]


async def test_a_session_that_ends_with_a_slot_or_a_place_gives_both_back() -> None:
    async with backstage() as stage:
        for name in ("s", "t"):
            await stage.ask(Deliver(name, GetSnapshot()))
            stage.registry.tell(RequestSlot(name, f"task of {name}", 0))
        stage.registry.tell(Passivate("t"))
        stage.registry.tell(Passivate("s"))
        await wait_all_tasks_blocked()

        status = await stage.ask(GetPoolStatus())

        assert (getattr(status, "running", None), getattr(status, "queued", None)) == (0, 0)


async def test_when_persistence_ends_no_command_is_taken_any_more() -> None:
    async with backstage() as stage:
        await stage.deliver(GetSnapshot())
        await stage.persistence.stop(block=False)
        await wait_all_tasks_blocked()

        with pytest.raises(EngineError) as refusal:
            await stage.deliver(GetSnapshot())

        assert refusal.value.code is ErrorCode.PERSISTENCE_FAILED
        assert len(stage.told) == 2
