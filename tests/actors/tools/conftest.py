"""Threads that hang end with their test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.actors.tools import misdeeds


@pytest.fixture(autouse=True)
def released_threads() -> Iterator[None]:
    """No thread outlives its test."""
    misdeeds.RELEASE.clear()
    yield
    misdeeds.RELEASE.set()
