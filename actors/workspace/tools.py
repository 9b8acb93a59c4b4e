"""The tools with which a model finds its way in a workspace: `search`, `find` and `read`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from actors.errors import EngineError, ErrorCode
from actors.tools.tool import Tool, ToolContext
from actors.workspace.arguments import FindArguments, ReadArguments, SearchArguments, decoded, schema_of
from actors.workspace.backends import Backend, find_backend
from actors.workspace.query import FindQuery, Scope, SearchQuery
from actors.workspace.scoping import scope_of
from actors.workspace.searching import Searcher
from actors.workspace.telling import MOST_LINES, tell_found, tell_lines, tell_matches
from actors.workspace.workspace import Place, Workspace

__all__ = ["workspace_tools"]

_THREADS = 8
_PROGRAMS = 4

_WHERE = (
    "Looks into no folder that is a link. Leaves out what is hidden, binary or ignored by .gitignore,"
    " unless `path` names it."
)

_Result = TypeVar("_Result")


def workspace_tools(
    roots: Sequence[str],
    *,
    backend: Backend | None = None,
    threads: int = _THREADS,
    programs: int = _PROGRAMS,
    timeout_seconds: float = 20.0,
) -> tuple[Tool, ...]:
    """`search`, `find` and `read`, which change nothing and see nothing outside of `roots`.

    All sessions share them: no more than `threads` threads read and `programs` programs search at a
    time, the others wait. Relative paths start in the session's directory if that is inside a root, else in
    the first root. A search that takes longer than `timeout_seconds` answers with what it has. By default
    ripgrep searches, where it is installed.

    Raises:
        EngineError: `INVALID_ARGUMENT`: there is no root, or one is no folder.
    """
    workspace = Workspace(roots)
    searcher = Searcher(
        backend=find_backend() if backend is None else backend,
        limiter=trio.CapacityLimiter(programs),
        timeout_seconds=timeout_seconds,
        largest_bytes=workspace.largest_bytes,
    )
    tools = _Tools(workspace, searcher, trio.CapacityLimiter(threads))
    return (
        Tool(
            name="find",
            description=f"Finds files and folders by name or path, in the order of their paths. {_WHERE}",
            function=tools.find,
            parameters=schema_of(FindArguments),
            read_only=True,
        ),
        Tool(
            name="read",
            description=(
                f"Reads a text file, with its lines numbered; at most {MOST_LINES} lines at a time."
                " Says how many lines there are, and how to go on."
            ),
            function=tools.read,
            parameters=schema_of(ReadArguments),
            read_only=True,
        ),
        Tool(
            name="search",
            description=(
                f"Searches the lines of all text files for a regular expression or a text. {_WHERE}"
                " Gives the lines by file: `12:` before one that matches, `12-` before one around it."
            ),
            function=tools.search,
            parameters=schema_of(SearchArguments),
            read_only=True,
        ),
    )


class _Tools:
    """The three functions over what they share."""

    def __init__(self, workspace: Workspace, searcher: Searcher, threads: trio.CapacityLimiter) -> None:
        self._workspace = workspace
        self._searcher = searcher
        self._threads = threads

    async def search(self, arguments: Mapping[str, object], context: ToolContext) -> str:
        wanted = decoded(arguments, SearchArguments)

        def look() -> tuple[Place, Scope, bool]:
            base = self._workspace.base(context.directory)
            place = self._workspace.folder_or_file(wanted.path, base)
            return base, scope_of(place), place.path.is_dir()

        base, scope, is_folder = await self._in_thread(look)
        query = SearchQuery(
            scope=scope,
            pattern=wanted.pattern,
            literal=wanted.literal,
            ignore_case=wanted.ignore_case,
            glob=wanted.glob if is_folder else "",
            context=wanted.context_lines,
            most=wanted.max_results,
        )
        return tell_matches(await self._searcher.search(query), self._shown_from(scope, base))

    async def find(self, arguments: Mapping[str, object], context: ToolContext) -> str:
        wanted = decoded(arguments, FindArguments)

        def look() -> tuple[Place, Scope]:
            base = self._workspace.base(context.directory)
            return base, scope_of(self._workspace.folder(wanted.path, base))

        base, scope = await self._in_thread(look)
        query = FindQuery(scope=scope, glob=wanted.glob, wanted=wanted.type, most=wanted.max_results)
        return tell_found(await self._searcher.find(query), self._shown_from(scope, base))

    async def read(self, arguments: Mapping[str, object], context: ToolContext) -> str:
        wanted = decoded(arguments, ReadArguments)
        if wanted.last_line is not None and wanted.last_line < wanted.first_line:
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"last_line {wanted.last_line} is before first_line {wanted.first_line}; swap them",
            )

        def look() -> str:
            base = self._workspace.base(context.directory)
            lines = self._workspace.read_lines(wanted.path, base)
            return tell_lines(wanted.path, lines, wanted.first_line, wanted.last_line)

        return await self._in_thread(look)

    async def _in_thread(self, look: Callable[[], _Result]) -> _Result:
        # A folder on a network that hangs holds a thread of ours, and not who is stopped while it waits.
        return await trio.to_thread.run_sync(look, abandon_on_cancel=True, limiter=self._threads)

    def _shown_from(self, scope: Scope, base: Place) -> Callable[[str], str]:
        return partial(_shown, self._workspace, Path(scope.root), base)


def _shown(workspace: Workspace, root: Path, base: Place, path: str) -> str:
    ending = "/" if path.endswith("/") else ""
    return workspace.shown(root / path, base) + ending
