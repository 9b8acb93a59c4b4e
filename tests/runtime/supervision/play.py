"""A world in which a supervisor's steps come true: children do as they are told, or as a test says."""

from __future__ import annotations

from collections import Counter, deque
from typing import assert_never

from runtime import TrioActor
from runtime.supervision import ChildSpec, Restart, Shutdown
from runtime.supervision.state import SupervisorState
from runtime.supervision.steps import Answer, Escalate, Finish, Halt, Release, Revive, Start, Step, Wait

__all__ = ["BoomError", "Play", "spec"]


class BoomError(Exception):
    """What children fail with."""


def spec(
    name: str,
    restart: Restart = Restart.PERMANENT,
    *,
    shutdown: float | Shutdown = 5.0,
    significant: bool = False,
) -> ChildSpec:
    return ChildSpec(name, TrioActor, restart, shutdown, significant)


class Play:
    """Performs steps, and keeps a log of them, a phrase a step.

    A child named in `slow` neither starts nor ends when it is told to: the test says when. One named in
    `fails_to_start` fails that many times.
    """

    def __init__(self, state: SupervisorState) -> None:
        self.state = state
        self.now = 100.0
        self.chance = 0.0
        self.slow: set[str] = set()
        self.fails_to_start: Counter[str] = Counter()
        self.fails_when_halted: set[str] = set()
        self.waits: list[Wait] = []
        self.errors: dict[int, Exception | None] = {}
        self.failure: BaseException | None = None  # that it escalated
        self._log: list[str] = []
        self._steps: deque[Step] = deque()

    @property
    def log(self) -> str:
        """What was done since this was read last."""
        log = ", ".join(self._log)
        self._log.clear()
        return log

    def perform(self, steps: tuple[Step, ...]) -> str:
        self._steps.extend(steps)
        while self._steps:
            self._steps.extend(self._do(self._steps.popleft()))
        return self.log

    def _do(self, step: Step) -> tuple[Step, ...]:
        match step:
            case Start(name) | Revive(name):
                self._log.append(f"{type(step).__name__.lower()} {name}")
                return self._begin(name)
            case Halt(name):
                self._log.append(f"halt {name}")
                if name in self.slow:
                    return ()
                failure = BoomError(name) if name in self.fails_when_halted else None
                return self.state.child_ended(name, failure, self.now, self.chance)
            case Release(name):
                self._log.append(f"release {name}")
            case Wait(seconds):
                self._log.append(f"wait {seconds:g}")
                self.waits.append(step)
            case Answer(request, _, error):
                assert request not in self.errors
                self.errors[request] = error
                self._log.append(f"{request}: {'ok' if error is None else type(error).__name__}")
            case Escalate(failure):
                self.failure = failure
                self._log.append("escalate")
            case Finish():
                self._log.append("finish")
            case _:
                assert_never(step)
        return ()

    def _begin(self, name: str) -> tuple[Step, ...]:
        if self.fails_to_start[name]:
            self.fails_to_start[name] -= 1
            return self.state.child_ended(name, BoomError(name), self.now, self.chance)
        if name in self.slow:
            return ()
        return self.state.child_started(name, self.now)

    def start_all(self) -> str:
        return self.perform(self.state.start_all())

    def started(self, name: str) -> str:
        return self.perform(self.state.child_started(name, self.now))

    def ends(self, name: str) -> str:
        return self.perform(self.state.child_ended(name, None, self.now, self.chance))

    def fails(self, name: str) -> str:
        return self.perform(self.state.child_ended(name, BoomError(name), self.now, self.chance))

    def backoff_over(self) -> str:
        """The oldest wait is over; time has passed."""
        wait = self.waits.pop(0)
        self.now += wait.seconds
        return self.perform(self.state.backoff_over(wait.generation, self.now))
