"""What is remembered of deleted sessions, and for how long."""

from __future__ import annotations

from actors.errors import ErrorCode
from actors.stores import MemoryStore
from actors.stores.tombstones import TOMBSTONES_KEPT, Tombstones
from tests.actors.stores.samples import creation


def test_the_tombstones_of_a_store_do_not_grow_for_ever_and_the_latest_hold() -> None:
    tombstones = Tombstones()
    for number in range(2 * TOMBSTONES_KEPT):
        tombstones.add(f"s{number}", epoch=number)
    assert len(tombstones) == TOMBSTONES_KEPT
    assert "s0" not in tombstones
    assert tombstones.remove(f"s{2 * TOMBSTONES_KEPT - 1}") == 2 * TOMBSTONES_KEPT - 1


def test_a_write_that_is_late_by_many_deletions_still_finds_its_tombstone() -> None:
    store = MemoryStore()
    for number in range(1000):
        store.commit([creation(f"s{number}")])
        store.delete(f"s{number}")
    (refusal,) = store.commit([creation("s0")])
    assert refusal is not None
    assert refusal.code is ErrorCode.SESSION_NOT_FOUND
