"""The state tables: of a supervisor, and of each child."""

from __future__ import annotations

import enum

from runtime.supervision.errors import IllegalTransitionError

__all__ = [
    "ALIVE",
    "CHILD_TRANSITIONS",
    "TRANSITIONS",
    "ChildStatus",
    "Phase",
    "check_child_transition",
    "check_transition",
]


class Phase(enum.Enum):
    """What a supervisor is at. Only in RESTING does it take up the next thing."""

    NEW = "new"
    STARTING = "starting"
    """The first start of its children, in order."""
    RESTING = "resting"
    """Nothing is under way; restarts may wait for their backoff."""
    HALTING = "halting"
    """It waits for children to end: one that is terminated, or the group of a restart."""
    LAUNCHING = "launching"
    """It waits for children to start: one that was asked for, or the group of a restart."""
    STOPPING = "stopping"
    """Because of what children did, it ends all of them, and then itself."""
    ENDED = "ended"


TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.NEW: frozenset({Phase.STARTING}),
    Phase.STARTING: frozenset({Phase.RESTING, Phase.STOPPING}),
    Phase.RESTING: frozenset({Phase.HALTING, Phase.LAUNCHING, Phase.STOPPING}),
    Phase.HALTING: frozenset({Phase.RESTING, Phase.LAUNCHING}),
    Phase.LAUNCHING: frozenset({Phase.RESTING, Phase.HALTING, Phase.STOPPING}),
    Phase.STOPPING: frozenset({Phase.ENDED}),
    Phase.ENDED: frozenset(),
}


class ChildStatus(enum.Enum):
    """What a child is at."""

    ABSENT = "absent"
    """There is only its spec: never started, or ended for good."""
    STARTING = "starting"
    """Its first life begins."""
    REVIVING = "reviving"
    """A further life of the same incarnation begins."""
    RUNNING = "running"
    HALTING = "halting"
    """It was told to end, and has not yet."""
    ENDED = "ended"
    """It has ended, and what follows from that is not decided yet."""
    RESTARTING = "restarting"
    """It is down, and will be brought back."""


ALIVE = frozenset(
    {ChildStatus.STARTING, ChildStatus.REVIVING, ChildStatus.RUNNING, ChildStatus.HALTING},
)

CHILD_TRANSITIONS: dict[ChildStatus, frozenset[ChildStatus]] = {
    ChildStatus.ABSENT: frozenset({ChildStatus.STARTING, ChildStatus.RESTARTING}),
    ChildStatus.STARTING: frozenset({ChildStatus.RUNNING, ChildStatus.ENDED}),
    ChildStatus.REVIVING: frozenset({ChildStatus.RUNNING, ChildStatus.ENDED}),
    ChildStatus.RUNNING: frozenset({ChildStatus.HALTING, ChildStatus.ENDED}),
    ChildStatus.HALTING: frozenset({ChildStatus.ENDED}),
    ChildStatus.ENDED: frozenset({ChildStatus.ABSENT, ChildStatus.RESTARTING}),
    ChildStatus.RESTARTING: frozenset({ChildStatus.STARTING, ChildStatus.REVIVING, ChildStatus.ABSENT}),
}


def check_transition(current: Phase, following: Phase) -> None:
    """Refuse a step that the table does not have.

    Raises:
        IllegalTransitionError: naming both.
    """
    if following not in TRANSITIONS[current]:
        raise IllegalTransitionError(f"a supervisor cannot go from {current.value} to {following.value}")


def check_child_transition(name: str, current: ChildStatus, following: ChildStatus) -> None:
    """Refuse a step that the table does not have.

    Raises:
        IllegalTransitionError: naming both, and the child.
    """
    if following not in CHILD_TRANSITIONS[current]:
        raise IllegalTransitionError(f"child {name!r} cannot go from {current.value} to {following.value}")
