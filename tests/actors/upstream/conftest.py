from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TypeAlias

import httpx
import pytest
import trio
import trio.testing

from actors.upstream.server import Upstream
from actors.upstream.settings import UpstreamSettings
from tests.actors.upstream.chat import QUICK

Serve: TypeAlias = Callable[[UpstreamSettings], Upstream]


@pytest.fixture
def serve(nursery: trio.Nursery) -> Serve:
    """Starts an endpoint in this process; it ends with the test."""

    def start(settings: UpstreamSettings) -> Upstream:
        upstream = Upstream(settings)
        nursery.start_soon(upstream.serve)
        return upstream

    return start


@pytest.fixture
async def upstream(serve: Serve) -> Upstream:
    return serve(QUICK)


@pytest.fixture
async def client(upstream: Upstream) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=upstream.base_url) as client:
        yield client


@pytest.fixture
def patient_clock() -> trio.testing.MockClock:
    """Jumps ahead once all tasks wait, and gives the kernel time to deliver what was sent before."""
    return trio.testing.MockClock(autojump_threshold=0.1)
