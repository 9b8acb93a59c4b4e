"""Writes the body of a request: the fields of a wire, and the options that a user adds to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from actors.errors import EngineError, ErrorCode
from actors.models.wire_options import EXTRA_BODY

__all__ = ["encode_body", "fitting_name"]

_OURS = frozenset({"model", "messages", "input", "system", "instructions", "stream"})
_JOINED = frozenset({"include", "tools"})

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")

_encoder = msgspec.json.Encoder()


def encode_body(body: msgspec.Struct, options: Mapping[str, Any]) -> bytes:
    """The JSON of `body` with `options` among its fields.

    What is said and by whom is ours: such options are left out. Lists of tools, and of what the answer is
    to include, are joined. Other options replace our fields; one that is None removes ours. The fields of
    an option `extra_body` count as options.

    Raises:
        EngineError: `INVALID_ARGUMENT`, naming an option that JSON cannot hold.
    """
    if not options:
        return _encoder.encode(body)
    fields = {
        name: value
        for name in body.__struct_fields__
        if (value := getattr(body, name)) is not None and value is not msgspec.UNSET
    }
    extra_body: object = options.get(EXTRA_BODY)
    if isinstance(extra_body, Mapping):  # of a call; that of a connection was taken apart before
        others = {name: option for name, option in options.items() if name != EXTRA_BODY}
        options = {**others, **cast("Mapping[str, Any]", extra_body)}
    for name, option in options.items():
        if name in _OURS:
            continue
        own = fields.get(name)
        if option is None:
            fields.pop(name, None)
        elif name in _JOINED and isinstance(own, list) and isinstance(option, list):
            ours = cast("list[object]", own)
            fields[name] = [*ours, *(one for one in cast("list[object]", option) if one not in ours)]
        else:
            fields[name] = option
    try:
        return _encoder.encode(fields)
    except (TypeError, OverflowError, RecursionError) as error:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, f"an option of the model cannot be written as JSON: {error}"
        ) from None


def fitting_name(name: str, longest: int) -> str:
    """A name or id that a model or another provider made up, in letters that strict servers take."""
    return _NOT_IN_NAMES.sub("_", name)[:longest] or "unnamed"
