"""Every store, empty, for the contract's tests; a file to be, for those of SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.stores import MemoryStore, SqliteStore, Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where no store is yet."""
    return tmp_path / "greenroom.db"


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, path: Path) -> Iterator[Store]:
    opened: Store = MemoryStore() if request.param == "memory" else SqliteStore.open(path)
    yield opened
    opened.close()
