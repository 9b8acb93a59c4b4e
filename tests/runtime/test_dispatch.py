"""`handles`: which method gets which message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import trio

from runtime import ActorSystem, TrioActor, handles


@dataclass
class Ping:
    number: int = 0


class LoudPing(Ping):
    pass


class Other:
    pass


class Ponger(TrioActor):
    @handles(Ping)
    def on_ping(self, message: Ping) -> str:
        return f"pong {message.number}"

    def on_receive(self, message: Any) -> Any:
        return f"unhandled {type(message).__name__}"


async def test_a_message_goes_to_the_handler_of_its_type(system: ActorSystem) -> None:
    assert await system.spawn(Ponger).ask(Ping(3), block=False) == "pong 3"


async def test_a_message_of_a_subclass_goes_to_the_handler_of_its_base(system: ActorSystem) -> None:
    assert await system.spawn(Ponger).ask(LoudPing(3), block=False) == "pong 3"


async def test_a_message_without_a_handler_goes_to_on_receive(system: ActorSystem) -> None:
    assert await system.spawn(Ponger).ask(Other(), block=False) == "unhandled Other"


async def test_a_subclass_overrides_a_handler_by_type(system: ActorSystem) -> None:
    class Louder(Ponger):
        @handles(Ping)
        def on_any_ping(self, message: Ping) -> str:
            return f"PONG {message.number}"

    assert await system.spawn(Louder).ask(LoudPing(1), block=False) == "PONG 1"
    assert await system.spawn(Ponger).ask(LoudPing(1), block=False) == "pong 1"


async def test_a_subclass_overrides_a_handler_by_name(system: ActorSystem) -> None:
    class Polite(Ponger):
        def on_ping(self, message: Ping) -> str:
            return super().on_ping(message) + ", please"

    assert await system.spawn(Polite).ask(Ping(1), block=False) == "pong 1, please"


async def test_the_handler_of_the_nearest_type_wins(system: ActorSystem) -> None:
    class Precise(Ponger):
        @handles(LoudPing)
        def on_loud_ping(self, _: LoudPing) -> str:
            return "loud"

    ref = system.spawn(Precise)

    assert [await ref.ask(message, block=False) for message in (Ping(1), LoudPing(1))] == ["pong 1", "loud"]


async def test_one_method_handles_several_types_and_may_be_async(system: ActorSystem) -> None:
    class Patient(TrioActor):
        @handles(Ping, Other)
        async def on_either(self, message: Ping | Other) -> str:
            await trio.lowlevel.checkpoint()
            return type(message).__name__

    ref = system.spawn(Patient)

    assert [await ref.ask(message, block=False) for message in (Ping(), Other())] == ["Ping", "Other"]


async def test_the_handler_does_not_depend_on_which_types_came_before(system: ActorSystem) -> None:
    class Plain:
        pass

    class PlainPing(Plain, Ping):
        pass

    ref = system.spawn(Ponger)
    assert await ref.ask(Plain(), block=False) == "unhandled Plain"

    assert await ref.ask(PlainPing(), block=False) == "pong 0"


async def test_proxies_and_handlers_live_side_by_side(system: ActorSystem) -> None:
    class Both(Ponger):
        def double(self, number: int) -> int:
            return 2 * number

        async def double_slowly(self, number: int) -> int:
            await trio.lowlevel.checkpoint()
            return 2 * number

    ref = system.spawn(Both)
    proxy: Any = ref.proxy()

    assert await proxy.double(2) == 4
    assert await proxy.double_slowly(3) == 6
    assert await ref.ask(Ping(1), block=False) == "pong 1"
