"""The JSON schema of a tool's arguments: compiled once, and asked at every call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias, cast

import msgspec
from jsonschema import Draft202012Validator, exceptions, validators
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, UnknownDialect, specification_with

__all__ = ["ArgumentsSchema"]

_MOST_ERRORS = 3
"""So many are told at once: more would not help a model more."""

_MOST_CHARACTERS = 300
"""Of one error: its text quotes what is wrong, which may be long."""

_MOST_REFERENCES = 5_000
"""So many are followed for one call. Only by them can a small schema mean work without end."""

_Check: TypeAlias = Callable[[Any, Any, Any, Any], Iterable[ValidationError]]

# The library's types say nothing of these.
_SPECIFICATIONS: Registry[Any] = cast("Any", validators).SPECIFICATIONS
_best_match: Callable[[Iterable[ValidationError]], ValidationError | None] = cast(
    "Any", exceptions
).best_match
_extend: Callable[[type[Validator], Mapping[str, _Check]], type[Validator]] = cast("Any", validators).extend


class ArgumentsSchema:
    """Checks arguments against a schema. Knows no formats, and fetches nothing.

    `problem` says why the schema cannot be used, if it cannot: everything fits it then. The regular
    expressions of one that is not `trusted` are not tried: one that never ends would hold up all sessions.
    """

    __slots__ = ("_followed", "_validator", "problem")

    def __init__(self, schema: Mapping[str, object], *, trusted: bool = True) -> None:
        self._validator: Validator | None = None
        self._followed = 0
        self.problem = ""
        try:
            plain = msgspec.json.decode(msgspec.json.encode(schema), type=dict[str, object])
            self.problem = _find_problem(plain)
            if not self.problem:
                draft = _draft_of(plain)
                draft = draft if trusted else _without_patterns(draft)
                self._validator = self._counting(draft)(plain, registry=_SPECIFICATIONS)
        except RecursionError:
            self.problem = "the schema is nested too deeply"
        except Exception as error:  # noqa: BLE001 - translation edge: a schema may come from anywhere
            self.problem = f"the schema cannot be read: {_cut(str(error))}"

    def find_errors(self, arguments: Mapping[str, object]) -> tuple[str, ...]:
        """What is wrong with them, the first few errors, each with its path; nothing if they fit.

        Raises:
            RecursionError: they are nested too deeply, or the schema refers to itself.
            OverflowError: to check them would take too long.
        """
        if self._validator is None:
            return ()
        self._followed = 0
        errors: Iterator[ValidationError] = self._validator.iter_errors(cast("Any", arguments))
        return tuple(_told(error) for error in islice(errors, _MOST_ERRORS))

    def _counting(self, draft: type[Validator]) -> type[Validator]:
        follow = cast("_Check", draft.VALIDATORS["$ref"])

        def counted(
            validator: Any, reference: Any, instance: Any, schema: Any
        ) -> Iterable[ValidationError]:
            self._followed += 1
            if self._followed > _MOST_REFERENCES:
                raise OverflowError
            return follow(validator, reference, instance, schema)

        return _extend(draft, {"$ref": counted})


def _draft_of(schema: dict[str, object]) -> type[Validator]:
    return validator_for(schema, default=Draft202012Validator)


def _find_problem(schema: dict[str, object]) -> str:
    if schema.get("type", "object") != "object":
        return f"the schema is of {schema['type']!r}; arguments are an object"
    try:
        _draft_of(schema).check_schema(schema)
    except SchemaError as error:
        return f"the schema is wrong at {error.json_path}: {_cut(error.message)}"
    try:
        specification = specification_with(str(schema["$schema"])) if "$schema" in schema else DRAFT202012
    except UnknownDialect:
        specification = DRAFT202012
    resource: Resource[Any] = specification.create_resource(schema)
    pending = [(resource, _SPECIFICATIONS.resolver_with_root(resource))]
    while pending:
        part, resolver = pending.pop()
        contents: object = part.contents
        if isinstance(contents, dict):
            lost = _lost_reference(cast("dict[str, object]", contents), resolver.lookup)
            if lost:
                return f"the schema refers to {lost!r}, which is not in it"
        pending += [(below, resolver.in_subresource(below)) for below in part.subresources()]
    return ""


def _lost_reference(part: Mapping[str, object], look_up: Callable[[str], object]) -> str:
    for keyword in ("$ref", "$dynamicRef"):
        if keyword in part:
            try:
                look_up(str(part[keyword]))
            except Unresolvable:
                return str(part[keyword])
    return ""


def _without_patterns(draft: type[Validator]) -> type[Validator]:
    """A draft that tries no regular expression, nor each item with each: what these decide is left open."""
    additional = cast("_Check", draft.VALIDATORS["additionalProperties"])

    def check_additional(
        validator: Any, value: Any, instance: Any, schema: Any
    ) -> Iterable[ValidationError]:
        if "patternProperties" in schema:
            return ()
        return additional(validator, value, instance, schema)

    keywords = ("pattern", "patternProperties", "unevaluatedProperties", "uniqueItems")
    left_open = dict.fromkeys(keywords, _anything)
    return _extend(draft, {**left_open, "additionalProperties": check_additional})


def _anything(*_: object) -> Iterable[ValidationError]:
    return ()


def _told(error: ValidationError) -> str:
    best = _best_match([error]) or error  # of several forms none of which fits, the nearest
    return f"{_cut(best.json_path)}: {_cut(best.message)}"


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."
