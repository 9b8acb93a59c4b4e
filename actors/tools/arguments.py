"""The arguments of a tool call, as a model wrote them: whether the tool can take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec

from actors.tools.tool import Tool

__all__ = ["MOST_ARGUMENT_BYTES", "wrong_arguments"]

MOST_ARGUMENT_BYTES = 1_000_000
"""A call with longer arguments is refused."""

_DEEPEST = 64
"""So many arrays and objects may stand in each other."""

_MOST_VALUES = 5_000
"""So many may be checked against a JSON schema: ten microseconds each, or more."""

_TOO_DEEP = f"The arguments are nested too deeply: at most {_DEEPEST} arrays and objects in each other."


def wrong_arguments(tool: Tool, arguments: str) -> str:
    """Why the tool cannot be called with these arguments, for the model to read; "" if it can.

    Answers at once, and never raises. No text at all is an empty object: so models write that there are no
    arguments. A tool whose schema cannot be used is told everything that is a JSON object.
    """
    if len(arguments) > MOST_ARGUMENT_BYTES:
        return (
            f"The arguments are too long: {len(arguments)} characters; {MOST_ARGUMENT_BYTES} are the most."
            " Write less at a time."
        )
    try:
        decoded = msgspec.json.decode(arguments or "{}", type=dict[str, object])
        depth, values = _shape_of(arguments, decoded)
        if depth > _DEEPEST:
            return _TOO_DEEP
        if tool.check is None and values > _MOST_VALUES:
            return f"The arguments hold {values} values; {_MOST_VALUES} are the most. Write less at a time."
        error = _find_error(tool, decoded)
    except (msgspec.DecodeError, UnicodeError) as error:
        return f"The arguments are not a JSON object: {error}."
    except RecursionError:
        return _TOO_DEEP
    return f"The arguments do not fit the schema of {tool.name!r}. {error}." if error else ""


def _find_error(tool: Tool, arguments: Mapping[str, object]) -> str:
    try:
        if tool.check is not None:
            return tool.check(arguments)
        return "; ".join(tool.schema.find_errors(arguments))
    except RecursionError:
        raise
    except Exception as error:  # noqa: BLE001 - translation edge: foreign schemas, and a `__post_init__`
        return f"They cannot be checked: {type(error).__name__}"


def _shape_of(text: str, decoded: object) -> tuple[int, int]:
    """How deep it is, and how many values it holds; (0, 0) where its text shows that it is small."""
    if text.count("{") + text.count("[") <= _DEEPEST and text.count(",") < _MOST_VALUES:
        return 0, 0
    depth = values = 0
    level: list[object] = [decoded]
    while level and depth <= _DEEPEST:
        below: list[object] = []
        nested = False
        for item in level:
            if isinstance(item, dict):
                below += cast("dict[str, object]", item).values()
                nested = True
            elif isinstance(item, list):
                below += cast("list[object]", item)
                nested = True
        depth += nested
        values += len(below)
        level = below
    return depth, values
