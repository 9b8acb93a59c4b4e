"""Recorded streams, played back byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from actors.errors import EngineError, ErrorCode
from actors.upstream.beat import DONE, Beat, event_chunk
from actors.upstream.pace import Pace

__all__ = ["Recording", "load_recordings"]


class Recording(msgspec.Struct, frozen=True):
    """One recorded stream. `chunks` are its events, already framed, shared by all who play it."""

    name: str
    chunks: tuple[bytes, ...]

    def stream(self, pace: Pace, seed: int) -> Iterator[Beat]:
        """The events in order, at `pace`, then `[DONE]`."""
        for wait, wire in zip(pace.waits(seed), self.chunks, strict=False):
            yield wait, 1, wire
        yield 0.0, 0, DONE


def load_recordings(folder: Path) -> tuple[Recording, ...]:
    """Every `.jsonl` file of `folder` by name: one stream a file, one event's JSON object a line.

    Raises:
        EngineError: INVALID_ARGUMENT, naming the file and the line that cannot be used.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".jsonl")
        recordings = tuple(_load(path) for path in paths)
    except OSError as error:
        raise _unusable(f"{error.filename}: {error.strerror}") from error
    if not recordings:
        raise _unusable(f"{folder}: no recordings here (files that end in .jsonl)")
    return recordings


def _load(path: Path) -> Recording:
    lines = path.read_bytes().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            msgspec.json.decode(line, type=dict[str, object])
        except ValueError as error:
            raise _unusable(f"{path}, line {number}: not the JSON of an event: {error}") from error
    if not lines:
        raise _unusable(f"{path}: no events in it")
    return Recording(name=path.stem, chunks=tuple(map(event_chunk, lines)))


def _unusable(message: str) -> EngineError:
    return EngineError(ErrorCode.INVALID_ARGUMENT, message)
