"""Children that note what becomes of them, and get into the trouble that a test has in store for them."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, ClassVar

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from runtime import ActorRef, ActorSystem, Terminated, TrioActor
from runtime.supervision import (
    ChildSpec,
    FindChild,
    Intensity,
    Restart,
    Shutdown,
    Supervisor,
)
from tests.runtime.supervision.play import BoomError

__all__ = [
    "PATIENT",
    "Child",
    "Diary",
    "Family",
    "child_of",
    "fail",
    "fail_slowly",
    "hang",
    "leave_a_scope_open",
    "order",
    "pass_time",
]

PATIENT = Intensity(max_restarts=100, period_seconds=5.0)

Trouble = Callable[["Child"], Any]


class Child(TrioActor):
    """Does what it is told: a function is called with it, anything else is noted."""

    expected_errors: ClassVar[tuple[type[Exception], ...] | None] = (LookupError,)

    def __init__(self, diary: Diary, name: str) -> None:
        super().__init__()
        self.diary = diary
        self.name = name
        diary.lives[name] += 1
        self.life = diary.lives[name]
        self.heard: list[Any] = []
        diary.meet(self, "init")

    def on_start(self) -> Any:
        self.diary.notes.append(f"{self.name} starts")
        return self.diary.meet(self, "on_start")

    def on_receive(self, message: Any) -> Any:
        if callable(message):
            return message(self)
        self.heard.append(message)
        self.diary.heard.append((self.name, self.life, message))
        return (self.life, message)

    def on_stop(self) -> Any:
        self.diary.notes.append(f"{self.name} stops")
        return self.diary.meet(self, "on_stop")

    def on_failure(self, *_: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride] - takes them all
        self.diary.notes.append(f"{self.name} fails")
        return self.diary.meet(self, "on_failure")


class Diary:
    """What the children of one test did, and what is going to happen to them."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.heard: list[tuple[str, int, Any]] = []
        self.lives: defaultdict[str, int] = defaultdict(int)
        self._troubles: defaultdict[tuple[str, str], deque[Trouble | None]] = defaultdict(deque)

    def read(self) -> str:
        """What was noted since this was read last."""
        text = ", ".join(self.notes)
        self.notes.clear()
        return text

    def plan(self, name: str, where: str, *troubles: Trouble | None) -> None:
        """What happens the next times when the child gets there: `init`, or the name of a hook."""
        self._troubles[name, where].extend(troubles)

    def meet(self, child: Child, where: str) -> Any:
        troubles = self._troubles[child.name, where]
        trouble = troubles.popleft() if troubles else None
        return None if trouble is None else trouble(child)

    def spec(
        self,
        name: str,
        restart: Restart = Restart.PERMANENT,
        *,
        shutdown: float | Shutdown = 5.0,
        significant: bool = False,
        registered_name: str | None = None,
    ) -> ChildSpec:
        return ChildSpec(name, lambda: Child(self, name), restart, shutdown, significant, registered_name)


class _Mourner(TrioActor):
    """Notes who has ended for good."""

    def __init__(self, ends: list[Terminated]) -> None:
        super().__init__()
        self.ends = ends

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Terminated):
            self.ends.append(message)
        else:
            self.watch(message)


class Family:
    """A running supervisor, its children by name, and those that were seen to end for good."""

    def __init__(self, system: ActorSystem, diary: Diary, supervisor: ActorRef[Supervisor]) -> None:
        self.system = system
        self.diary = diary
        self.supervisor = supervisor
        self.children: dict[str, ActorRef[Any]] = {}
        self.ends: list[Terminated] = []
        self._mourner = system.spawn(_Mourner, self.ends)

    @classmethod
    async def start(
        cls,
        system: ActorSystem,
        diary: Diary,
        *specs: ChildSpec,
        intensity: Intensity = PATIENT,
        **options: Any,
    ) -> Family:
        supervisor = system.spawn(Supervisor, specs, intensity=intensity, **options)
        family = cls(system, diary, supervisor)
        family.mourn(supervisor)
        await wait_all_tasks_blocked()
        for spec in specs:
            await family.meet(spec.name)
        diary.read()
        return family

    def mourn(self, ref: ActorRef[Any]) -> None:
        self._mourner.tell(ref)

    async def meet(self, name: str) -> ActorRef[Any]:
        ref = await child_of(self.supervisor, name)
        assert ref is not None
        self.children[name] = ref
        self.mourn(ref)
        await wait_all_tasks_blocked()
        return ref

    async def ask(self, message: Any) -> Any:
        return await self.supervisor.ask(message, block=False)

    def reason_of_end(self, ref: ActorRef[Any]) -> BaseException | None:
        """Why it has ended for good, which its watcher must have been told exactly once."""
        [reason] = [end.reason for end in self.ends if end.ref is ref]
        return reason

    async def settled(self) -> str:
        """What was noted, once nothing more happens."""
        await wait_all_tasks_blocked()
        return self.diary.read()


async def child_of(supervisor: ActorRef[Any], name: str) -> ActorRef[Any] | None:
    return await supervisor.ask(FindChild(name), block=False)


def fail(child: Child) -> None:
    raise BoomError(child.name)


async def fail_slowly(child: Child) -> None:
    await trio.lowlevel.checkpoint()
    raise BoomError(child.name)


def order(ref: ActorRef[Any], action: Trouble) -> None:
    """Tell a child what to do."""
    ref.tell(action)


async def pass_time(clock: MockClock, seconds: float) -> None:
    """Let so much of trio's time go by, and no other."""
    await trio.sleep_until(clock.current_time() + seconds)


async def hang(_: Child) -> None:
    await trio.sleep_forever()


def leave_a_scope_open(_: Child) -> None:
    trio.CancelScope().__enter__()
