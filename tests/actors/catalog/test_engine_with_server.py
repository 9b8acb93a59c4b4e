"""An engine whose catalog is on a server."""

from __future__ import annotations

import httpx
import pytest

from actors.catalog import CatalogChanged
from actors.catalog.http_service import HttpAgentService
from actors.engine import open_engine
from actors.errors import EngineError, ErrorCode
from actors.models import ScriptedModel
from tests.actors.catalog.catalog_server import CatalogServer, open_catalog_server
from tests.actors.catalog.changes import Changes
from tests.actors.catalog.stage import CRITIC, FILES, KIND, ask


async def test_an_engine_works_with_a_catalog_on_a_server() -> None:
    server = CatalogServer()
    server.kept["agents"]["critic"] = {"agent_id": "critic", "system_prompt": "Find the flaw."}

    def respond(request: httpx.Request) -> httpx.Response:
        status, said = server.answer(request.method, request.url.raw_path.decode(), request.content)
        return httpx.Response(status, json=said)

    model = ScriptedModel()
    transport = httpx.MockTransport(respond)
    async with httpx.AsyncClient(transport=transport, base_url="http://catalog") as client:
        service = HttpAgentService(client)
        async with open_engine(model_for=lambda _: model, catalog=service) as engine:
            await engine.create_session(session_id="s")
            await ask(engine, "s", "critic")
            await engine.save_agent(KIND)
            await ask(engine, "s", "critic")
            await engine.save_mcp_server(FILES)
            await engine.delete_agent("critic")

    assert [request.system_prompt for request in model.requests] == ["Find the flaw.", "Be kind."]
    read = [("GET", f"/api/{kind}", None) for kind in ("agents", "connections", "mcp-servers")]
    changed = [request for request in server.requests if request[0] != "GET"]
    assert server.requests[:3] == read
    assert changed == [
        ("POST", "/api/agents", {"agent_id": "critic", "system_prompt": "Be kind."}),
        (
            "POST",
            "/api/mcp-servers",
            {
                "server_id": "files",
                "command": "files",
                "environment": {"TOKEN": "t-secret"},
                "enabled": False,
            },
        ),
        ("DELETE", "/api/agents/critic", None),
    ]


async def test_a_server_that_is_not_there_is_told_when_the_engine_opens() -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    async with httpx.AsyncClient(transport=httpx.MockTransport(respond), base_url="http://c") as client:
        with pytest.raises(EngineError) as caught:
            async with open_engine(catalog=HttpAgentService(client)):
                pass

    assert caught.value.code is ErrorCode.NETWORK_ERROR


async def test_what_another_engine_saves_is_heard_over_the_feed() -> None:
    changes = Changes()
    async with (
        open_catalog_server() as server,
        httpx.AsyncClient(base_url=server.base_url, trust_env=False) as one,
        httpx.AsyncClient(base_url=server.base_url, trust_env=False) as two,
        open_engine(catalog=HttpAgentService(one)) as engine,
    ):
        await engine.on_catalog_change(changes)
        await server.until_heard()

        await HttpAgentService(two).save_agent(CRITIC)

        assert await changes.reached(1) == 1
        assert changes.said == [CatalogChanged(agents=("critic",))]
        assert await engine.get_agents() == (CRITIC,)
