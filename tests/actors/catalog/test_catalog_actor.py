"""The catalog actor: what it asks of its service, in which order, and what comes of it when that fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.agents import AgentDefinition
from actors.catalog import Catalog, CatalogChanged, MemoryAgentService
from actors.catalog.actor import CatalogActor
from actors.catalog.listener import CatalogListener
from actors.catalog.protocol import (
    DeleteAgent,
    DeleteConnection,
    GetCatalog,
    SaveAgent,
    SaveConnection,
    SaveMcpServer,
    SubscribeCatalog,
)
from actors.catalog.view import CatalogView
from actors.connections import Connection, McpServer
from actors.errors import EngineError, ErrorCode
from actors.models import HttpPool, ProviderRegistry, ProviderSettings, build_provider_registry
from runtime import ActorRef, open_system
from tests.actors.catalog.changes import Changes

AGENT = AgentDefinition(agent_id="a")
LOCAL = Connection(connection_id="local", base_url="http://127.0.0.1:9/v1")
BROKEN = Connection(connection_id="broken", base_url="nowhere")


class Service(MemoryAgentService):
    """Waits, fails, and forgets keys, as it is told."""

    def __init__(self, *connections: Connection) -> None:
        super().__init__(connections=connections)
        self.inits = 0
        self.calls: list[str] = []
        self.error: Exception | None = None
        self.gate: trio.Event | None = None
        self.gives_keys = True

    async def init(self) -> None:
        self.inits += 1
        await self._meanwhile("init")

    async def get_agents(self) -> tuple[AgentDefinition, ...]:
        await self._meanwhile("read")
        return await super().get_agents()

    async def get_connections(self) -> tuple[Connection, ...]:
        connections = await super().get_connections()
        if self.gives_keys:
            return connections
        return tuple(msgspec.structs.replace(connection, api_key="") for connection in connections)

    async def save_agent(self, agent: AgentDefinition) -> None:
        await self._meanwhile(f"save {agent.agent_id}")
        await super().save_agent(agent)

    async def save_connection(self, connection: Connection) -> None:
        await self._meanwhile(f"save {connection.connection_id}")
        await super().save_connection(connection)

    async def change_behind_its_back(self, agent: AgentDefinition) -> None:
        """As somebody else does it, whatever fails for us."""
        await super().save_agent(agent)

    async def _meanwhile(self, what: str) -> None:
        self.calls.append(what)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error


class Stage:
    """A catalog actor with its service, and what is said of changes."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.view = CatalogView()
        self.builds = 0
        self.changes = Changes()
        self.ref: ActorRef[CatalogActor]

    @property
    def said(self) -> list[object]:
        return self.changes.said

    async def ask(self, message: msgspec.Struct) -> object:
        return await self.ref.ask(message, block=False)

    async def refusal(self, message: msgspec.Struct) -> EngineError:
        with pytest.raises(EngineError) as caught:
            await self.ask(message)
        return caught.value


@asynccontextmanager
async def open_stage(service: Service | None = None, *, fallback: str = "") -> AsyncGenerator[Stage]:
    stage = Stage(service or Service())
    async with HttpPool() as http, open_system() as system:

        async def build(connections: Mapping[str, Connection]) -> ProviderRegistry:
            stage.builds += 1
            settings = ProviderSettings(connections=connections, fallback=fallback)
            return await build_provider_registry(settings, http)

        stage.ref = system.spawn(CatalogActor, stage.service, stage.view, build=build)
        system.spawn_named("listener", CatalogListener, stage.changes)
        stage.ref.tell(SubscribeCatalog("listener"))
        yield stage


async def test_init_is_called_once_and_before_everything_else() -> None:
    async with open_stage() as stage:
        await stage.ask(GetCatalog())
        await stage.ask(SaveAgent(AGENT))

    assert stage.service.inits == 1
    assert stage.service.calls[:3] == ["init", "read", "save a"]


async def test_nobody_has_models_before_the_catalog_was_read() -> None:
    service = Service(LOCAL)
    service.gate = trio.Event()
    async with open_stage(service) as stage:
        await wait_all_tasks_blocked()
        with pytest.raises(EngineError) as caught:
            stage.view.find_model("local:m")
        assert caught.value.code is ErrorCode.SESSION_INVALID

        service.gate.set()
        await stage.ask(GetCatalog())

        assert stage.view.find_model("local:m").name == "local:m"


async def test_what_is_asked_while_the_service_takes_its_time_is_done_in_order() -> None:
    async with open_stage() as stage:
        await stage.ask(GetCatalog())
        stage.service.calls.clear()
        stage.service.gate = trio.Event()
        replies = [stage.ref.ask(SaveAgent(AgentDefinition(agent_id=name)), block=False) for name in "abc"]
        await wait_all_tasks_blocked()
        assert stage.service.calls == ["save a"]
        assert stage.view.current == Catalog()
        assert await stage.ask(GetCatalog()) == Catalog(), "it answers meanwhile"

        stage.service.gate.set()
        for reply in replies:
            await reply

        assert [call for call in stage.service.calls if call != "read"] == ["save a", "save b", "save c"]
        assert list(stage.view.current.agents) == ["a", "b", "c"]


async def test_a_save_is_said_once_also_when_it_changes_nothing() -> None:
    async with open_stage() as stage:
        for message in (
            SaveAgent(AGENT),
            SaveAgent(AGENT),
            SaveMcpServer(McpServer(server_id="s", command="s")),
        ):
            await stage.ask(message)
        await stage.ask(DeleteAgent("a"))
        await stage.ask(DeleteAgent("a"))
        await wait_all_tasks_blocked()

    of_a = CatalogChanged(agents=("a",))
    assert stage.said == [of_a, of_a, CatalogChanged(mcp_servers=("s",)), of_a]


async def test_what_others_change_is_read_and_said() -> None:
    async with open_stage() as stage:
        await stage.ask(GetCatalog())
        await stage.service.save_agent(AGENT)
        await stage.service.save_connection(LOCAL)
        await wait_all_tasks_blocked()

        assert stage.view.find_agent("a") == AGENT
        assert stage.view.find_model("local:m").name == "local:m"
        of_a, of_local = CatalogChanged(agents=("a",)), CatalogChanged(connections=("local",))
        assert stage.said in ([of_a, of_local], [CatalogChanged(agents=("a",), connections=("local",))])


async def test_a_connection_that_cannot_be_used_is_refused_before_it_is_kept() -> None:
    async with open_stage(Service(LOCAL)) as stage:
        error = await stage.refusal(SaveConnection(BROKEN))

        assert error.code is ErrorCode.INVALID_ARGUMENT
        assert "(connection 'broken')" in str(error)
        assert stage.service.calls == ["init", "read"]
        assert await stage.service.get_connections() == (LOCAL,)
        assert list(stage.view.current.connections) == ["local"]
        assert stage.view.find_model("local:m").name == "local:m"
        assert stage.said == [CatalogChanged(connections=("local",))]


async def test_a_connection_that_something_else_needs_is_not_deleted() -> None:
    async with open_stage(Service(LOCAL), fallback="local") as stage:
        error = await stage.refusal(DeleteConnection("local"))

        assert "the fallback 'local' is no connection" in str(error)
        assert await stage.service.get_connections() == (LOCAL,)


async def test_a_connection_that_others_have_broken_stays_as_it_was(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_stage(Service(LOCAL)) as stage:
        await stage.ask(GetCatalog())
        await stage.service.save_connection(msgspec.structs.replace(LOCAL, base_url="nowhere"))
        await stage.service.save_connection(BROKEN)
        await stage.service.save_agent(AGENT)
        await wait_all_tasks_blocked()

        assert dict(stage.view.current.connections) == {"local": LOCAL}
        assert stage.view.find_agent("a") == AGENT
        assert stage.view.find_model("local:m").name == "local:m"
    assert "connection not taken over" in caplog.text


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (EngineError(ErrorCode.NETWORK_ERROR, "no way"), ErrorCode.NETWORK_ERROR, "no way"),
        (ZeroDivisionError("secret"), ErrorCode.EXECUTION_FAILED, "failed: ZeroDivisionError"),
    ],
)
async def test_a_service_that_fails_changes_nothing_and_the_next_save_is_tried(
    error: Exception, code: ErrorCode, said: str
) -> None:
    async with open_stage() as stage:
        await stage.ask(GetCatalog())
        stage.service.error = error
        for message in (SaveAgent(AGENT), SaveConnection(LOCAL)):
            refused = await stage.refusal(message)
            assert refused.code is code
            assert said in str(refused)
        assert stage.view.current == Catalog()

        stage.service.error = None
        await stage.ask(SaveAgent(AGENT))

        assert stage.view.find_agent("a") == AGENT


async def test_a_change_that_could_not_be_read_is_read_later(
    autojump_clock: object,  # noqa: ARG001 - makes time jump
) -> None:
    async with open_stage() as stage:
        await stage.ask(GetCatalog())
        stage.service.error = EngineError(ErrorCode.NETWORK_ERROR, "no way")
        await stage.service.change_behind_its_back(AGENT)
        await wait_all_tasks_blocked()
        assert stage.view.find_agent("a") is None

        stage.service.error = None

        assert await stage.changes.reached(1) == 1
        assert stage.view.find_agent("a") == AGENT


async def test_a_catalog_that_cannot_be_read_at_the_start_is_told_to_all_who_wait() -> None:
    service = Service()
    service.error = EngineError(ErrorCode.NETWORK_ERROR, "no way")
    async with open_stage(service) as stage:
        for _ in range(2):
            assert (await stage.refusal(GetCatalog())).code is ErrorCode.NETWORK_ERROR


async def test_a_service_that_keeps_keys_to_itself_takes_none_away() -> None:
    service = Service()
    service.gives_keys = False
    own = msgspec.structs.replace(LOCAL, api_key="sk-1")
    async with open_stage(service) as stage:
        await stage.ask(SaveConnection(own))
        await wait_all_tasks_blocked()
        assert stage.view.current.connections["local"] == own
        builds = stage.builds

        await service.save_connection(msgspec.structs.replace(LOCAL, name="Here"))
        await wait_all_tasks_blocked()
        assert stage.view.current.connections["local"] == msgspec.structs.replace(own, name="Here")

        await service.save_connection(msgspec.structs.replace(LOCAL, base_url="http://127.0.0.1:10/v1"))
        await wait_all_tasks_blocked()

        assert stage.view.current.connections["local"].api_key == "", "it is another place"
        assert stage.builds == builds + 2


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (SaveAgent(AgentDefinition(agent_id="")), "the id of an agent has 1 to"),
        (SaveAgent(AgentDefinition(agent_id="default")), "'default' is a session's own model"),
        (SaveConnection(Connection(connection_id="a\nb")), "the id of a connection has 1 to"),
        (SaveMcpServer(McpServer(server_id="")), "the id of an MCP server has 1 to"),
        (SaveMcpServer(McpServer(server_id="s")), "needs either a command or a URL"),
        (SaveMcpServer(McpServer(server_id="s", command="c", url="http://u")), "needs either a command or"),
        (SaveMcpServer(McpServer(server_id="s", url="u")), "has to begin with http:// or https://"),
        (SaveMcpServer(McpServer(server_id="s", command="c", timeout_seconds=0)), "a timeout above 0"),
    ],
)
async def test_what_could_not_be_found_or_used_is_refused(message: msgspec.Struct, said: str) -> None:
    async with open_stage() as stage:
        error = await stage.refusal(message)

    assert error.code is ErrorCode.INVALID_ARGUMENT
    assert said in str(error)


async def test_a_callback_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    said: list[CatalogChanged] = []

    def fail(changed: CatalogChanged) -> None:
        said.append(changed)
        raise ZeroDivisionError

    async with open_system() as system:
        listener = system.spawn(CatalogListener, fail)
        for _ in range(2):
            await listener.ask(CatalogChanged(agents=("a",)), block=False)

    assert len(said) == 2
    assert "a callback for changes of the catalog failed" in caplog.text
