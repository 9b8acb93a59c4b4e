"""The tools of an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import pytest

from actors.errors import EngineError, ErrorCode
from actors.tools import Tool, ToolRegistry


async def say_hello(_: Mapping[str, object], __: Callable[[str], None]) -> str:
    return "hello"


def tool(name: str, parameters: Mapping[str, object] | None = None) -> Tool:
    return Tool(name=name, description="says hello", function=say_hello, parameters=parameters or {})


def test_tools_are_found_by_name_and_kept_in_order() -> None:
    first, second = tool("first"), tool("second")
    tools = ToolRegistry([first, second])

    assert list(tools) == [first, second]
    assert len(tools) == 2
    assert tools.find("second") is second
    assert tools.find("Second") is None
    assert [definition.name for definition in tools.definitions] == ["first", "second"]


def test_two_tools_of_one_name_are_refused_by_that_name() -> None:
    with pytest.raises(EngineError, match="'same'") as caught:
        ToolRegistry([tool("same"), tool("same")])

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "schema", [{"type": "object", "properties": {"path": {"type": "string"}}}, dict[str, object]()]
)
def test_a_model_is_told_the_schema_of_an_object_also_where_there_is_none(
    schema: dict[str, object],
) -> None:
    told = msgspec.json.decode(tool("t", schema).definition.parameters, type=dict[str, object])

    assert told == (schema or {"type": "object", "properties": {}})
