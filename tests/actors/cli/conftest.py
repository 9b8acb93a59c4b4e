"""Where the commands under test find a store and a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.actors.cli.endpoint import Endpoint, endpoint


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where no store is yet."""
    return tmp_path / "chats.db"


@pytest.fixture
def model() -> Iterator[Endpoint]:
    with endpoint() as server:
        yield server
