"""Provider registries for tests, and what the servers behind them are sent."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec
import pytest

from actors.connections import Connection
from actors.errors import EngineError, ErrorCode
from actors.model_settings import ModelSettings
from actors.models import (
    HttpPool,
    ModelConfig,
    ProviderRegistry,
    ProviderSettings,
    build_provider_registry,
)
from actors.models.base import ToolDefinition
from tests.actors.models.stream_samples import question, said, sse

__all__ = ["LOCAL", "Endpoint", "local", "refused", "refused_to_build", "registry_of"]

LOCAL = "http://127.0.0.1:9/v1"


def local(connection_id: str, **others: Any) -> Connection:
    return Connection(connection_id=connection_id, base_url=LOCAL, **others)


async def registry_of(
    *connections: Connection,
    http: HttpPool | None = None,
    separator: str = ":",
    fallback: str = "",
    environment: Mapping[str, str] | None = None,
) -> ProviderRegistry:
    settings = ProviderSettings(
        connections={connection.connection_id: connection for connection in connections},
        separator=separator,
        fallback=fallback,
    )
    async with HttpPool() as unused:
        return await build_provider_registry(settings, http or unused, environment=environment or {})


async def refused_to_build(*connections: Connection, **settings: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await registry_of(*connections, **settings)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    return caught.value


def refused(registry: ProviderRegistry, spec: str | ModelConfig) -> EngineError:
    with pytest.raises(EngineError) as caught:
        registry.language_model(spec)
    return caught.value


class Endpoint:
    """What a server was sent."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.http = HttpPool(transport=httpx.MockTransport(self._respond))

    def _respond(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(
            200, headers={"content-type": "text/event-stream"}, content=sse([said("x", "stop")])
        )

    async def asked(
        self,
        registry: ProviderRegistry,
        spec: str | ModelConfig,
        settings: ModelSettings | None = None,
        tools: tuple[ToolDefinition, ...] = (),
    ) -> dict[str, Any]:
        """The body of the request for one question."""
        request = msgspec.structs.replace(question(), settings=settings or ModelSettings(), tools=tools)
        with contextlib.suppress(EngineError):  # it answers on one wire only
            await registry.language_model(spec).stream(request, lambda _: None)
        return json.loads(self.requests[-1].content)
