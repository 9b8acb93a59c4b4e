"""The registry's facade shows what the engine knows, and passes on what is done."""

from __future__ import annotations

import functools
from queue import SimpleQueue

import pytest
from trio.testing import wait_all_tasks_blocked

from actors.agents import AgentDefinition
from actors.catalog import MemoryAgentService
from actors.conversation import Text, TextPart
from actors.engine import open_engine, start_engine
from actors.errors import EngineError, ErrorCode
from actors.events import (
    Event,
    GlobalEvent,
    Lagged,
    PoolStatusChanged,
    SessionRegistered,
    SessionStatusChanged,
    SessionUnreadUpdated,
    SessionUnregistered,
    TaskFinished,
)
from actors.facades import SessionRegistry
from actors.models.base import ModelRequest
from actors.models.scripted import Hang, Say, Script, ScriptedModel, echo
from actors.records import SessionStatus
from actors.settings import EngineSettings


def _play(request: ModelRequest) -> Script:
    if request.messages[-1].content == Text("hang"):
        return (Say((TextPart("begun"),)), Hang())
    return echo(request)


async def test_two_registries_of_one_engine_show_the_same() -> None:
    async with open_engine(model_for=lambda _: ScriptedModel(otherwise=_play)) as engine:
        one, two = SessionRegistry(engine), SessionRegistry(engine)
        for session_id in ("a", "b", "c"):
            await engine.create_session(session_id=session_id)
            assert (await one.register_session(session_id)).status is SessionStatus.IDLE
        task_id = await one.submit_task("a", "hang")
        await one.submit_task("b", "hello", priority=10)
        await wait_all_tasks_blocked()
        runtime = await two.get_session_runtime("a")
        assert runtime is not None
        assert runtime.task_id == task_id
        assert [known.session_id for known in await two.get_running_sessions()] == ["a"]
        assert [known.session_id for known in await two.get_unread_sessions()] == ["b"]
        assert {known.session_id for known in await two.get_all_sessions()} == {"a", "b", "c"}
        assert (await two.get_pool_status()).running == 1
        await two.set_active_session("b")
        assert await one.get_active_session_id() == "b"
        assert await one.get_unread_sessions() == ()
        await two.abort_session("a")
        await engine.wait_turn("a", task_id)
        assert await one.get_running_sessions() == ()
        assert await one.get_session_runtime("nobody") is None
        estimate = await one.get_memory_estimate()
        assert estimate.sessions == 3
        report = await one.debug()
        for label in ("Initialized", "Registered Sessions", "Active Session", "Max Concurrent"):
            assert label in report


async def test_a_retry_may_use_another_agent() -> None:
    models = {"scripted:one": ScriptedModel(), "scripted:two": ScriptedModel()}
    agent = AgentDefinition(agent_id="b", model="scripted:two", system_prompt="You are b.")
    settings = EngineSettings(model="scripted:one")
    catalog = MemoryAgentService([agent])
    async with open_engine(settings, model_for=models.__getitem__, catalog=catalog) as engine:
        registry = SessionRegistry(engine)
        await engine.create_session(session_id="a")
        await engine.wait_turn("a", await registry.submit_task("a", "hello"))
        _, answer = await registry.get_session_messages("a")
        task_id = await registry.retry_generation("a", answer.id, agent_id="b")
        await engine.wait_turn("a", task_id)
        (request,) = models["scripted:two"].requests
        assert request.system_prompt == "You are b."
        _, second = await registry.get_session_messages("a")
        assert (second.sibling_index, second.sibling_count) == (1, 2)
        with pytest.raises(EngineError) as refusal:
            await registry.submit_task("a", "hello", executor_id="nobody")
        assert refusal.value.code is ErrorCode.EXECUTOR_NOT_FOUND
        assert refusal.value.details == {"kind": "agent"}


def test_handlers_hear_of_all_sessions_and_of_one() -> None:
    globally: SimpleQueue[GlobalEvent | Lagged] = SimpleQueue()
    of_one: SimpleQueue[Event | Lagged] = SimpleQueue()
    with start_engine(model_for=lambda _: ScriptedModel()) as thread:
        engine = thread.engine
        registry = SessionRegistry(engine)
        stop = thread.call(registry.on_global_event, globally.put)
        for session_id in ("a", "b"):
            thread.call(functools.partial(engine.create_session, session_id=session_id))
        stop_one = thread.call(registry.on_session_event, "a", of_one.put)
        for session_id in ("a", "b"):
            thread.call(engine.run_turn, session_id, "hello")
        thread.call(registry.unregister_session, "b")
        kinds: set[tuple[str | None, type[object]]] = set()
        last = ("b", SessionUnregistered)
        while last not in kinds:
            event = globally.get(timeout=30)
            assert isinstance(event, GlobalEvent)
            kinds.add((event.session_id, type(event.body)))
        for session_id in ("a", "b"):
            assert (session_id, SessionRegistered) in kinds
            assert (session_id, SessionStatusChanged) in kinds
            assert (session_id, SessionUnreadUpdated) in kinds
        assert (None, PoolStatusChanged) in kinds
        body = None
        while not isinstance(body, TaskFinished):
            event = of_one.get(timeout=30)
            assert isinstance(event, Event)
            assert event.session_id == "a"
            body = event.body
        for unsubscribe in (stop, stop_one, stop, stop_one):
            unsubscribe()
