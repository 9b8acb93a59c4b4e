"""The files of a folder, in the order of their names."""

from __future__ import annotations

import os
from collections.abc import Iterator

from actors.scan.ignoring import NO_RULES, IgnoreRules

__all__ = ["walk"]

_IGNORE_FILE = ".gitignore"


def walk(folder: str, rules: IgnoreRules = NO_RULES) -> Iterator[tuple[str, bool]]:
    """Paths of files and folders below `folder`, and whether it is a folder; a folder before what is in it.
    A file is walked by itself.

    `folder` is relative to the current one, "" for itself; so are the paths. Left out is what is hidden or
    ignored, links, what is neither file nor folder, and names that are not UTF-8.
    """
    if os.path.isfile(folder):  # noqa: PTH113 - the paths here are text
        yield folder, False
        return
    waiting = [_entries(folder, rules)]
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
            continue
        path, is_folder, inner_rules = entry
        yield path, is_folder
        if is_folder:
            waiting.append(_entries(path, inner_rules))


def _entries(folder: str, rules: IgnoreRules) -> Iterator[tuple[str, bool, IgnoreRules]]:
    try:
        with os.scandir(folder or ".") as scanned:
            entries = [entry for entry in scanned if _is_text(entry.name)]
    except OSError:
        return  # a folder that is gone, or not ours to read, holds nothing for us
    if any(entry.name == _IGNORE_FILE and entry.is_file() for entry in entries):
        rules = rules.below(folder, _lines(os.path.join(folder, _IGNORE_FILE)))  # noqa: PTH118 - the hot path
    prefix = f"{folder}/" if folder else ""
    for entry in sorted(entries, key=_name):
        if entry.name.startswith("."):
            continue
        is_folder = entry.is_dir(follow_symlinks=False)
        if not is_folder and not entry.is_file(follow_symlinks=False):
            continue
        path = prefix + entry.name
        if not rules.ignores(path, is_folder=is_folder):
            yield path, is_folder, rules


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - the hot path
            return file.readlines()
    except OSError:
        return []
