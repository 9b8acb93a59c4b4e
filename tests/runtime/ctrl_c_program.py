"""A host under load that counts the Ctrl-Cs it gets; started by test_ctrl_c.py.

It says "ready" before each of ROUNDS rounds and "caught" after, and at the end that every actor lives.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

import trio

from runtime import ActorRef, TrioActor, open_system

__all__ = ["LOADS", "ROUNDS"]

ROUNDS = 25


class Flooding(TrioActor):
    """Tells itself, without end."""

    def on_receive(self, message: Any) -> Any:
        if message == "ping":
            return "pong"
        self.work()
        self.send(self.actor_ref, message)
        return None

    def work(self) -> None:
        pass


class Busy(Flooding):
    """Has long handlers that are not async."""

    def work(self) -> None:
        sum(range(50_000))


class BusyAsync(Flooding):
    """Has async handlers that hardly ever wait."""

    def on_receive(self, message: Any) -> Any:
        return "pong" if message == "ping" else self.handle(message)

    async def handle(self, message: Any) -> None:
        for _ in range(20):
            sum(range(5_000))
            await trio.lowlevel.checkpoint()
        self.send(self.actor_ref, message)


class WithChild(Flooding):
    """Has a child task in a tight loop."""

    def on_receive(self, message: Any) -> Any:
        if message == "ping":
            return "pong"
        self.spawn(self.loop)
        return None

    async def loop(self) -> None:
        while True:
            sum(range(5_000))
            await trio.lowlevel.checkpoint()


class WithNursery(WithChild):
    """Has a child task with a nursery of its own, whose tasks loop."""

    async def loop(self) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(super().loop)


class Idle(Flooding):
    """Has a host that never stops telling it something."""

    def on_receive(self, message: Any) -> Any:
        return "pong" if message == "ping" else None


LOADS: dict[str, type[Flooding]] = {
    cls.__name__: cls for cls in (Flooding, Busy, BusyAsync, WithChild, WithNursery, Idle)
}


async def main(actor_class: type[Flooding]) -> None:
    async with open_system() as system:
        refs = [system.spawn(actor_class) for _ in range(500 if actor_class is Idle else 4)]
        for ref in refs:
            ref.tell("go")
        for _ in range(ROUNDS):
            try:
                say("ready")
                if actor_class is Idle:
                    await tell_for_ever(refs)
                else:
                    await trio.sleep_forever()
            except KeyboardInterrupt:
                say("caught")
        with trio.fail_after(30):
            for ref in refs:
                assert await ref.ask("ping", block=False) == "pong"
        say("all actors live")


async def tell_for_ever(refs: list[ActorRef[Any]]) -> None:
    while True:
        for ref in refs:
            ref.tell("something")
        await trio.lowlevel.checkpoint()


async def hang_at_the_end() -> None:
    """The host is interrupted, and again while its actors take their time to stop."""

    class Hanging(TrioActor):
        async def on_stop(self) -> None:
            say("stopping")
            await trio.sleep(3600)

    async with open_system(shutdown_budget_seconds=3600) as system:
        system.spawn(Hanging)
        say("ready")
        await trio.sleep_forever()


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    signal.alarm(120)  # should the test be killed, its load does not outlive it for long
    if sys.argv[1] == "hang":
        trio.run(hang_at_the_end)
    else:
        trio.run(main, LOADS[sys.argv[1]])
