"""The lock beside a store, while owners come and go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from actors.errors import EngineError
from actors.stores.owner_lock import OwnerLock


def test_who_owns_keeps_out_others_while_the_side_file_comes_and_goes(path: Path) -> None:
    def own_often(_: int) -> int:
        times = 0
        for _ in range(1500):
            try:
                lock = OwnerLock.acquire(path)
            except EngineError:
                continue
            with pytest.raises(EngineError):
                OwnerLock.acquire(path)
            lock.release()
            times += 1
        return times

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(own_often, range(4))) > 0


def test_a_lock_is_free_again_after_its_release(path: Path) -> None:
    OwnerLock.acquire(path).release()
    lock = OwnerLock.acquire(path)
    with pytest.raises(EngineError):
        OwnerLock.acquire(path)
    lock.release()
    assert list(path.parent.iterdir()) == []
