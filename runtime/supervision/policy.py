"""What a supervisor is told: which children, when to restart them, how often, how to end them.

The vocabulary and its defaults are those of OTP's supervisor behaviour; the delay between restarts, which
OTP does not have, follows Akka's BackoffSupervisor. Every Struct here checks itself when it is made.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from runtime.actor import TrioActor
else:
    import pykka

    TrioActor = pykka.Actor  # for help(), which evaluates the types of a Struct's fields

__all__ = [
    "AFFECTED",
    "RESTARTED",
    "AutoShutdown",
    "Backoff",
    "ChildSpec",
    "Ending",
    "Intensity",
    "Restart",
    "Shutdown",
    "Strategy",
]

Member = TypeVar("Member", bound=enum.Enum)


class Restart(enum.Enum):
    """When a child that has ended is brought back."""

    PERMANENT = "permanent"
    """Always."""
    TRANSIENT = "transient"
    """Only after a failure."""
    TEMPORARY = "temporary"
    """Never, not even when it was ended for the sake of a sibling; its spec goes with it."""


class Ending(enum.Enum):
    """How a child ended by itself."""

    NORMAL = "normal"
    FAILURE = "failure"

    @classmethod
    def of(cls, failure: BaseException | None) -> Ending:
        return cls.NORMAL if failure is None else cls.FAILURE


RESTARTED: dict[tuple[Restart, Ending], bool] = {
    (Restart.PERMANENT, Ending.NORMAL): True,
    (Restart.PERMANENT, Ending.FAILURE): True,
    (Restart.TRANSIENT, Ending.NORMAL): False,
    (Restart.TRANSIENT, Ending.FAILURE): True,
    (Restart.TEMPORARY, Ending.NORMAL): False,
    (Restart.TEMPORARY, Ending.FAILURE): False,
}
"""Whether a child that ended by itself is brought back."""


class Strategy(enum.Enum):
    """Whom the restart of one child concerns."""

    ONE_FOR_ONE = "one_for_one"
    """That child alone."""
    ONE_FOR_ALL = "one_for_all"
    """All children."""
    REST_FOR_ONE = "rest_for_one"
    """That child and those that come after it in start order."""


AFFECTED: dict[Strategy, Callable[[Iterable[str], str], Iterable[str]]] = {
    Strategy.ONE_FOR_ONE: lambda _, culprit: (culprit,),
    Strategy.ONE_FOR_ALL: lambda names, _: names,
    Strategy.REST_FOR_ONE: lambda names, culprit: itertools.dropwhile(culprit.__ne__, names),
}
"""Who is ended and brought back together: of all names, which are in start order, and the culprit's."""


class AutoShutdown(enum.Enum):
    """Whether the supervisor ends itself, in order, because significant children have ended by themselves.

    Only an end that leads to no restart counts; being ended by the supervisor does not.
    """

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


class Shutdown(enum.Enum):
    """How long a child may take to end, where that is not a number of seconds."""

    KILL = "kill"
    """No time at all (OTP: brutal_kill)."""
    NO_LIMIT = "no_limit"
    """As long as it takes (OTP: infinity); the default of a child that is itself a supervisor."""


class Intensity(msgspec.Struct, frozen=True):
    """How many restarts, of all children together, are bearable within any period of this length.

    One more, and the supervisor gives up. A restart exactly `period_seconds` ago still counts.

    Raises:
        ValueError: a field has a value that it cannot have.
    """

    max_restarts: int = 1
    period_seconds: float = 5.0

    def __post_init__(self) -> None:
        _require(
            "Intensity.max_restarts", self.max_restarts, "a whole number >= 0", met=self.max_restarts >= 0
        )
        _require(
            "Intensity.period_seconds",
            self.period_seconds,
            "a finite number > 0",
            met=0 < self.period_seconds < math.inf,
        )


class Backoff(msgspec.Struct, frozen=True):
    """How long one child waits before it is brought back, counted from its end.

    The first restart in a row waits `first_seconds`, each further one `factor` times as long, none longer
    than `limit_seconds`. The row ends when the child has run for the intensity's period. The default is not
    to wait.

    `jitter` is the share of the delay that chance may take away, so that children which failed together do
    not come back together, and the limit stays one (AWS, "Exponential Backoff And Jitter": 1.0 is its "full
    jitter").

    Raises:
        ValueError: a field has a value that it cannot have.
    """

    first_seconds: float = 0.0
    factor: float = 2.0
    limit_seconds: float = 30.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        _require(
            "Backoff.first_seconds",
            self.first_seconds,
            "a finite number >= 0",
            met=0 <= self.first_seconds < math.inf,
        )
        _require("Backoff.factor", self.factor, "a finite number >= 1", met=1 <= self.factor < math.inf)
        _require(
            "Backoff.limit_seconds",
            self.limit_seconds,
            "a finite number >= first_seconds",
            met=self.first_seconds <= self.limit_seconds < math.inf,
        )
        _require("Backoff.jitter", self.jitter, "a share between 0 and 1", met=0 <= self.jitter <= 1)

    def delay_seconds(self, attempt: int, chance: float) -> float:
        """The delay before restart number `attempt` (from 1) in a row; `chance` is random, from 0 to 1."""
        try:
            seconds = self.first_seconds * self.factor ** (attempt - 1)
        except OverflowError:
            seconds = math.inf if self.first_seconds else 0.0
        return min(seconds, self.limit_seconds) * (1 - self.jitter * chance)


class ChildSpec(msgspec.Struct, frozen=True):
    """One child: its name among its siblings, how to make it, when to bring it back, how to end it.

    `start` makes a new actor and does not run it. It is called for every life of the child: the actor of a
    life that failed is thrown away. `shutdown` is the time to end in, in seconds, or a `Shutdown`; None is
    the `shutdown_seconds` of its class: 5 seconds for a worker and no limit for a supervisor, as in OTP.

    `registered_name` is its name in the whole system: `ActorSystem.find` gives the ref from its start until
    it has ended for good, restarts included. While another actor has the name the child cannot start.

    Raises:
        ValueError: a field has a value that it cannot have; also a permanent child that is significant,
            since it never ends for good.
    """

    name: str
    start: Callable[[], TrioActor]
    restart: Restart = Restart.PERMANENT
    shutdown: float | Shutdown | None = None
    significant: bool = False
    registered_name: str | None = None

    def __post_init__(self) -> None:
        _require("ChildSpec.name", self.name, "a text that is not empty", met=self.name != "")
        _require("ChildSpec.start", self.start, "a callable that makes an actor", met=callable(self.start))
        _require_member("ChildSpec.restart", self.restart, Restart)
        _require(
            "ChildSpec.shutdown",
            self.shutdown,
            "a finite number of seconds >= 0, Shutdown.KILL, Shutdown.NO_LIMIT or None",
            met=_is_shutdown(self.shutdown),
        )
        _require(
            "ChildSpec.significant",
            self.significant,
            "False for a permanent child",
            met=not (self.significant and self.restart is Restart.PERMANENT),
        )
        _require(
            "ChildSpec.registered_name",
            self.registered_name,
            "a text that is not empty, or None",
            met=self.registered_name != "",
        )


def _is_shutdown(value: object) -> bool:
    if isinstance(value, int | float):
        return 0 <= value < math.inf
    return value is None or isinstance(value, Shutdown)


def _require(field: str, value: object, allowed: str, *, met: bool) -> None:
    if not met:
        raise ValueError(f"{field} is {value!r}; allowed: {allowed}")


def _require_member(field: str, value: object, of: type[Member]) -> None:
    allowed = ", ".join(str(member) for member in of)
    _require(field, value, allowed, met=isinstance(value, of))
