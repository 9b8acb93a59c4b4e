"""A model without a network: it plays scripts, for tests and for work offline."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeAlias, assert_never

import msgspec
import trio

from actors.conversation import FinishPart, FinishReason, Part, Role, Text, TextPart, Usage, UsagePart
from actors.models.base import Emit, ModelRequest

__all__ = ["Delay", "Fail", "Gate", "Hang", "Say", "Script", "ScriptedModel", "Step", "echo", "say"]

_REMEMBERED_REQUESTS = 1000


class Gate:
    """Holds calls until a test lets them through; once open, it stays open."""

    def __init__(self) -> None:
        self._opened = trio.Event()
        self._reached = trio.Event()

    def open(self) -> None:
        self._opened.set()

    async def reached(self) -> None:
        """Wait until a call has come to this gate."""
        await self._reached.wait()

    async def pass_through(self) -> None:
        """Wait until the gate is open."""
        self._reached.set()
        await self._opened.wait()


class Say(msgspec.Struct, frozen=True):
    """Emit these parts in one batch."""

    parts: tuple[Part, ...]


class Delay(msgspec.Struct, frozen=True):
    """Let time pass on trio's clock."""

    seconds: float


class Fail(msgspec.Struct, frozen=True):
    """Raise this error out of the call."""

    error: Exception


class Hang(msgspec.Struct, frozen=True):
    """Do nothing until the call is cancelled."""


Step: TypeAlias = Say | Gate | Delay | Fail | Hang
Script: TypeAlias = tuple[Step, ...]


def say(text: str, finish_reason: FinishReason = FinishReason.STOP) -> Script:
    """Say `text` word by word and finish; the usage counts words."""
    words = re.findall(r"\s*\S+\s*\Z|\s*\S+|\s+\Z", text)
    return (
        *(Say((TextPart(word),)) for word in words),
        Say((UsagePart(Usage(output_tokens=len(words))), FinishPart(finish_reason))),
    )


def echo(request: ModelRequest) -> Script:
    """Repeat what the user said last."""
    for message in reversed(request.messages):
        if message.role is Role.USER and isinstance(message.content, Text):
            return say(f"You said: {message.content.text}")
    return say("You said nothing.")


class ScriptedModel:
    """Plays one script per call, in the order in which calls begin; a `LanguageModel`.

    When the scripts are used up, `otherwise` makes the script of a call from its request; by default the
    model repeats what the user said. Gives way to the scheduler before every step, as a network would, and
    uses nothing but trio's clock and events, so that a seeded run is a deterministic one.
    """

    def __init__(
        self,
        scripts: Iterable[Script] = (),
        *,
        name: str = "scripted:echo",
        otherwise: Callable[[ModelRequest], Script] = echo,
    ) -> None:
        self._name = name
        self._scripts = deque(scripts)
        self._otherwise = otherwise
        self._requests: deque[ModelRequest] = deque(maxlen=_REMEMBERED_REQUESTS)
        self._calls = 0
        self._running = 0
        self._highest_running = 0

    @property
    def name(self) -> str:
        return self._name

    @property
    def requests(self) -> tuple[ModelRequest, ...]:
        """The last thousand requests, the oldest first."""
        return tuple(self._requests)

    @property
    def calls(self) -> int:
        return self._calls

    @property
    def running(self) -> int:
        return self._running

    @property
    def highest_running(self) -> int:
        """The most calls that ever ran at the same time."""
        return self._highest_running

    async def stream(self, request: ModelRequest, emit: Emit) -> None:
        """Play the next script.

        Raises:
            Exception: that of a `Fail` step, whatever it is.
        """
        self._requests.append(request)
        self._calls += 1
        script = self._scripts.popleft() if self._scripts else self._otherwise(request)
        self._running += 1
        self._highest_running = max(self._highest_running, self._running)
        try:
            for step in script:
                await trio.lowlevel.checkpoint()
                await _play(step, emit)
        finally:
            self._running -= 1


async def _play(step: Step, emit: Emit) -> None:
    match step:
        case Say(parts):
            emit(parts)
        case Gate():
            await step.pass_through()
        case Delay(seconds):
            await trio.sleep(seconds)
        case Fail(error):
            raise error
        case Hang():
            await trio.sleep_forever()
        case _:
            assert_never(step)
