"""Globs, as gitignore(5) has them, as regular expressions."""

from __future__ import annotations

import re

__all__ = ["compile_glob", "expand_braces", "glob_expression"]

_MOST_ALTERNATIVES = 64


def compile_glob(glob: str) -> re.Pattern[str]:
    """What matches the names, or with a slash in it the paths, that a glob means. Braces are alternatives.

    A path is relative to the folder in which is searched; a glob without a slash is for names at any depth.

    Raises:
        ValueError: it is no glob, and why.
    """
    if not glob.strip("/"):
        raise ValueError(f"{glob!r} names nothing")
    expressions = [_path_expression(alternative) for alternative in expand_braces(glob)]
    return re.compile("|".join(expressions), re.DOTALL)


def expand_braces(glob: str) -> list[str]:
    """`*.{py,pyi}` is `*.py` and `*.pyi`; braces without a comma, or without their partner, are themselves.

    Raises:
        ValueError: there are too many alternatives.
    """
    expanded: list[str] = []
    waiting = [glob]
    while waiting:
        if len(waiting) + len(expanded) > _MOST_ALTERNATIVES:
            raise ValueError(f"{glob!r} has more than {_MOST_ALTERNATIVES} alternatives in its braces")
        first = waiting.pop()
        split = _first_alternatives(first)
        if split is None:
            expanded.append(first)
            continue
        before, alternatives, after = split
        waiting += [before + alternative + after for alternative in reversed(alternatives)]
    return expanded


def _first_alternatives(glob: str) -> tuple[str, list[str], str] | None:
    """The innermost braces that close first: what is before, the alternatives, what is after."""
    for closing in (place for place, char in enumerate(glob) if char == "}"):
        opening = glob.rfind("{", 0, closing)
        inside = glob[opening + 1 : closing]
        if opening >= 0 and "," in inside and not glob[:opening].endswith("\\"):
            return glob[:opening], inside.split(","), glob[closing + 1 :]
    return None


def _path_expression(glob: str) -> str:
    anywhere = "" if "/" in glob.strip("/") or glob.startswith("/") else "(?:.*/)?"
    return anywhere + glob_expression(glob.strip("/"))


def glob_expression(glob: str) -> str:
    """The regular expression, for `fullmatch` and `DOTALL`, of one glob without braces.

    `*` and `?` stay inside a name; `**` between slashes stands for any folders, or none.

    Raises:
        ValueError: it is no glob, and why.
    """
    parts: list[str] = []
    place = 0
    while place < len(glob):
        char = glob[place]
        if char == "*":
            end = place
            while end < len(glob) and glob[end] == "*":
                end += 1
            whole_name = (place == 0 or glob[place - 1] == "/") and glob[end : end + 1] in ("", "/")
            if end - place < 2 or not whole_name:
                parts.append("[^/]*")
            elif end == len(glob):
                parts.append(".+")
            else:
                parts.append("(?:.*/)?")
                end += 1
            place = end
        elif char == "?":
            parts.append("[^/]")
            place += 1
        elif char == "[":
            expression, place = _character_class(glob, place)
            parts.append(expression)
        elif char == "\\":
            if place + 1 == len(glob):
                raise ValueError(f"{glob!r} ends with a backslash")
            parts.append(re.escape(glob[place + 1]))
            place += 2
        else:
            parts.append(re.escape(char))
            place += 1
    return "".join(parts)


def _character_class(glob: str, opening: int) -> tuple[str, int]:
    """The expression of the class that opens there, and where the glob goes on."""
    place = opening + 1
    negated = glob[place : place + 1] in ("!", "^")
    place += negated
    closing = glob.find("]", place + 1)
    if closing < 0:
        raise ValueError(f"{glob!r} has a [ without its ]")
    members = glob[place:closing].replace("\\", "")
    escaped: list[str] = []
    for index, member in enumerate(members):
        is_range = member == "-" and 0 < index < len(members) - 1
        if is_range and members[index - 1] > members[index + 1]:
            raise ValueError(f"{glob!r} has a range whose end is before its beginning")
        escaped.append("-" if is_range else re.escape(member))
    return f"(?!/)[{'^' if negated else ''}{''.join(escaped)}]", closing + 1
