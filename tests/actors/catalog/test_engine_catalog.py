"""An engine with a catalog: what is saved counts for the next turn."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from trio.testing import wait_all_tasks_blocked

from actors.access import AccessRequest
from actors.agents import AgentDefinition
from actors.catalog import CatalogChanged, MemoryAgentService
from actors.connections import Connection
from actors.engine import Engine, open_engine, start_engine
from actors.errors import EngineError, ErrorCode
from actors.model_settings import ModelSettings
from actors.models import Gate, ScriptedModel, say
from actors.records import SessionStatus
from actors.session.protocol import NewSession, SessionChanges
from actors.settings import EngineSettings
from runtime import open_system
from tests.actors.catalog.changes import Changes
from tests.actors.catalog.stage import CRITIC, FILES, KIND, ask

OFFLINE = Connection(connection_id="offline", provider="scripted")


async def refusal_of_turn(engine: Engine, session_id: str, executor_id: str = "default") -> EngineError:
    """Of one that leaves nothing behind."""
    with pytest.raises(EngineError) as caught:
        await engine.submit_turn(session_id, "hello", executor_id=executor_id)
    snapshot = await engine.snapshot(session_id)
    assert snapshot.messages == ()
    assert snapshot.record.status is SessionStatus.IDLE
    assert (await engine.pool_status()).running == 0
    return caught.value


async def test_a_saved_agent_answers_the_next_turn_and_as_it_was_saved_last() -> None:
    model = ScriptedModel()
    async with open_engine(model_for=lambda _: model) as engine:
        await engine.create_session(session_id="s", system_prompt="You are s.")
        for agent in (CRITIC, KIND):
            await engine.save_agent(agent)
            await ask(engine, "s", "critic")
        await ask(engine, "s")

        assert [request.system_prompt for request in model.requests] == [
            "Find the flaw.",
            "Be kind.",
            "You are s.",
        ]
        assert await engine.get_agents() == (KIND,)
        assert await engine.get_agent_config("critic") == KIND


async def test_an_unknown_agent_or_model_is_refused_before_anything_happens() -> None:
    async with open_engine() as engine:
        await engine.create_session(session_id="s")
        await engine.save_agent(AgentDefinition(agent_id="lost", model="nowhere:m"))
        await engine.save_agent(AgentDefinition(agent_id="odd", model="scripted:m"))

        for executor_id, details in (
            ("nobody", {"kind": "agent"}),
            ("lost", {"kind": "model", "provider": "nowhere"}),
            ("odd", {"kind": "model"}),
        ):
            error = await refusal_of_turn(engine, "s", executor_id)
            assert error.code is ErrorCode.EXECUTOR_NOT_FOUND
            assert error.details == details
            assert not error.retryable


async def test_settings_that_the_model_does_not_take_are_refused_before_anything_happens() -> None:
    here = "http://127.0.0.1:9/v1"
    claude = Connection(connection_id="claude", provider="anthropic", base_url=here)
    gpt = Connection(connection_id="gpt", provider="openai", base_url=here)
    wrong = ModelSettings(options={"reasoning_effort": "low"})
    stop = ModelSettings(options={"stop_sequences": ["."]})
    agent = AgentDefinition(agent_id="critic", model="claude:m", settings=wrong)
    service = MemoryAgentService([agent], [claude, gpt])
    async with open_engine(catalog=service) as engine:
        await engine.create_session(NewSession(model="gpt:m", settings=wrong), session_id="s")
        of_agent = await refusal_of_turn(engine, "s", "critic")
        with pytest.raises(EngineError) as of_model:
            await engine.update_session("s", SessionChanges(model="claude:m"))
        with pytest.raises(EngineError) as of_settings:
            await engine.update_session("s", SessionChanges(settings=stop))
        await engine.update_session("s", SessionChanges(model="claude:m", settings=stop))

    for error, name in (
        (of_agent, "claude"),
        (of_model.value, "claude"),
        (of_settings.value, "gpt"),
    ):
        assert error.code is ErrorCode.INVALID_ARGUMENT
        assert " has no option " in str(error)
        assert str(error).endswith(f"(connection {name!r})")


async def test_a_running_turn_of_a_deleted_agent_goes_on_to_its_end() -> None:
    gate = Gate()
    model = ScriptedModel([(gate, *say("still here"))])
    async with open_engine(model_for=lambda _: model, catalog=MemoryAgentService([CRITIC])) as engine:
        await engine.create_session(session_id="s")
        task_id = await engine.submit_turn("s", "hello", executor_id="critic")
        await wait_all_tasks_blocked()
        await engine.delete_agent("critic")
        gate.open()

        outcome = await engine.wait_turn("s", task_id)

        assert outcome.status is SessionStatus.COMPLETED
        assert await engine.get_agents() == ()
        with pytest.raises(EngineError):
            await engine.submit_turn("s", "hello", executor_id="critic")


async def test_a_saved_connection_has_models_at_once_and_a_deleted_one_has_none() -> None:
    async with open_engine() as engine:
        await engine.create_session(session_id="other")
        await engine.create_session(session_id="s", model="offline:echo")
        await refusal_of_turn(engine, "s")

        await engine.save_connection(OFFLINE)
        assert await ask(engine, "s") is SessionStatus.COMPLETED

        await engine.delete_connection("offline")
        await engine.delete_connection("offline")
        with pytest.raises(EngineError) as caught:
            await engine.submit_turn("s", "hello")
        assert caught.value.details == {"kind": "model", "provider": "offline"}
        assert await ask(engine, "other") is SessionStatus.COMPLETED


async def test_a_connection_that_no_model_could_be_asked_over_is_refused() -> None:
    async with open_engine() as engine:
        with pytest.raises(EngineError) as caught:
            await engine.save_connection(Connection(connection_id="work", base_url="nowhere"))

        assert caught.value.code is ErrorCode.INVALID_ARGUMENT
        assert "(connection 'work')" in str(caught.value)
        assert await engine.get_connection("work") is None
        assert await engine.get_connections() == ()


async def test_the_models_are_built_once_however_many_chats_are_opened(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        async with open_engine(EngineSettings(max_loaded=5)) as engine:
            for number in range(20):
                await engine.create_session(session_id=f"s{number}")
                await ask(engine, f"s{number}")

    assert [record.getMessage() for record in caplog.records].count("provider registry built") == 1


async def test_agents_and_servers_survive_a_restart(tmp_path: Path) -> None:
    settings = EngineSettings(catalog=str(tmp_path / "catalog.json"))
    async with open_engine(settings) as engine:
        await engine.save_agent(CRITIC)
        await engine.save_mcp_server(FILES)
        await engine.save_connection(OFFLINE)

    async with open_engine(settings) as engine:
        assert await engine.get_agents() == (CRITIC,)
        assert await engine.get_mcp_servers() == (FILES,)
        assert await engine.get_connections() == (OFFLINE,)
        await engine.delete_mcp_server("files")

    async with open_engine(settings) as engine:
        assert await engine.get_mcp_servers() == ()


async def test_a_catalog_that_cannot_be_used_is_told_when_the_engine_opens_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "catalog.json"
    async with open_system() as system:
        for content, code in (
            ("{", ErrorCode.PERSISTENCE_FAILED),
            ('{"connections": [{"connection_id": "work"}]}', ErrorCode.INVALID_ARGUMENT),
            ('{"agents": [{"agent_id": "default"}]}', ErrorCode.INVALID_ARGUMENT),
        ):
            path.write_text(content)
            with pytest.raises(EngineError) as caught:
                async with open_engine(EngineSettings(catalog=str(path)), system=system):
                    pass
            assert caught.value.code is code
        assert system.names("") == ()

        async with open_engine(system=system) as engine:
            assert await engine.get_agents() == ()
        assert system.find("catalog") is None


async def test_what_is_no_service_is_told() -> None:
    with pytest.raises(EngineError) as caught:
        async with open_engine(catalog={"critic": CRITIC}):  # pyright: ignore[reportArgumentType] - a caller's mistake
            pass

    assert "is it an AgentService?" in str(caught.value)


async def test_a_change_is_said_once_until_nobody_wants_to_know() -> None:
    changes = Changes()
    async with open_engine() as engine:
        stop = await engine.on_catalog_change(changes)
        for _ in range(2):
            await engine.save_mcp_server(FILES)
        assert await changes.reached(2) == 2

        stop()
        stop()
        await engine.save_agent(CRITIC)
        await wait_all_tasks_blocked()

        assert changes.said == [CatalogChanged(mcp_servers=("files",))] * 2


def test_threads_use_it_as_well() -> None:
    with start_engine(catalog=MemoryAgentService([CRITIC])) as thread:
        thread.call(thread.engine.save_agent, KIND)
        assert thread.call(thread.engine.get_agents) == (KIND,)
        engine = thread.engine
    with pytest.raises(EngineError) as caught:
        thread.call(engine.get_agents)
    assert "closed" in str(caught.value)


async def test_what_is_of_the_wrong_type_is_refused_with_the_field() -> None:
    async with open_engine() as engine:
        with pytest.raises(EngineError) as caught:
            await engine.save_agent(AgentDefinition(agent_id=7))  # pyright: ignore[reportArgumentType] - a caller's mistake
        assert caught.value.code is ErrorCode.INVALID_ARGUMENT
        assert "agent_id" in str(caught.value)
        with pytest.raises(EngineError):
            await engine.save_connection("openai")  # pyright: ignore[reportArgumentType] - a caller's mistake
        with pytest.raises(EngineError):
            await engine.delete_agent(None)  # pyright: ignore[reportArgumentType] - a caller's mistake
        assert await engine.get_agents() == ()


async def test_every_command_asks_who_may() -> None:
    asked: list[str] = []

    def authorize(request: AccessRequest) -> bool:
        asked.append(request.action)
        return request.principal == "owner"

    async with open_engine(authorize=authorize) as engine:
        for call in (
            engine.get_agents(principal="x"),
            engine.save_agent(CRITIC, principal="x"),
            engine.delete_agent("a", principal="x"),
            engine.get_connections(principal="x"),
            engine.save_connection(OFFLINE, principal="x"),
            engine.delete_connection("a", principal="x"),
            engine.get_mcp_servers(principal="x"),
            engine.save_mcp_server(FILES, principal="x"),
            engine.delete_mcp_server("a", principal="x"),
            engine.on_catalog_change(print, principal="x"),
        ):
            with pytest.raises(EngineError) as caught:
                await call
            assert caught.value.code is ErrorCode.FORBIDDEN
        assert len(asked) == 10
        await engine.save_agent(CRITIC, principal="owner")


async def test_a_catalog_that_fails_comes_back_with_what_it_had() -> None:
    class Service(MemoryAgentService):
        inits = 0

        async def init(self) -> None:
            Service.inits += 1

    changes = Changes()
    async with open_system() as system, open_engine(system=system, catalog=Service([CRITIC])) as engine:
        await engine.on_catalog_change(changes)
        catalog = system.find("catalog")
        assert catalog is not None
        catalog.tell(object())  # which no actor understands
        await wait_all_tasks_blocked()

        assert await engine.get_agents() == (CRITIC,)
        await engine.save_agent(KIND)
        assert await engine.get_agents() == (KIND,)
        assert await changes.reached(1) == 1
    assert Service.inits == 1
