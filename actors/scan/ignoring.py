"""What the `.gitignore` files say of a path."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from actors.scan.globs import glob_expression

__all__ = ["NO_RULES", "IgnoreRules", "rebased"]

_SPECIAL = re.compile(r"([\\*?\[\]!# ])")


class _Rule(NamedTuple):
    expression: re.Pattern[str]
    folders_only: bool
    ignores: bool


class _RuleFile(NamedTuple):
    """The rules of one file, the last one first; `folder` ends with a slash, or is empty for the root.

    `anything` matches what any of them matches: most paths are done with after one look.
    """

    folder: str
    anything: re.Pattern[str]
    rules: tuple[_Rule, ...]


class IgnoreRules:
    """The rules that hold in a folder, the nearest file first. Never changes."""

    __slots__ = ("_files",)

    def __init__(self, files: tuple[_RuleFile, ...] = ()) -> None:
        self._files = files

    def below(self, folder: str, lines: Iterable[str]) -> IgnoreRules:
        """As these, with the lines of a file in `folder`, which is relative to the root; "" is the root."""
        expressions = [parsed for line in lines if (parsed := _parsed(line)) is not None]
        if not expressions:
            return self
        rules = tuple(
            _Rule(re.compile(expression, re.DOTALL), folders_only, ignores)
            for expression, folders_only, ignores in reversed(expressions)
        )
        anything = re.compile("|".join(expression for expression, _, _ in expressions), re.DOTALL)
        prefix = f"{folder}/" if folder else ""
        return IgnoreRules((_RuleFile(prefix, anything, rules), *self._files))

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Whether a path, relative to the root, is ignored itself; not whether a folder of it is."""
        for folder, anything, rules in self._files:
            relative = path.removeprefix(folder)
            if anything.fullmatch(relative) is None:
                continue
            for rule in rules:
                if (is_folder or not rule.folders_only) and rule.expression.fullmatch(relative):
                    return rule.ignores
        return False


NO_RULES = IgnoreRules()


def rebased(line: str, folder: str) -> str | None:
    """A line of a `.gitignore` in `folder`, as it would stand in the root's; None if it says nothing."""
    stated = _stated(line)
    if stated is None:
        return None
    glob, anchored, folders_only, ignores = stated
    place = _SPECIAL.sub(r"\\\1", folder)
    prefix = f"/{place}/" if folder else "/"
    middle = "" if anchored else "**/"
    return f"{'' if ignores else '!'}{prefix}{middle}{glob}{'/' if folders_only else ''}"


def _parsed(line: str) -> tuple[str, bool, bool] | None:
    stated = _stated(line)
    if stated is None:
        return None
    glob, anchored, folders_only, ignores = stated
    try:
        expression = glob_expression(glob)
    except ValueError:
        return None  # git passes over a line that is no glob
    return expression if anchored else f"(?:.*/)?{expression}", folders_only, ignores


def _stated(line: str) -> tuple[str, bool, bool, bool] | None:
    """The glob of a line, without the slashes that say where it holds; anchored, for folders, ignores."""
    line = line.rstrip("\r\n")
    while line.endswith(" ") and not line.endswith("\\ "):
        line = line[:-1]
    if not line or line.startswith("#"):
        return None
    ignores = not line.startswith("!")
    line = line if ignores else line[1:]
    folders_only = line.endswith("/")
    line = line.removesuffix("/")
    anchored = "/" in line
    glob = line.removeprefix("/")
    return (glob, anchored, folders_only, ignores) if glob else None
