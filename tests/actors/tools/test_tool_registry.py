"""The tools of an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import pytest

from actors.errors import EngineError, ErrorCode
from actors.tools import Tool, ToolContext, ToolHealthReport, ToolProblem, ToolRegistry
from actors.tools.importable import ImportedFunction
from actors.tools.python_function import PythonFunction
from actors.tools.signature import Signature
from tests.actors.tools import misdeeds


async def say_hello(_: Mapping[str, object], __: ToolContext) -> str:
    return "hello"


def tool(
    name: str,
    parameters: Mapping[str, object] | None = None,
    find_problem: Callable[[], str] | None = None,
) -> Tool:
    return Tool(
        name=name,
        description="says hello",
        function=say_hello,
        parameters=parameters or {},
        find_problem=find_problem,
    )


def test_tools_are_found_by_name_and_kept_in_order() -> None:
    first, second, third = tool("first"), tool("second"), tool("third")
    tools = ToolRegistry([third, first])

    tools.register_tool(second)

    assert list(tools) == [first, second, third]
    assert len(tools) == 3
    assert tools.get_tool("second") is second
    assert tools.get_tool("Second") is None


def test_the_order_holds_while_tools_come_and_go() -> None:
    tools = ToolRegistry([tool("b"), tool("d")])
    seen: list[list[str]] = []
    for name in ("c", "a"):
        seen.append([one.name for one in tools])
        tools.register_tool(tool(name))
    seen.append([one.name for one in tools])
    for one in tools:  # also of what is being looked through
        tools.unregister_tool(one.name)
        seen.append([left.name for left in tools])

    assert seen == [
        ["b", "d"],
        ["b", "c", "d"],
        ["a", "b", "c", "d"],
        ["b", "c", "d"],
        ["c", "d"],
        ["d"],
        [],
    ]


def test_a_tool_that_was_unregistered_is_gone() -> None:
    tools = ToolRegistry([tool("first"), tool("second")])

    tools.unregister_tool("first")
    tools.unregister_tool("never known")

    assert [tool.name for tool in tools] == ["second"]


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


def test_the_health_of_tools_is_told_with_the_reasons() -> None:
    def fail() -> str:
        raise ValueError

    lost = ImportedFunction("no.such", "f", PythonFunction(misdeeds.shout, Signature(misdeeds.shout)))
    tools = ToolRegistry(
        [
            tool("fine", {"type": "object"}, find_problem=lambda: ""),
            tool("gone", find_problem=lambda: "its server is gone"),
            tool("unknown", find_problem=fail),
            tool("lost", find_problem=lost.find_problem),
            tool("loose", {"type": "array"}),
            misdeeds.count_words,
        ]
    )

    assert tools.check_tool_health() == ToolHealthReport(
        healthy=("count_words", "fine"),
        broken=(
            ToolProblem("gone", "its server is gone"),
            ToolProblem("lost", "no.such:f cannot be imported: ModuleNotFoundError: No module named 'no'"),
            ToolProblem("unknown", "its health cannot be told: ValueError"),
        ),
        unchecked=(ToolProblem("loose", "the schema is of 'array'; arguments are an object"),),
    )
