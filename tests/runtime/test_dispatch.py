"""`handles`: which method gets which message."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass
from typing import Any

import pytest
import trio

from runtime import ActorSystem, TrioActor, handles
from runtime.dispatch import FOUND_KEPT


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


def test_a_handler_of_no_type_is_refused() -> None:
    with pytest.raises(TypeError, match="one or more types"):
        handles()


@pytest.mark.parametrize("kind", [Ping(), "Ping", Ping | Other, list[int]])
def test_a_handler_of_what_is_no_type_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="takes types of messages, not"):
        handles(kind)


def test_two_handlers_for_one_type_in_one_class_are_refused() -> None:
    with pytest.raises(TypeError, match=r"Torn has two handlers for Ping: on_ping and on_any_ping"):

        class Torn(TrioActor):  # pyright: ignore[reportUnusedClass] - it is never made
            @handles(Ping)
            def on_ping(self, message: Ping) -> None: ...

            @handles(Other, Ping)
            def on_any_ping(self, message: Ping | Other) -> None: ...


async def test_one_handler_may_have_two_names(system: ActorSystem) -> None:
    class Twice(Ponger):
        @handles(Other)
        def on_other(self, _: Other) -> str:
            return "other"

        on_something_else = on_other

    assert await system.spawn(Twice).ask(Other(), block=False) == "other"


async def test_message_classes_made_at_run_time_do_not_pile_up(system: ActorSystem) -> None:
    ref = system.spawn(Ponger)
    made: list[weakref.ref[type]] = []
    for number in range(3 * FOUND_KEPT):
        kind = type(f"Made{number}", (Ping,), {})
        made.append(weakref.ref(kind))
        assert await ref.ask(kind(number), block=False) == f"pong {number}"
        del kind
    gc.collect()

    assert sum(kind() is not None for kind in made) <= FOUND_KEPT
