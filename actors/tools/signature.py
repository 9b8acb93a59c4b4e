"""What a Python function says of itself as a tool: its arguments as a schema, and its docstring."""

from __future__ import annotations

import copy
import inspect
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import docstring_parser
import msgspec

from actors.errors import EngineError, ErrorCode
from actors.tools.tool import ToolContext

__all__ = ["Signature", "wrong_declaration"]

_REFERENCE = "#/$defs/{name}"


class Signature:
    """The parameters of a function, read once.

    `schema` is the JSON schema of the arguments, `description` what the docstring says before its sections.

    Raises:
        EngineError: `INVALID_ARGUMENT` for a function that no model could call; names the parameter.
    """

    __slots__ = ("_arguments", "_context", "_names", "description", "schema")

    def __init__(self, function: Callable[..., object]) -> None:
        hints = _hints_of(function)
        self._context = ""
        fields: list[tuple[str, type, Any]] = []
        for parameter in inspect.signature(function).parameters.values():
            hint = _hint_of(function, parameter, hints)
            if hint is ToolContext:
                if self._context:
                    raise wrong_declaration(function, "has two parameters for the ToolContext: keep one")
                self._context = parameter.name
            else:
                fields.append((parameter.name, hint, _field_of(parameter)))
        self._names = tuple(name for name, _, _ in fields)
        name = f"{getattr(function, '__name__', 'tool')}_arguments"
        # Those without a default may come after others: a model names them all.
        self._arguments = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
        self.description, parameters = _documented(function)
        self.schema = _schema_of(self._arguments, parameters)

    def find_error(self, arguments: Mapping[str, object]) -> str:
        """What is wrong with these arguments, or ""."""
        try:
            self._converted(arguments)
        except msgspec.ValidationError as error:
            return str(error)
        return ""

    def bind(self, arguments: Mapping[str, object], context: ToolContext) -> dict[str, object]:
        """The keyword arguments to call the function with.

        Raises:
            msgspec.ValidationError: they do not fit.
        """
        converted = self._converted(arguments)
        bound: dict[str, object] = {name: getattr(converted, name) for name in self._names}
        if self._context:
            bound[self._context] = context
        return bound

    def _converted(self, arguments: Mapping[str, object]) -> msgspec.Struct:
        try:
            return msgspec.convert(arguments, self._arguments, str_keys=True, dec_hook=_decoded)
        except msgspec.ValidationError:
            # Seldom: is it only how a number is written?
            whole = _with_whole_numbers(arguments)
            return msgspec.convert(whole, self._arguments, str_keys=True, dec_hook=_decoded)


def wrong_declaration(function: Callable[..., object], problem: str) -> EngineError:
    name = getattr(function, "__qualname__", repr(function))
    return EngineError(ErrorCode.INVALID_ARGUMENT, f"{name}() cannot be a tool: it {problem}")


def _hints_of(function: Callable[..., object]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise wrong_declaration(
            function,
            f"has an annotation that cannot be read: {error}. Define and import its types where the module"
            " is run, neither in a function nor under TYPE_CHECKING",
        ) from error


def _hint_of(function: Callable[..., object], parameter: inspect.Parameter, hints: dict[str, Any]) -> Any:
    name = parameter.name
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
        raise wrong_declaration(function, f"takes {stars}{name}: give each argument a name and a type")
    if parameter.kind is parameter.POSITIONAL_ONLY:
        raise wrong_declaration(function, f"takes {name!r} by position only: a model gives it by name")
    if name not in hints:
        raise wrong_declaration(
            function, f"has no type for the parameter {name!r}: write one, as in `{name}: str`"
        )
    hint = hints[name]
    if hint is not ToolContext:
        try:
            msgspec.json.schema_components([hint], schema_hook=_schema_of_other)
            msgspec.json.Decoder(hint, dec_hook=_decoded)
        except Exception as error:  # whatever msgspec and foreign types raise
            reason = str(error).rstrip(".").rpartition("\n")[-1]
            raise wrong_declaration(
                function,
                f"has a parameter {name!r} of a type that JSON has no form for: {reason}. Take text,"
                " numbers, lists, dicts, dataclasses, TypedDicts or msgspec Structs",
            ) from error
    return hint


def _field_of(parameter: inspect.Parameter) -> Any:
    default: Any = parameter.default
    if default is parameter.empty:
        return msgspec.NODEFAULT
    try:
        msgspec.to_builtins(default)
        hash(default)
    except Exception:  # noqa: BLE001 - no JSON, or what a call could change: the schema does not show it
        return msgspec.field(default_factory=lambda: copy.deepcopy(default))
    return default


def _documented(function: Callable[..., object]) -> tuple[str, dict[str, str]]:
    text = inspect.getdoc(function) or ""
    try:
        docstring = docstring_parser.parse(text)
    except docstring_parser.ParseError:
        return text, {}
    described = [docstring.short_description, docstring.long_description]
    parameters = {parameter.arg_name: parameter.description or "" for parameter in docstring.params}
    return "\n\n".join(part for part in described if part), parameters


def _schema_of(arguments: type[msgspec.Struct], described: Mapping[str, str]) -> dict[str, object]:
    (reference,), definitions = msgspec.json.schema_components(
        [arguments], ref_template=_REFERENCE, schema_hook=_schema_of_other
    )
    schema: dict[str, object] = definitions.pop(reference["$ref"].rpartition("/")[-1])
    schema.pop("title", None)
    properties = cast("dict[str, dict[str, object]]", schema["properties"])
    for name, property_schema in properties.items():
        if described.get(name):
            property_schema.setdefault("description", described[name])
    if definitions:
        schema["$defs"] = definitions
    return schema


def _schema_of_other(kind: type) -> dict[str, object]:
    if issubclass(kind, Path):
        return {"type": "string"}
    raise NotImplementedError


def _with_whole_numbers(value: object) -> object:
    """JSON knows one kind of number, and 3.0 is an integer to it; msgspec sees a float."""
    match value:
        case float():
            return int(value) if value.is_integer() else value
        case dict():
            return {
                name: _with_whole_numbers(item) for name, item in cast("dict[str, object]", value).items()
            }
        case list():
            return [_with_whole_numbers(item) for item in cast("list[object]", value)]
        case _:
            return value


def _decoded(kind: type, value: object) -> object:
    if issubclass(kind, Path) and isinstance(value, str):
        return kind(value)
    raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
