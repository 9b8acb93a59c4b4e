"""Every store, empty, for the contract's tests; a file to be, for those of SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.stores import MemoryStore, SqliteStore, Store
from tests.actors.stores.chat_folder import ChatFolder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where no store is yet."""
    return tmp_path / "greenroom.db"


@pytest.fixture(params=["memory", "sqlite", "chat_file"])
def store(request: pytest.FixtureRequest, tmp_path: Path, path: Path) -> Iterator[Store]:
    opened: Store
    match request.param:
        case "memory":
            opened = MemoryStore()
        case "sqlite":
            opened = SqliteStore.open(path)
        case _:
            opened = ChatFolder(str(tmp_path))
    yield opened
    opened.close()
