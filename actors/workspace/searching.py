"""Searches a workspace with a back-end, within limits."""

from __future__ import annotations

from typing import Protocol, TypeVar

import msgspec
import trio

from actors.errors import EngineError, ErrorCode
from actors.scan.globs import compile_glob
from actors.workspace.backends import Backend, Command
from actors.workspace.collecting import MatchCollector, PathCollector
from actors.workspace.program import Ended, run_program
from actors.workspace.query import FindQuery, Found, Matches, SearchQuery

__all__ = ["Searcher"]

_NOTHING_FOUND = 1

_Collector = TypeVar("_Collector", MatchCollector, PathCollector)
_Started_co = TypeVar("_Started_co", MatchCollector, PathCollector, covariant=True)


class _Start(Protocol[_Started_co]):
    """A collector, still empty, and the command that fills it."""

    def __call__(self, *, ordered: bool) -> tuple[_Started_co, Command]: ...


class Searcher(msgspec.Struct, frozen=True, kw_only=True):
    """Runs the programs of a back-end: so many at a time as `limiter` lets, each so long as it may take.

    Answers do not depend on the back-end. What a search meets while files change is one state of each file.
    """

    backend: Backend
    limiter: trio.CapacityLimiter
    timeout_seconds: float = 20.0
    largest_bytes: int = 10_000_000

    async def search(self, query: SearchQuery) -> Matches:
        """The lines that match, the first `most` of them.

        Raises:
            EngineError: `INVALID_ARGUMENT` for a pattern or glob that is none; `EXECUTION_FAILED` where
                the program is gone.
        """
        _check_glob(query.glob)
        if "\n" in query.pattern or "\r" in query.pattern or "\0" in query.pattern:
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                "pattern: lines are searched one by one; leave the line break out",
            )

        def start(*, ordered: bool) -> tuple[MatchCollector, Command]:
            command = self.backend.search(query, ordered=ordered, largest_bytes=self.largest_bytes)
            return MatchCollector(query), command

        collector, ended = await self._run(start, separator=b"\n")
        return Matches(collector.files(), more=ended.enough, late=ended.late)

    async def find(self, query: FindQuery) -> Found:
        """The paths that fit, the first `most` of them.

        Raises:
            EngineError: `INVALID_ARGUMENT` for a glob that is none; `EXECUTION_FAILED` where the program is
                gone.
        """
        _check_glob(query.glob or " ")

        def start(*, ordered: bool) -> tuple[PathCollector, Command]:
            return PathCollector(query), self.backend.find(query, ordered=ordered)

        collector, ended = await self._run(start, separator=b"\0")
        return Found(collector.paths(), more=ended.enough, late=ended.late)

    async def _run(self, start: _Start[_Collector], *, separator: bytes) -> tuple[_Collector, Ended]:
        """In no order first, as that is faster; in order, where there is more than was asked for."""
        async with self.limiter:
            ordered = self.backend.is_always_ordered
            while True:
                collector, command = start(ordered=ordered)
                try:
                    ended = await run_program(
                        command, collector.take, separator=separator, timeout_seconds=self.timeout_seconds
                    )
                except OSError as error:
                    raise EngineError(
                        ErrorCode.EXECUTION_FAILED,
                        f"{command.arguments[0]}: this cannot be started in {command.folder}:"
                        f" {error.strerror}; install it again, or see whether the folder is still there",
                    ) from error
                if ordered or not ended.enough:
                    break
                ordered = True
        if ended.exit_code not in (None, 0, _NOTHING_FOUND) and ended.complaint:
            raise EngineError(ErrorCode.INVALID_ARGUMENT, _told(ended.complaint))
        return collector, ended


def _check_glob(glob: str) -> None:
    if not glob:
        return
    if "\n" in glob or "\0" in glob:
        raise EngineError(ErrorCode.INVALID_ARGUMENT, "glob: a line break is not allowed; leave it out")
    try:
        compile_glob(glob)
    except ValueError as error:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, f"glob: {error}; write it like *.py or src/**/*.py"
        ) from None


def _told(complaint: str) -> str:
    reason = " ".join(complaint.removeprefix("rg: ").removeprefix("regex parse error:").split())
    return (
        f"pattern: this is not a regular expression that can be searched for: {reason}; correct it, or set"
        " `literal` to search for the text as it is"
    )
