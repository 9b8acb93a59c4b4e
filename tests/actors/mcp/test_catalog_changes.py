"""What the catalog says while the MCP servers of an engine are opened."""

from __future__ import annotations

from datetime import UTC, datetime

from actors.catalog.catalog import Catalog
from actors.catalog.protocol import SubscribeCatalog
from actors.catalog.view import CatalogView
from actors.connections import McpServer
from actors.engine.mcp import open_mcp_servers
from actors.mcp.links import sdk_links
from actors.mcp.protocol import GetHealth
from actors.models import HttpPool, ProviderRegistry, ProviderSettings, build_provider_registry
from actors.tools import ToolRegistry
from runtime import TrioActor, open_system

LATE = McpServer(server_id="late", command="/nowhere/to/be/found")


class ChangingCatalog(TrioActor):
    """Has one server more by the time that somebody subscribes."""

    def __init__(self, view: CatalogView, models: ProviderRegistry) -> None:
        super().__init__()
        self._view = view
        self._models = models

    def on_receive(self, message: SubscribeCatalog) -> None:
        assert isinstance(message, SubscribeCatalog)
        self._view.publish(Catalog.of(mcp_servers=[LATE]), self._models)


async def test_a_server_that_comes_before_anybody_listens_is_started_all_the_same() -> None:
    view = CatalogView()
    async with HttpPool() as http, open_system() as system:
        models = await build_provider_registry(ProviderSettings(connections={}), http)
        catalog = system.spawn(ChangingCatalog, view, models)
        async with open_mcp_servers(
            system,
            (),
            catalog=catalog,  # pyright: ignore[reportArgumentType] - answers as the catalog does
            view=view,
            tools=ToolRegistry(),
            open_link=sdk_links({}),
            now=lambda: datetime.now(UTC),
        ) as servers:
            healths = await servers.ask(GetHealth(settled=True), block=False)

    assert [health.server_id for health in healths] == ["late"]
