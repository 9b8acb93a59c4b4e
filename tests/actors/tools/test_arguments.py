"""The arguments of a call are checked before it runs, quickly and whatever they are."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.tools import Tool, ToolContext, wrong_arguments
from actors.tools.schema import ArgumentsSchema

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYWORDS = [
    *("type", "properties", "items", "anyOf", "allOf", "not", "enum", "const", "required", "$ref", "$id"),
    *(
        "pattern",
        "patternProperties",
        "additionalProperties",
        "$defs",
        "$schema",
        "minimum",
        "format",
        "if",
    ),
]
schemas = st.recursive(
    json_values | st.sampled_from(["object", "string", "#", "#/$defs/a", "http://localhost:1/x", "("]),
    lambda inner: (
        st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=4) | st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)


async def do_nothing(_: Mapping[str, object], __: ToolContext) -> str:
    return ""


def tool(parameters: Mapping[str, object], origin: str = "") -> Tool:
    return Tool(name="find", description="", function=do_nothing, parameters=parameters, origin=origin)


SEARCH = tool(
    {
        "type": "object",
        "properties": {
            "query": {"type": "string"},
            "limit": {"type": "integer", "minimum": 1},
            "where": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        },
        "required": ["query"],
        "additionalProperties": False,
    }
)


@pytest.mark.parametrize(
    "arguments",
    ['{"query": "a"}', '{"query": "a", "limit": 1, "where": ["b"]}', '\n{"query": "\\ud83d\\ude00"}'],
)
def test_arguments_that_fit_are_fine(arguments: str) -> None:
    assert wrong_arguments(SEARCH, arguments) == ""


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("", "'query' is a required property"),
        ('{"query": "a", "limit": "3"}', "$.limit: '3' is not of type 'integer'"),
        ('{"query": "a", "limit": 0}', "$.limit: 0 is less than the minimum of 1"),
        ('{"query": "a", "where": ["b", 1]}', "$.where[1]: 1 is not of type 'string'"),
        ('{"query": "a", "site": "b"}', "'site' was unexpected"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        ('{"query": ', "not a JSON object"),
        ("{'query': 'a'}", "not a JSON object"),
        ('{"query": "\\ud83d"}', "not a JSON object"),
    ],
)
def test_the_model_is_told_what_does_not_fit_and_where(arguments: str, reason: str) -> None:
    assert reason in wrong_arguments(SEARCH, arguments)


def test_no_text_is_an_empty_object() -> None:
    assert wrong_arguments(tool({}), "") == ""


@pytest.mark.parametrize("depth", [65, 1000, 100_000])
@pytest.mark.parametrize("parameters", [{}, {"properties": {"a": {"$ref": "#/properties/a"}}}])
def test_arguments_that_are_nested_too_deeply_are_refused(
    depth: int, parameters: Mapping[str, object]
) -> None:
    arguments = '{"a": ' + "[" * depth + "]" * depth + "}"

    assert wrong_arguments(tool(parameters), arguments).startswith("The arguments are nested too deeply")


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert wrong_arguments(tool({}), '{"a": [' + "[]," * 1000 + "[]]}") == ""


def test_more_values_than_can_be_checked_quickly_are_refused() -> None:
    arguments = '{"a": [' + "1," * 5_000 + "1]}"

    assert "hold 5002 values; 5000 are the most" in wrong_arguments(tool({}), arguments)
    assert wrong_arguments(tool({}), '{"a": "' + "1," * 5_000 + '"}') == ""


def test_a_schema_that_means_endless_work_refuses_in_time() -> None:
    doubled = {
        f"level {n}": {"anyOf": [{"$ref": f"#/$defs/level {n + 1}"}, {"$ref": f"#/$defs/level {n + 1}"}]}
        for n in range(60)
    }
    endless = tool(
        {
            "properties": {"a": {"$ref": "#/$defs/level 0"}},
            "$defs": {**doubled, "level 60": {"type": "string"}},
        }
    )

    assert endless.schema.problem == ""
    assert "They cannot be checked: OverflowError" in wrong_arguments(endless, '{"a": 1}')
    assert wrong_arguments(endless, '{"a": "b"}') == ""


def test_arguments_that_are_too_long_are_refused_unread() -> None:
    arguments = '{"query": "' + "a" * 10_000_000 + '"}'

    assert "too long: 10000013 characters" in wrong_arguments(SEARCH, arguments)


def test_what_is_said_of_a_long_value_is_short() -> None:
    assert len(wrong_arguments(SEARCH, '{"query": ["' + "a" * 100_000 + '"]}')) < 1000


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        (
            {"$ref": "http://127.0.0.1:1/schema"},
            "refers to 'http://127.0.0.1:1/schema', which is not in it",
        ),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "refers to '#/$defs/none', which is not in it"),
        ({"properties": {"a": {"type": "text"}}}, "the schema is wrong at $.properties.a.type"),
        ({"properties": {"a": {"pattern": "("}}}, "the schema is wrong at $.properties.a.pattern"),
        ({"type": "array"}, "the schema is of 'array'; arguments are an object"),
        ({"$schema": 5}, "the schema cannot be read"),
        ({"default": object()}, "the schema cannot be read"),
    ],
)
def test_a_schema_that_cannot_be_used_is_told_and_lets_everything_pass(
    parameters: Mapping[str, object], reason: str
) -> None:
    unusable = tool(parameters)

    assert reason in unusable.schema.problem
    assert wrong_arguments(unusable, '{"a": 5}') == ""
    assert wrong_arguments(unusable, "5") != ""


def test_a_schema_that_refers_to_itself_refuses_instead_of_failing() -> None:
    endless = tool({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"$ref": "#/$defs/a"}}})

    assert wrong_arguments(endless, '{"a": 1}') != ""
    assert wrong_arguments(endless, "{}") == ""


def test_an_older_draft_is_read_as_what_it_says_it_is() -> None:
    older = tool(
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "properties": {"a": {"$ref": "#/definitions/number"}},
            "definitions": {"number": {"type": "number"}},
        }
    )

    assert wrong_arguments(older, '{"a": "b"}') != ""
    assert wrong_arguments(older, '{"a": 1.5}') == ""


def test_regular_expressions_from_elsewhere_are_not_tried() -> None:
    parameters = {
        "properties": {"a": {"pattern": "^(a+)+$"}, "b": {"type": "integer"}},
        "patternProperties": {"^(x+)+$": {"type": "integer"}},
        "additionalProperties": False,
    }
    endless = f'{{"a": "{"a" * 60}!", "{"x" * 60}!": 1}}'

    foreign = tool(parameters, origin="server")
    assert wrong_arguments(foreign, endless) == ""
    assert wrong_arguments(foreign, '{"b": "c"}') != ""
    assert "does not match" in wrong_arguments(tool(parameters), '{"a": "b"}')


def test_a_check_of_its_own_that_fails_refuses() -> None:
    def fail(_: Mapping[str, object]) -> str:
        raise ZeroDivisionError

    checked = msgspec.structs.replace(SEARCH, check=fail)

    assert "They cannot be checked: ZeroDivisionError" in wrong_arguments(checked, "{}")


@given(st.text() | json_values.map(lambda value: msgspec.json.encode(value).decode()), st.booleans())
def test_no_arguments_raise(arguments: str, trusted: bool) -> None:
    wrong_arguments(tool(SEARCH.parameters, "" if trusted else "server"), arguments)


@given(st.dictionaries(st.sampled_from(KEYWORDS), schemas, max_size=5), json_values, st.booleans())
def test_no_schema_raises(schema: dict[str, object], value: object, trusted: bool) -> None:
    made = ArgumentsSchema(schema, trusted=trusted)

    assert isinstance(made.problem, str)
    arguments = msgspec.json.encode({"a": value, "properties": value}).decode()
    wrong_arguments(tool(schema, "" if trusted else "server"), arguments)
