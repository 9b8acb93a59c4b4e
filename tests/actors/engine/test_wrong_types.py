"""What is of the wrong type is refused at the border, where no actor fails of it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from trio.testing import wait_all_tasks_blocked

from actors.agents import AgentDefinition
from actors.engine import Engine, open_engine
from actors.errors import EngineError, ErrorCode
from actors.governor import RetryPolicy
from actors.model_settings import ModelSettings
from actors.models.scripted import Hang, ScriptedModel
from actors.session.protocol import Cursor
from actors.settings import EngineSettings

WRONG: dict[str, Callable[[Any], Awaitable[object]]] = {
    "a text that is a number": lambda engine: engine.submit_turn("s", 5),
    "a text that is bytes": lambda engine: engine.submit_turn("s", b"x"),
    "a text that is nothing": lambda engine: engine.submit_turn("s", None),
    "attachments that are names": lambda engine: engine.submit_turn("s", "x", attachments=("a.txt",)),
    "attachments that are nothing": lambda engine: engine.submit_turn("s", "x", attachments=None),
    "images that are a number": lambda engine: engine.submit_turn("s", "x", images=5),
    "references that are a text": lambda engine: engine.submit_turn("s", "x", references="abc"),
    "calls that are a text": lambda engine: engine.cancel_tool_calls("s", "c1"),
    "calls that are a number": lambda engine: engine.cancel_tool_calls("s", 5),
    "half a surrogate pair for a number": lambda engine: engine.submit_turn("s", "x", priority="\ud800"),
    "half a surrogate pair for an agent": lambda engine: engine.save_agent("\ud800"),
    "a busy policy that there is not": lambda engine: engine.submit_turn("s", "x", on_busy="bogus"),
    "a priority in words": lambda engine: engine.submit_turn("s", "x", priority="high"),
    "a request id that is a number": lambda engine: engine.submit_turn("s", "x", request_id=5),
    "an executor that is an object": lambda engine: engine.submit_turn("s", "x", executor_id=object()),
    "a principal that is nothing": lambda engine: engine.submit_turn("s", "x", principal=None),
    "changes that are a dictionary": lambda engine: engine.update_session("s", {"title": "x"}),
    "input data that is a list": lambda engine: engine.rerun("s", ["x"]),
    "a limit in words": lambda engine: engine.set_max_concurrent("3"),
    "a limit that is nothing": lambda engine: engine.set_max_concurrent(None),
    "a page in words": lambda engine: engine.page("s", skip="1"),
    "an approval in words": lambda engine: engine.confirm_tool_call("s", "c", "perhaps"),
    "a session id that is a number": lambda engine: engine.snapshot(5),
    "a new session's id that is a number": lambda engine: engine.create_session(session_id=5),
    "a title that is a number": lambda engine: engine.create_session(title=5),
    "a new session that is a dictionary": lambda engine: engine.create_session({"title": "x"}),
    "a cursor in words": lambda engine: engine.subscribe("s", "nobody", Cursor(1, cast("int", "3"))),
    "a cursor that is a number": lambda engine: engine.subscribe("s", "nobody", 5),
}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"tools": 5}, "tools"),
        ({"tools": None}, "tools"),
        ({"tools": "abc"}, "tools"),
        ({"tools": [print]}, "tools"),
        ({"mcp_servers": 5}, "mcp_servers"),
        ({"mcp_servers": ["files"]}, "mcp_servers"),
        ({"settings": "store.db"}, "EngineSettings"),
        ({"settings": {}}, "EngineSettings"),
    ],
)
async def test_an_option_of_the_wrong_type_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(EngineError, match=named) as refusal:
        async with open_engine(**options):
            pass
    assert refusal.value.code is ErrorCode.INVALID_ARGUMENT


def test_a_retry_policy_in_words_is_refused() -> None:
    with pytest.raises(EngineError, match="max_attempts must be at least 1, not '3'"):
        RetryPolicy(max_attempts=cast("int", "3"))


@pytest.mark.parametrize(
    "settings",
    [
        {"max_concurrent": "3"},
        {"max_concurrent": 2.5},
        {"api_keys": 5},
        {"api_keys": {"openai": 5}},
        {"catalog": 5},
        {"retry": None},
        {"image_mode": "x-rays"},
        {"project_roots": "folder"},
    ],
    ids=str,
)
def test_a_setting_of_the_wrong_type_is_named(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(EngineError, match=f"{name} cannot be set to that") as refusal:
        EngineSettings(**settings)
    assert refusal.value.code is ErrorCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "settings", [ModelSettings(temperature=math.nan), ModelSettings(max_output_tokens=0)]
)
async def test_an_agent_that_no_model_could_be_asked_for_is_not_saved(settings: ModelSettings) -> None:
    async with open_engine() as engine:
        with pytest.raises(EngineError, match="critic") as refusal:
            await engine.save_agent(AgentDefinition(agent_id="critic", settings=settings))
        assert refusal.value.code is ErrorCode.INVALID_ARGUMENT
        assert await engine.get_agents() == ()
        assert await engine.get_agent_config(cast("str", ["critic"])) is None
        assert await engine.get_connection(cast("str", {})) is None


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG.keys())
async def test_a_value_of_the_wrong_type_is_refused_and_the_running_turn_goes_on(
    call: Callable[[Engine], Awaitable[object]],
) -> None:
    async with open_engine(model_for=lambda _: ScriptedModel([(Hang(),)])) as engine:
        await engine.create_session(session_id="s")
        task_id = await engine.submit_turn("s", "hello")
        await wait_all_tasks_blocked()
        with pytest.raises(EngineError) as refusal:
            await call(engine)
        assert refusal.value.code is ErrorCode.INVALID_ARGUMENT
        snapshot = await engine.snapshot("s")
        assert snapshot.record.task is not None
        assert snapshot.record.task.task_id == task_id
        statistics = await engine.statistics()
        assert (statistics.registry.crashes, statistics.registry.loads) == (0, 1)
