"""What the tests of the runtime share."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Generator

import pytest

from runtime import ActorSystem, SystemThread, open_system, start_system


@pytest.fixture
async def system() -> AsyncGenerator[ActorSystem, None]:
    async with open_system() as system:
        yield system


@pytest.fixture
def system_thread() -> Generator[SystemThread, None, None]:
    with start_system() as thread:
        yield thread


@pytest.fixture
def eager_thread_switches() -> Generator[None, None, None]:
    """Make races between threads some hundred times as likely."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)
