"""A plan of faults, as data: which fault, at which seam, for whom, how often."""

from __future__ import annotations

import enum
import math
import pkgutil
from typing import TypeAlias, cast

import msgspec

__all__ = [
    "FAULTS_OF",
    "Crash",
    "Delay",
    "Drop",
    "Duplicate",
    "Fault",
    "FaultPlan",
    "FaultRule",
    "Hang",
    "InjectedError",
    "Seam",
]


class InjectedError(Exception):
    """What a `Crash` raises, unless its plan names another error."""


class Seam(enum.Enum):
    """Where in the runtime a fault is put in."""

    SEND = "send"
    """A user's message on its way into a mailbox: `tell`, `ask`, `self.send`, a published event."""
    DELIVER = "deliver"
    """A message that has left the mailbox, before its handler begins."""
    HANDLER = "handler"
    """The handler itself."""
    REPLY = "reply"
    """The answer to an `ask`, on its way to the asker."""
    TIMER = "timer"
    """A timer that rings."""
    TASK = "task"
    """A task that `self.spawn` starts; its message is the function's name."""


class Drop(msgspec.Struct, frozen=True, tag="drop"):
    """It is lost. A message is a dead letter then, with the reason `fault: dropped`.

    Whoever asked waits until the actor ends, as for an answer that was deferred and forgotten.
    """


class Delay(msgspec.Struct, frozen=True, tag="delay"):
    """It comes so many seconds later, and what is behind it does not wait.

    A handler that is delayed begins later, and its actor does nothing else meanwhile.
    """

    seconds: float

    def __post_init__(self) -> None:
        if not 0 <= self.seconds < math.inf:
            raise ValueError(f"Delay.seconds is {self.seconds!r}; allowed: a finite number >= 0")


class Duplicate(msgspec.Struct, frozen=True, tag="duplicate"):
    """It comes twice, the second time behind the mail that is there. An asker gets the first answer."""


class Crash(msgspec.Struct, frozen=True, tag="crash"):
    """An exception is raised: see `FAULTS_OF` for where. `error` is its `module:name`."""

    error: str = "runtime.faults:InjectedError"

    def __post_init__(self) -> None:
        self.make("to see whether it can be made")

    def make(self, text: str) -> Exception:
        """
        Raises:
            ValueError: `error` names no Exception that can be made of one text.
        """
        try:
            kind = pkgutil.resolve_name(self.error)
            error = kind(text)
        except Exception as cause:
            raise ValueError(
                f"Crash.error is {self.error!r}; allowed: module:name of an Exception that takes a text"
            ) from cause
        if not isinstance(error, Exception):
            raise ValueError(
                f"Crash.error is {self.error!r}; allowed: module:name of an Exception that takes a text"
            )
        return error


class Hang(msgspec.Struct, frozen=True, tag="hang"):
    """It never returns; it ends when it is cancelled."""


Fault: TypeAlias = Drop | Delay | Duplicate | Crash | Hang

FAULTS_OF: dict[Seam, dict[type[Fault], str]] = {
    Seam.SEND: {
        Drop: "the message never arrives",
        Delay: "the message arrives later, behind those that were sent after it",
        Duplicate: "the message arrives twice",
        Crash: "the sender's tell raises; the reply of an ask has the error",
    },
    Seam.DELIVER: {
        Drop: "the message is not handled",
        Delay: "the message is handled later, behind those that came after it",
        Duplicate: "the message is handled twice",
        Crash: "the actor raises before its handler begins",
    },
    Seam.HANDLER: {
        Delay: "the handler begins later",
        Crash: "the handler raises when its work is done",
        Hang: "the handler never returns, and does nothing",
    },
    Seam.REPLY: {
        Drop: "the answer is lost",
        Delay: "the answer comes later",
        Crash: "the asker gets the error for an answer",
    },
    Seam.TIMER: {
        Drop: "the timer's message does not come; a periodic timer goes on",
        Delay: "the timer rings later",
    },
    Seam.TASK: {
        Delay: "the task begins later",
        Crash: "the task raises in place of its work",
        Hang: "the task never returns, and does nothing",
    },
}
"""Which faults there are at which seam, and what they do there. Others make no sense, and are refused."""


class FaultRule(msgspec.Struct, frozen=True):
    """One fault, at one seam, for those whom it concerns.

    `actor` is the name of an actor, or of its class or one of its bases; `message` the name of a message's
    type or of one of its bases. None is everybody and everything, except supervisors and probes, which have
    to be named. At `Seam.SEND` the actor is the one that the message is sent to.

    Of the occurrences that concern it, counted over the whole system, a rule takes the `nth` only, if that
    is given (from 1); then each with `probability`; then at most `limit` of them. Where several rules would
    take one occurrence, the first does; the others have counted it all the same.

    Raises:
        ValueError: a field has a value that it cannot have, or the fault makes no sense at the seam.
    """

    seam: Seam
    fault: Fault
    actor: str | None = None
    message: str | None = None
    probability: float = 1.0
    nth: int | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if type(self.fault) not in FAULTS_OF[self.seam]:
            fault = type(self.fault).__name__
            allowed = ", ".join(kind.__name__ for kind in FAULTS_OF[self.seam])
            raise ValueError(f"{fault} makes no sense at the seam {self.seam.value!r}; allowed: {allowed}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"FaultRule.probability is {self.probability!r}; allowed: from 0 to 1")
        for field in ("nth", "limit"):
            number = cast("int | None", getattr(self, field))
            if number is not None and number < 1:
                raise ValueError(f"FaultRule.{field} is {number!r}; allowed: a whole number >= 1, or None")


class FaultPlan(msgspec.Struct, frozen=True):
    """Rules, and the seed of their chances. Each rule has chances of its own, which no other rule changes.

    It is data: `msgspec.json.encode(plan)`, `msgspec.json.decode(text, type=FaultPlan)`.
    """

    rules: tuple[FaultRule, ...]
    seed: int = 0
