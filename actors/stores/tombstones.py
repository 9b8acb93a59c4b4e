"""The sessions that were deleted last, so that no late write makes one of them anew. Pure."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["TOMBSTONES_KEPT", "Tombstones"]

TOMBSTONES_KEPT = 10_000
"""A write is late by a few deletions; all of them would grow for as long as the store is open."""


class Tombstones:
    """Each with the epoch that its session had."""

    def __init__(self) -> None:
        self._epochs: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._epochs)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._epochs

    def add(self, session_id: str, epoch: int = 0) -> None:
        self._epochs[session_id] = epoch
        if len(self._epochs) > TOMBSTONES_KEPT:
            self._epochs.popitem(last=False)

    def remove(self, session_id: str) -> int:
        """Its epoch, 0 if there is none."""
        return self._epochs.pop(session_id, 0)
