"""The life of an actor, as data."""

from __future__ import annotations

import enum

__all__ = ["NOT_WORKING", "TRANSITIONS", "Life"]


class Life(enum.Enum):
    """Where an actor stands between its making and its death."""

    # By identity, as members are compared: Enum's own is a function in Python, and asked for at every step.
    __hash__ = object.__hash__

    NEW = "new"
    """Made, and nothing of it has run: not even in a system, or about to be made again after a restart."""
    STARTING = "starting"
    """`on_start` is still to run, or runs."""
    RUNNING = "running"
    ENDING = "ending"
    """It takes no more mail; its child actors, its tasks and its last hook come to their end."""
    HALTED = "halted"
    """An incarnation is over, and the supervisor decides what becomes of the ref and the mail."""
    DEAD = "dead"


TRANSITIONS: dict[Life, frozenset[Life]] = {
    # DEAD comes from everywhere when the system itself is cut off.
    # At once where there is no `on_start`.
    Life.NEW: frozenset({Life.STARTING, Life.RUNNING, Life.DEAD}),
    Life.STARTING: frozenset({Life.RUNNING, Life.ENDING, Life.DEAD}),
    Life.RUNNING: frozenset({Life.ENDING, Life.DEAD}),
    Life.ENDING: frozenset({Life.HALTED, Life.DEAD}),
    Life.HALTED: frozenset({Life.NEW, Life.DEAD}),
    Life.DEAD: frozenset(),
}

NOT_WORKING = frozenset({Life.ENDING, Life.HALTED, Life.DEAD})
"""When an actor starts no more tasks and no more actors."""
