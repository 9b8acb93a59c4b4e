"""Puts values into a text that names them."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["fill", "names_in"]

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with each `{{name}}` replaced whose name is known. Values are not looked into again."""
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)


def names_in(text: str) -> tuple[str, ...]:
    """The names of a text, each once, in order."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(text)))
