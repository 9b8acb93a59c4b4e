"""The catalog in a file: what is written, what is read again, and what is refused."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import msgspec
import pytest
import trio

from actors.agents import AgentDefinition
from actors.catalog import FileAgentService
from actors.connections import Connection, McpServer
from actors.errors import EngineError, ErrorCode
from tests.actors.catalog.changes import Changes
from tests.actors.catalog.test_service_contract import AGENT, CONNECTION, SERVER


async def refusal(path: Path) -> str:
    with pytest.raises(EngineError) as caught:
        await FileAgentService(path).init()
    assert caught.value.code is ErrorCode.PERSISTENCE_FAILED
    assert str(path) in str(caught.value)
    return str(caught.value)


async def test_everything_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "catalog.json"
    first = FileAgentService(path)
    await first.save_agent(AGENT)
    await first.save_connection(CONNECTION)
    await first.save_mcp_server(SERVER)

    second = FileAgentService(path)
    await second.init()

    assert await second.get_agents() == (AGENT,)
    assert await second.get_connections() == (CONNECTION,)
    assert await second.get_mcp_servers() == (SERVER,)


async def test_a_key_is_never_written_and_the_file_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "catalog.json"
    service = FileAgentService(path)

    await service.save_connection(msgspec.structs.replace(CONNECTION, api_key="sk-secret"))

    assert "sk-secret" not in path.read_text()
    assert "WORK_KEY" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert await service.get_connection("work") == CONNECTION


async def test_what_somebody_has_edited_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "catalog.json"
    service = FileAgentService(path)
    await service.save_agent(AGENT)
    document = json.loads(path.read_text())
    document["agents"].append({"agent_id": "by-hand"})
    path.write_text(json.dumps(document))

    await service.save_mcp_server(SERVER)

    assert await service.get_agents() == (AGENT, AgentDefinition(agent_id="by-hand"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no catalog that can be read: "),
        ("[]", "can be read: Expected `object`, got `array`"),
        ('{"x": ' + "[" * 20_000 + "]" * 20_000 + "}", "can be read: "),
        ('{"agents": [{}]}', "missing required field `agent_id` - at `$.agents[0]`"),
        ('{"version": 2}', "has version 2, and this program knows 1"),
        (
            '{"connections": [{"connection_id": "a", "api_key": "sk-secret"}]}',
            "holds the key of connection 'a': put the key into an environment variable",
        ),
    ],
)
async def test_a_file_that_is_no_catalog_is_refused_and_left_as_it_is(
    tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "catalog.json"
    path.write_text(content)

    refused = await refusal(path)
    with pytest.raises(EngineError):
        await FileAgentService(path).save_agent(AGENT)

    assert said in refused
    assert "sk-secret" not in refused
    assert path.read_text() == content


async def test_a_file_whose_maker_was_killed_is_an_empty_catalog(tmp_path: Path) -> None:
    path = tmp_path / "catalog.json"
    path.touch(mode=0o600)
    service = FileAgentService(path)

    assert await service.get_agents() == ()
    await service.save_agent(AGENT)

    assert await FileAgentService(path).get_agents() == (AGENT,)


async def test_services_on_one_file_take_no_change_of_each_other_away(tmp_path: Path) -> None:
    services = [FileAgentService(tmp_path / "catalog.json") for _ in range(4)]

    async def save(number: int) -> None:
        for turn in range(5):
            await services[number].save_agent(AgentDefinition(agent_id=f"{number}-{turn}"))

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(save, number)

    assert len(await services[0].get_agents()) == 20


async def test_a_folder_that_is_not_there_and_one_in_the_place_of_the_file_are_told(tmp_path: Path) -> None:
    assert "Is a directory" in await refusal(tmp_path) or "no file" in await refusal(tmp_path)
    changes = Changes()
    service = FileAgentService(tmp_path / "missing" / "catalog.json")
    service.on_change(changes)
    with pytest.raises(EngineError) as caught:
        await service.save_agent(AGENT)

    assert caught.value.code is ErrorCode.PERSISTENCE_FAILED
    assert changes.count == 0


async def test_what_is_saved_as_it_is_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "catalog.json"
    service = FileAgentService(path)
    await service.save_agent(AGENT)
    before = path.stat()

    await service.save_agent(AGENT)
    await service.delete_connection("nobody")

    assert path.stat() == before


async def test_entries_of_each_kind_are_kept_apart(tmp_path: Path) -> None:
    service = FileAgentService(tmp_path / "catalog.json")
    await service.save_agent(AgentDefinition(agent_id="same"))
    await service.save_connection(Connection(connection_id="same"))
    await service.save_mcp_server(McpServer(server_id="same"))

    await service.delete_connection("same")

    assert [agent.agent_id for agent in await service.get_agents()] == ["same"]
    assert await service.get_connections() == ()
    assert [server.server_id for server in await service.get_mcp_servers()] == ["same"]
