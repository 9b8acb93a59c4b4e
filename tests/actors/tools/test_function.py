"""Tools from Python functions: the schema, the arguments, the result, and what is refused."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.conversation import ToolStatus
from actors.tools import Tool, ToolContext, ToolKind, tool, wrong_arguments
from actors.tools.python_function import PythonFunction
from actors.tools.schema import ArgumentsSchema
from actors.tools.signature import Signature
from tests.actors.tools import misdeeds
from tests.actors.tools.stage import call_tool, context_of, open_runner


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    y: int = 0


class Size(msgspec.Struct, frozen=True):
    width: Annotated[float, msgspec.Meta(ge=0)]


class Options(TypedDict, total=False):
    depth: int


Limit = Annotated[int, msgspec.Meta(ge=1, le=100, description="from the type")]


@tool
def search(
    query: str,
    context: ToolContext,
    limit: Limit = 10,
    kind: Literal["text", "name"] = "text",
    *,
    folder: Path = Path(),
    tags: list[str] = ["all"],  # noqa: B006 - what is tested
    centre: Point | None = None,
    options: Options = {},  # noqa: B006 - what is tested
) -> str:
    """Search for a text.

    In all folders.

    Args:
        query: what to look
            for
        limit: not this
        folder (Path): where to look

    Returns:
        What was found.
    """
    tags.append(query)
    return f"{context.session_id} {limit} {kind} {folder} {tags} {centre} {options}"


def schema_of(function: Callable[..., object]) -> Any:
    return tool(function).parameters


def test_name_and_description_are_the_functions() -> None:
    assert search.name == "search"
    assert search.description == "Search for a text.\n\nIn all folders."
    assert tool(name="find", description="Finds.")(misdeeds.shout).name == "find"


def test_the_schema_is_that_of_the_type_hints() -> None:
    schema: Any = search.parameters

    assert schema["required"] == ["query"]
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == [
        *("query", "limit", "kind", "folder", "tags", "centre", "options"),
    ]
    assert schema["properties"]["query"] == {"type": "string", "description": "what to look\nfor"}
    assert schema["properties"]["limit"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 100,
        "default": 10,
        "description": "from the type",
    }
    assert schema["properties"]["folder"] == {"type": "string", "description": "where to look"}
    assert set(schema["$defs"]) == {"Point", "Options"}
    assert search.schema.problem == ""


def numpy_style(query: str) -> None:
    """Search.

    Parameters
    ----------
    query : str
        what to look for
    """


def sphinx_style(query: str) -> None:
    """Search.

    :param query: what to look for
    """


def google_style(query: str) -> None:
    """Search.

    Args:
        query: what to look for
    """


@pytest.mark.parametrize("function", [numpy_style, sphinx_style, google_style])
def test_parameters_are_described_in_any_of_the_usual_styles(function: Callable[..., object]) -> None:
    assert schema_of(function)["properties"]["query"]["description"] == "what to look for"
    assert tool(function).description == "Search."


def undescribed() -> None: ...


def test_a_function_without_a_docstring_or_parameters_is_a_tool() -> None:
    made = tool(undescribed)

    assert made.description == ""
    assert made.parameters == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }


async def test_defaults_are_pythons_and_no_call_changes_those_of_the_next() -> None:
    async with open_runner() as runner:
        first = await call_tool(runner, search, query="a")
        second = await call_tool(runner, search, query="b", centre={"x": 1}, folder="c")

    assert first.output == "s 10 text . ['all', 'a'] None {}"
    assert second.output == "s 10 text c ['all', 'b'] Point(x=1, y=0) {}"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("{}", "missing required field `query`"),
        ('{"query": "a", "limit": "3"}', "Expected `int`, got `str` - at `$.limit`"),
        ('{"query": "a", "limit": 0}', "Expected `int` >= 1 - at `$.limit`"),
        ('{"query": "a", "kind": "size"}', "Invalid enum value 'size' - at `$.kind`"),
        ('{"query": "a", "folder": 3}', "Expected `str`, got `int` - at `$.folder`"),
        ('{"query": "a", "centre": {"y": 1}}', "missing required field `x` - at `$.centre`"),
        ('{"query": "a", "context": {}}', "unknown field `context`"),
    ],
)
def test_arguments_are_taken_strictly_and_the_model_is_told_so(arguments: str, reason: str) -> None:
    assert reason in wrong_arguments(search, arguments)


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert wrong_arguments(search, '{"query": "a", "limit": 3.0, "centre": {"x": -2e3}}') == ""
    assert "got `float`" in wrong_arguments(search, '{"query": "a", "limit": 3.5}')


@tool(runs="async", read_only=True, needs_confirmation=True, group="files", timeout_seconds=5)
async def wait(
    colour: Colour, when: date, sizes: dict[int, Size], anything: Any = None
) -> dict[str, object]:
    return {"colour": colour, "when": when, "sizes": sizes, "anything": anything, "at": Path("/a")}


async def test_results_that_are_no_text_are_json() -> None:
    async with open_runner() as runner:
        outcome = await call_tool(
            runner, wait, colour="red", when="2026-01-02", sizes={"5": {"width": 1.5}}, anything=[1]
        )
        nothing = await call_tool(runner, tool(undescribed))

    assert msgspec.json.decode(outcome.output) == {
        "colour": "red",
        "when": "2026-01-02",
        "sizes": {"5": {"width": 1.5}},
        "anything": [1],
        "at": "/a",
    }
    assert nothing.output == "done"


def return_an_object() -> object:
    return object()


async def test_a_result_that_has_no_form_in_json_is_a_failed_call() -> None:
    async with open_runner() as runner:
        outcome = await call_tool(runner, tool(return_an_object))

    assert outcome.status is ToolStatus.FAILED
    assert outcome.output.startswith("The tool returned 'object', which is neither text nor JSON")


def test_options_are_the_tools() -> None:
    assert (wait.runs, wait.read_only, wait.needs_confirmation) == (ToolKind.ASYNC, True, True)
    assert (wait.group, wait.timeout_seconds) == ("files", 5)
    assert search.runs is ToolKind.THREAD
    assert misdeeds.count_words.runs is ToolKind.PROCESS


# --- schemas and arguments agree ----------------------------------------------------------------------

HINTS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "text": (str, st.text(max_size=5)),
    "number": (int, st.integers()),
    "share": (float, st.floats(allow_nan=False, allow_infinity=False)),
    "flag": (bool, st.booleans()),
    "maybe": (str | None, st.none() | st.text(max_size=5)),
    "some": (list[int], st.lists(st.integers(), max_size=3)),
    "pair": (tuple[int, str], st.tuples(st.integers(), st.text(max_size=5)).map(list)),
    "choice": (Literal["a", "b"], st.sampled_from(["a", "b"])),
    "colour": (Colour, st.sampled_from(["red", "blue"])),
    "point": (Point, st.fixed_dictionaries({"x": st.integers()}, optional={"y": st.integers()})),
    "size": (Size, st.fixed_dictionaries({"width": st.floats(min_value=0, max_value=1e9)})),
    "options": (Options, st.fixed_dictionaries({}, optional={"depth": st.integers()})),
    "by_name": (
        dict[str, list[Size]],
        st.dictionaries(
            st.text(max_size=3), st.just([{"width": 1.0}]) | st.just(list[object]()), max_size=2
        ),
    ),
}
names = st.lists(st.sampled_from(sorted(HINTS)), unique=True, max_size=5)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["x", "width"]), inner),
    max_leaves=4,
)


def function_of(parameters: Mapping[str, Any]) -> Callable[..., object]:
    def function(**arguments: object) -> dict[str, object]:
        return arguments

    declared: Any = function
    declared.__annotations__ = dict(parameters)
    declared.__signature__ = inspect.Signature(
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in parameters]
    )
    return function


@given(st.data())
def test_arguments_of_the_right_types_fit_and_arrive_as_they_were(data: st.DataObject) -> None:
    chosen = data.draw(names)
    function = function_of({name: HINTS[name][0] for name in chosen})
    arguments = {name: data.draw(HINTS[name][1]) for name in chosen}
    made = tool(function)

    assert wrong_arguments(made, msgspec.json.encode(arguments).decode()) == ""
    assert ArgumentsSchema(made.parameters).find_errors(arguments) == ()
    arrived = msgspec.json.decode(
        PythonFunction(function, Signature(function)).call(arguments, context_of())
    )
    for name, value in arguments.items():
        if name not in ("point", "share"):  # a default that was left out; 1.0 and 1
            assert arrived[name] == value


@given(st.data())
def test_what_the_schema_refuses_the_function_refuses_and_the_other_way_round(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(HINTS)))
    made: Tool = tool(function_of({name: HINTS[name][0]}))
    arguments = {name: data.draw(anything)}

    refused = wrong_arguments(made, msgspec.json.encode(arguments).decode())
    assert bool(refused) is bool(ArgumentsSchema(made.parameters).find_errors(arguments)), refused
