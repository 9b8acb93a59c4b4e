"""The arguments of a tool call, as a model wrote them: whether the tool can take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from actors.tools.tool import Tool

__all__ = ["MOST_ARGUMENT_BYTES", "wrong_arguments"]

MOST_ARGUMENT_BYTES = 1_000_000
"""A call with longer arguments is refused."""

_DEEPEST = 64
"""So many arrays and objects may stand in each other."""

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
        if arguments.count("{") + arguments.count("[") > _DEEPEST and _is_deep(decoded):
            return _TOO_DEEP
        errors = tool.schema.find_errors(decoded) if tool.check is None else _checked(tool.check, decoded)
    except (msgspec.DecodeError, UnicodeError) as error:
        return f"The arguments are not a JSON object: {error}."
    except RecursionError:
        return _TOO_DEEP
    if not errors:
        return ""
    return f"The arguments do not fit the schema of {tool.name!r}. {'; '.join(errors)}."


def _checked(
    check: Callable[[Mapping[str, object]], str], arguments: Mapping[str, object]
) -> tuple[str, ...]:
    try:
        error = check(arguments)
    except RecursionError:
        raise
    except Exception as failure:  # noqa: BLE001 - translation edge: foreign code, as in a `__post_init__`
        error = f"they cannot be checked: {type(failure).__name__}"
    return (error,) if error else ()


def _is_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(_DEEPEST):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below += item.values()
            elif isinstance(item, list):
                below += item
        if not below:
            return False
        level = below
    return any(isinstance(item, dict | list) for item in level)
