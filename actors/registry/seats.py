"""The loaded sessions, and which of them was used longest ago. Pure."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from enum import StrEnum
from typing import TypeAlias

from actors.errors import ErrorInfo
from actors.registry.protocol import DeleteSession, RegisterSession
from actors.session.protocol import Handover, SessionCommand

__all__ = ["Parked", "Phase", "Seat", "Seats"]

Parked: TypeAlias = tuple[RegisterSession | DeleteSession, int]


class Phase(StrEnum):
    """Where a loaded session stands with the registry."""

    LOADING = "loading"  # it has not said yet what it is
    LOADED = "loaded"
    LEAVING = "leaving"  # told to release
    STOPPING = "stopping"  # it has said goodbye


TRANSITIONS = {
    Phase.LOADING: frozenset({Phase.LOADED, Phase.LEAVING, Phase.STOPPING}),
    Phase.LOADED: frozenset({Phase.LEAVING, Phase.STOPPING}),
    Phase.LEAVING: frozenset({Phase.LOADED, Phase.STOPPING}),
    Phase.STOPPING: frozenset[Phase](),
}
_ON_THEIR_WAY_OUT = frozenset({Phase.LEAVING, Phase.STOPPING})


class Seat:
    """A loaded session.

    - `held`: commands that came while it leaves, for its next incarnation, or for this one if it stays.
    - `parked`: what the registry was asked about it before it said what it is.
    - `askers`: who is answered when it is gone. `failure` says why it did not go in order.
    - `abort_asked`, `abort_wanted`: whether it was told to stop its turn, and is to be.
    - `unregister`, `forget`: what becomes of it when it is gone: nobody keeps it; not even subscribers do.
    - `evicting`: it was the registry's own idea. `used`: somebody has used it since it was loaded.
    - `refused_meanwhile`: a turn of it was refused a slot while it was to leave.
    """

    __slots__ = (
        "abort_asked",
        "abort_wanted",
        "askers",
        "evicting",
        "failure",
        "forget",
        "handover",
        "held",
        "parked",
        "phase",
        "refused_meanwhile",
        "unregister",
        "used",
    )

    def __init__(self, *, used: bool) -> None:
        self.phase = Phase.LOADING
        self.used = used
        self.held: list[tuple[SessionCommand, int]] = []
        self.parked: list[Parked] = []
        self.askers: list[int] = []
        self.handover: Handover | None = None
        self.failure: ErrorInfo | None = None
        self.abort_asked = self.abort_wanted = False
        self.unregister = self.forget = self.evicting = self.refused_meanwhile = False

    @property
    def takes_commands(self) -> bool:
        return self.phase not in _ON_THEIR_WAY_OUT

    def stay(self) -> list[int]:
        """Take back all that was to become of it; who waits for its end."""
        askers, self.askers = self.askers, []
        self.abort_asked = self.abort_wanted = False
        self.unregister = self.forget = self.evicting = False
        return askers


class Seats:
    """Seats by session id. The settled ones stand apart, ordered by their last use.

    Settled is a session that may be unloaded at once: loaded, and without a turn that needs it.
    """

    def __init__(self) -> None:
        self._seats: dict[str, Seat] = {}
        self._settled: OrderedDict[str, float] = (
            OrderedDict()
        )  # a dict finds its first key in O(deleted ones)
        self._leaving = 0

    def __len__(self) -> int:
        return len(self._seats)

    def __iter__(self) -> Iterator[str]:
        return iter(self._seats)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._seats

    @property
    def staying(self) -> int:
        """How many are not on their way out."""
        return len(self._seats) - self._leaving

    def find(self, session_id: str) -> Seat | None:
        return self._seats.get(session_id)

    def add(self, session_id: str, *, used: bool) -> Seat:
        assert session_id not in self._seats, "a session is loaded once"
        seat = self._seats[session_id] = Seat(used=used)
        return seat

    def remove(self, session_id: str) -> Seat:
        seat = self._seats.pop(session_id)
        self._settled.pop(session_id, None)
        self._leaving -= seat.phase in _ON_THEIR_WAY_OUT
        return seat

    def enter(self, session_id: str, phase: Phase) -> Seat:
        seat = self._seats[session_id]
        assert phase in TRANSITIONS[seat.phase], f"{seat.phase} -> {phase}"
        self._leaving += (phase in _ON_THEIR_WAY_OUT) - (seat.phase in _ON_THEIR_WAY_OUT)
        seat.phase = phase
        if phase is not Phase.LOADED:
            self._settled.pop(session_id, None)
        return seat

    def park(self, session_id: str, parked: list[Parked]) -> None:
        """Keep what was asked about a session until it says what it is."""
        self._seats[session_id].parked += parked

    # -- the order of last use --

    def is_settled(self, session_id: str) -> bool:
        return session_id in self._settled

    def settle(self, session_id: str, now: float) -> None:
        """It may be unloaded, the last of all; the first if nobody has used it since it was loaded."""
        if self._seats[session_id].used:
            self._settled[session_id] = now
        else:
            self._settled[session_id] = -math.inf
            self._settled.move_to_end(session_id, last=False)

    def unsettle(self, session_id: str) -> None:
        self._settled.pop(session_id, None)

    def touch(self, session_id: str, now: float) -> None:
        self._seats[session_id].used = True
        if session_id in self._settled:
            self._settled[session_id] = now
            self._settled.move_to_end(session_id)

    def oldest(self, *, but: tuple[str | None, ...]) -> str | None:
        """The settled session that was used longest ago; never `but`."""
        for session_id in self._settled:
            if session_id not in but:
                return session_id
        return None

    def idle_since(self, moment: float) -> list[str]:
        """The settled sessions that nobody used after that, the longest idle one first."""
        idle: list[str] = []
        for session_id, used_at in self._settled.items():
            if used_at > moment:
                break
            idle.append(session_id)
        return idle
