"""The programs that search: ripgrep where it is installed, else our own. Both print the same."""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from actors.scan.globs import expand_braces
from actors.workspace.query import FindQuery, SearchQuery

__all__ = ["Backend", "Command", "PythonBackend", "RipgrepBackend", "find_backend"]

_PLAIN_NAME = re.compile(r"[\w.*-]+")


class Command(msgspec.Struct, frozen=True):
    """A program to run in a folder, and what it reads from its standard input."""

    arguments: tuple[str, ...]
    folder: str
    given: bytes
    environment: Mapping[str, str]


class Backend(Protocol):
    """Says which program answers a query.

    What it prints need not be in order unless it is `ordered`, which is slower where a program has many
    threads: worth it where only the first of many results are wanted.
    """

    @property
    def name(self) -> str: ...

    @property
    def is_always_ordered(self) -> bool: ...

    def search(self, query: SearchQuery, *, ordered: bool, largest_bytes: int) -> Command: ...

    def find(self, query: FindQuery, *, ordered: bool) -> Command: ...


def find_backend() -> Backend:
    """ripgrep, if it is on the path or was installed beside this Python (the extra `search`), else ours."""
    path = shutil.which("rg") or shutil.which("rg", path=sysconfig.get_path("scripts"))
    return PythonBackend() if path is None else RipgrepBackend(path)


class PythonBackend:
    """`actors.scan`, in a Python of its own."""

    name = "python"
    is_always_ordered = True

    def search(self, query: SearchQuery, *, ordered: bool, largest_bytes: int) -> Command:  # noqa: ARG002 - it is always
        request = {
            "kind": "search",
            "folder": query.scope.folder,
            "rules": query.scope.rules,
            "pattern": query.pattern,
            "literal": query.literal,
            "ignore_case": query.ignore_case,
            "glob": query.glob,
            "context": query.context,
            "most": query.most + 1,
            "largest_bytes": largest_bytes,
        }
        return self._command(query.scope.root, request)

    def find(self, query: FindQuery, *, ordered: bool) -> Command:  # noqa: ARG002 - it is always
        request = {
            "kind": "find",
            "folder": query.scope.folder,
            "rules": query.scope.rules,
            "glob": query.glob,
            "wanted": query.wanted,
        }
        return self._command(query.scope.root, request)

    def _command(self, root: str, request: Mapping[str, object]) -> Command:
        # -P: the folder that is searched must not give modules to Python.
        arguments = (sys.executable, "-S", "-P", "-X", "utf8", "-m", "actors.scan")
        package = str(Path(__file__).parents[2])
        return Command(arguments, root, msgspec.json.encode(request), {**os.environ, "PYTHONPATH": package})


class RipgrepBackend:
    """ripgrep 13 or newer. It has no folders to find: these Python finds."""

    name = "ripgrep"
    is_always_ordered = False

    def __init__(self, path: str) -> None:
        self._path = path

    def search(self, query: SearchQuery, *, ordered: bool, largest_bytes: int) -> Command:
        arguments = [
            "--json",
            "--crlf",
            f"--max-filesize={largest_bytes}",
            f"--max-count={query.most + 1}",
            f"--context={query.context}",
            *(["--fixed-strings"] if query.literal else []),
            "--ignore-case" if query.ignore_case else "--case-sensitive",
            f"--regexp={query.pattern}",
        ]
        return self._command(query, arguments, ordered=ordered)

    def find(self, query: FindQuery, *, ordered: bool) -> Command:
        if query.wanted != "file":
            return PythonBackend().find(query, ordered=ordered)
        return self._command(query, ["--files", "--null"], ordered=ordered)

    def _command(self, query: SearchQuery | FindQuery, arguments: list[str], *, ordered: bool) -> Command:
        scope = query.scope
        lines = "\n".join((*_glob_rules(query.glob), *scope.rules))
        return Command(
            (
                self._path,
                "--no-config",
                "--no-messages",
                "--no-ignore-messages",
                "--no-require-git",
                "--no-ignore-dot",
                "--no-ignore-exclude",
                "--no-ignore-global",
                "--no-ignore-parent",
                "--ignore-file=/dev/stdin",
                *(["--sort=path"] if ordered else []),
                *arguments,
                "--",
                f"./{scope.folder}",
            ),
            scope.root,
            lines.encode(),
            os.environ,
        )


def _glob_rules(glob: str) -> list[str]:
    """Lines that spare ripgrep most files that a glob does not mean; its reader decides on the rest.

    Not `--glob`, which would also bring files back that are hidden or ignored.
    """
    names = [alternative.rstrip("/").rpartition("/")[2] for alternative in expand_braces(glob)]
    if not all(_PLAIN_NAME.fullmatch(name) for name in names) or "**" in names:
        return []
    return ["*", "!*/", *(f"!{name}" for name in names), ".*"]
