"""What every service that keeps a catalog promises."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import httpx
import msgspec
import pytest
import trio

from actors.agents import AgentDefinition
from actors.catalog import AgentService, FileAgentService, MemoryAgentService
from actors.catalog.http_service import HttpAgentService
from actors.connections import Connection, McpServer, ModelAlias
from actors.model_settings import ModelSettings
from actors.records import ApprovalMode
from tests.actors.catalog.catalog_server import open_catalog_server
from tests.actors.catalog.changes import Changes

AGENT = AgentDefinition(
    agent_id="critic/ä b",
    name="Critic",
    model="openai:m",
    system_prompt="Find the flaw.",
    approval_mode=ApprovalMode.ALWAYS_ASK,
    settings=ModelSettings(temperature=0.5, max_output_tokens=9, options={"seed": 1}),
    tools=("read",),
)
CONNECTION = Connection(
    connection_id="work",
    name="Work",
    provider="openai",
    base_url="http://127.0.0.1:9/v1",
    wire="openai-chat",
    key_variable="WORK_KEY",
    headers={"x-team": "blue"},
    enabled=False,
    models=("m",),
    aliases={"fast": ModelAlias(model="m", settings=ModelSettings(temperature=0.1))},
    settings=ModelSettings(max_output_tokens=7),
    max_concurrent=3,
)
SERVER = McpServer(
    server_id="files",
    name="Files",
    command="files",
    arguments=("--root", "/srv"),
    environment={"LEVEL": "1"},
    directory="/srv",
    headers={"x-team": "blue"},
    enabled=False,
    timeout_seconds=5.0,
)

Open: TypeAlias = Callable[[Path], AbstractAsyncContextManager[AgentService]]


@asynccontextmanager
async def in_memory(_: Path) -> AsyncGenerator[AgentService]:
    yield MemoryAgentService()


@asynccontextmanager
async def in_a_file(folder: Path) -> AsyncGenerator[AgentService]:
    yield FileAgentService(folder / "catalog.json")


@asynccontextmanager
async def on_a_server(_: Path) -> AsyncGenerator[AgentService]:
    async with (
        open_catalog_server() as server,
        httpx.AsyncClient(base_url=server.base_url, trust_env=False) as client,
        trio.open_nursery() as nursery,
    ):
        service = HttpAgentService(client)
        nursery.start_soon(service.listen)
        await server.until_heard()
        yield service
        nursery.cancel_scope.cancel()


@pytest.fixture(params=[in_memory, in_a_file, on_a_server])
def open_service(request: pytest.FixtureRequest) -> Open:
    return request.param


async def test_saved_agents_are_listed_and_found_with_all_their_fields(
    open_service: Open, tmp_path: Path
) -> None:
    other = AgentDefinition(agent_id="other")
    async with open_service(tmp_path) as service:
        await service.init()
        assert await service.get_agents() == ()

        await service.save_agent(AGENT)
        await service.save_agent(other)

        assert await service.get_agents() == (AGENT, other)
        assert await service.get_agent_config(AGENT.agent_id) == AGENT
        assert await service.get_agent_config("nobody") is None


async def test_saved_connections_are_listed_and_found_with_all_their_fields(
    open_service: Open, tmp_path: Path
) -> None:
    other = Connection(connection_id="other")
    async with open_service(tmp_path) as service:
        await service.save_connection(CONNECTION)
        await service.save_connection(other)

        assert await service.get_connections() == (CONNECTION, other)
        assert await service.get_connection("work") == CONNECTION
        assert await service.get_connection("nobody") is None


async def test_saved_servers_are_listed_with_all_their_fields(open_service: Open, tmp_path: Path) -> None:
    async with open_service(tmp_path) as service:
        await service.save_mcp_server(SERVER)

        assert await service.get_mcp_servers() == (SERVER,)


async def test_saving_twice_leaves_one_with_the_second_values(open_service: Open, tmp_path: Path) -> None:
    agent = msgspec.structs.replace(AGENT, name="second")
    connection = msgspec.structs.replace(CONNECTION, name="second")
    server = msgspec.structs.replace(SERVER, name="second")
    async with open_service(tmp_path) as service:
        for one in (AGENT, agent):
            await service.save_agent(one)
        for two in (CONNECTION, connection):
            await service.save_connection(two)
        for three in (SERVER, server):
            await service.save_mcp_server(three)

        assert await service.get_agents() == (agent,)
        assert await service.get_connections() == (connection,)
        assert await service.get_mcp_servers() == (server,)


async def test_what_is_deleted_is_gone_and_deleting_the_unknown_is_fine(
    open_service: Open, tmp_path: Path
) -> None:
    async with open_service(tmp_path) as service:
        await service.save_agent(AGENT)
        await service.save_connection(CONNECTION)
        await service.save_mcp_server(SERVER)

        for _ in range(2):
            await service.delete_agent(AGENT.agent_id)
            await service.delete_connection(CONNECTION.connection_id)
            await service.delete_mcp_server(SERVER.server_id)

        assert await service.get_agents() == ()
        assert await service.get_connections() == ()
        assert await service.get_connection(CONNECTION.connection_id) is None
        assert await service.get_mcp_servers() == ()


async def test_every_save_is_said_once_until_nobody_listens(open_service: Open, tmp_path: Path) -> None:
    changes, others = Changes(), Changes()
    async with open_service(tmp_path) as service:
        stop, _ = service.on_change(changes), service.on_change(others)
        for expected in (1, 2):
            await service.save_agent(AGENT)
            assert await changes.reached(expected) == expected
        await service.save_connection(CONNECTION)
        await service.save_mcp_server(SERVER)
        await service.delete_agent(AGENT.agent_id)
        assert await changes.reached(5) == 5

        stop()
        stop()
        await service.save_agent(AGENT)

        assert (await others.reached(6), changes.count) == (6, 5)


async def test_a_callback_that_is_there_twice_is_called_twice(open_service: Open, tmp_path: Path) -> None:
    changes = Changes()
    async with open_service(tmp_path) as service:
        stop, _ = service.on_change(changes), service.on_change(changes)
        await service.save_agent(AGENT)
        assert await changes.reached(2) == 2

        stop()
        await service.save_agent(AGENT)
        assert await changes.reached(3) == 3
