"""The arguments of the workspace tools, and their JSON schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from actors.errors import EngineError, ErrorCode
from actors.workspace.query import Wanted

__all__ = ["FindArguments", "ReadArguments", "SearchArguments", "decoded", "schema_of"]

_Arguments = TypeVar("_Arguments", bound=msgspec.Struct)


class SearchArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pattern: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            description="What to look for, line by line: a regular expression without look-around and"
            " back-references, for example `def \\\\w+_test` or `(?i)todo|fixme`.",
        ),
    ]
    path: Annotated[
        str,
        msgspec.Meta(description="The folder or file to search; by default all of the workspace."),
    ] = ""
    glob: Annotated[
        str,
        msgspec.Meta(
            description="Only files that fit: `*.py` by name at any depth, `src/**/*.{ts,tsx}` by path"
            " relative to the folder."
        ),
    ] = ""
    literal: Annotated[
        bool, msgspec.Meta(description="The pattern is plain text, not a regular expression.")
    ] = False
    ignore_case: Annotated[bool, msgspec.Meta(description="Let a match `A`.")] = False
    context_lines: Annotated[
        int, msgspec.Meta(ge=0, le=20, description="So many lines before and after each match.")
    ] = 0
    max_results: Annotated[
        int, msgspec.Meta(ge=1, le=1000, description="So many matching lines at most.")
    ] = 100


class FindArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    glob: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            description="`config.*` by name at any depth, `src/**/test_*.py` by path relative to the"
            " folder, `*` for everything.",
        ),
    ]
    path: Annotated[
        str, msgspec.Meta(description="The folder to look in; by default all of the workspace.")
    ] = ""
    type: Annotated[Wanted, msgspec.Meta(description="What to look for.")] = "file"
    max_results: Annotated[int, msgspec.Meta(ge=1, le=2000, description="So many paths at most.")] = 200


class ReadArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: Annotated[str, msgspec.Meta(min_length=1, description="The file.")]
    first_line: Annotated[
        int, msgspec.Meta(ge=1, description="Where to begin; lines are numbered from 1.")
    ] = 1
    last_line: (
        Annotated[
            int, msgspec.Meta(ge=1, description="Where to end; by default as far as the limits allow.")
        ]
        | None
    ) = None


def schema_of(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON schema of a tool's arguments, without references and without the name of their class."""
    _, components = msgspec.json.schema_components([arguments])
    schema = dict(components[arguments.__name__])
    schema.pop("title", None)
    return schema


def decoded(arguments: Mapping[str, object], wanted: type[_Arguments]) -> _Arguments:
    """The arguments of a call.

    Raises:
        EngineError: `INVALID_ARGUMENT`: they do not fit the tool's schema, and where.
    """
    try:
        return msgspec.convert(arguments, wanted)
    except msgspec.ValidationError as error:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, f"the arguments do not fit the tool: {error}; correct them"
        ) from None
