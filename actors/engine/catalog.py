"""The catalog of an engine: where it is kept, and which models its connections make."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import pykka
import trio

from actors.catalog import AgentService, FileAgentService, MemoryAgentService
from actors.catalog.actor import CatalogActor
from actors.catalog.protocol import CATALOG_NAME, GetCatalog
from actors.catalog.view import CatalogView
from actors.connections import Connection
from actors.errors import EngineError, ErrorCode
from actors.models.http import HttpPool
from actors.models.provider_registry import ProviderRegistry, build_provider_registry
from actors.settings import EngineSettings, key_environment
from runtime import ActorRef, ActorSystem
from runtime.supervision import ChildSpec, FindChild, Intensity, Supervisor

__all__ = ["open_catalog"]

_RESTARTS_BORNE = Intensity(max_restarts=5, period_seconds=10.0)
"""A catalog that fails more often than this is what it was, but cannot be changed any more."""


@asynccontextmanager
async def open_catalog(
    system: ActorSystem, settings: EngineSettings, http: HttpPool, service: AgentService | None
) -> AsyncGenerator[tuple[ActorRef[CatalogActor], CatalogView], None]:
    """The catalog's actor, under a supervisor for the time of the block, and what it publishes.

    Raises:
        EngineError: the catalog cannot be read, or something in it cannot be used.
    """
    if service is None:
        service = MemoryAgentService() if settings.catalog is None else FileAgentService(settings.catalog)
    kept = service
    view = CatalogView()

    async def build(connections: Mapping[str, Connection]) -> ProviderRegistry:
        environment = key_environment(settings)
        return await build_provider_registry(settings.providers(connections), http, environment=environment)

    def make_catalog() -> CatalogActor:
        return CatalogActor(kept, view, build=build)

    spec = ChildSpec(CATALOG_NAME, make_catalog, registered_name=CATALOG_NAME)
    supervisor = system.spawn(Supervisor, [spec], intensity=_RESTARTS_BORNE)
    try:
        catalog = await _started(supervisor)
        yield catalog, view
    finally:
        with trio.move_on_after(settings.shutdown_budget_seconds, shield=True):
            await supervisor.stop(block=False)


async def _started(supervisor: ActorRef[Supervisor]) -> ActorRef[CatalogActor]:
    try:
        catalog: ActorRef[CatalogActor] = await supervisor.ask(FindChild(CATALOG_NAME), block=False)
        await catalog.ask(GetCatalog(), block=False)
    except pykka.ActorDeadError:  # of a service that is none
        message = "the catalog cannot be started, and the log says why: is it an AgentService?"
        raise EngineError(ErrorCode.INVALID_ARGUMENT, message) from None
    return catalog
