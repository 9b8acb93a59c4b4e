"""The file that `greenroom run --output` writes: one JSON object per turn."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from actors.conversation import FinishReason, ToolCall, Usage
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.events import TaskOutcome
from actors.records import SessionStatus

__all__ = ["TurnLog", "TurnRecord"]


class TurnRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One turn as it ended. Durations are null for a turn that an earlier, interrupted run finished."""

    session_id: str
    turn_index: int
    prompt: str
    answer: str
    thought: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: FinishReason | None
    usage: Usage | None
    status: SessionStatus
    error: ErrorInfo | None
    time_to_first_part_seconds: float | None
    duration_seconds: float | None

    @classmethod
    def of(cls, turn_index: int, outcome: TaskOutcome) -> TurnRecord:
        return cls(
            session_id=outcome.session_id,
            turn_index=turn_index,
            prompt=outcome.prompt,
            answer=outcome.answer,
            thought=outcome.thought,
            tool_calls=outcome.tool_calls,
            finish_reason=outcome.finish_reason,
            usage=outcome.usage,
            status=outcome.status,
            error=outcome.error,
            time_to_first_part_seconds=outcome.time_to_first_part_seconds,
            duration_seconds=outcome.duration_seconds,
        )


class _Known(msgspec.Struct):
    session_id: str
    turn_index: int
    status: SessionStatus


class TurnLog:
    """Appends turns, each line on its way to the file when `add` returns. A context manager.

    Opened to go on, it keeps what the file has, but for a last line that was cut, and knows which turns it
    has as completed.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        """Open the file.

        Raises:
            EngineError: `INVALID_ARGUMENT` when it cannot be written, or is not such a file.
        """
        self._path = path
        self._completed: set[tuple[str, int]] = set()
        self._encoder = msgspec.json.Encoder()
        try:
            if resume and path.exists():
                self._read()
            # Unbuffered appends: a line is written whole or, by a crash of the machine, cut at the end.
            self._file = path.open("ab" if resume else "wb", buffering=0)
        except OSError as error:
            raise _unwritable(path, error) from None

    @staticmethod
    def check(path: Path) -> None:
        """Refuse a path that cannot be written, without touching it.

        Raises:
            EngineError: `INVALID_ARGUMENT`.
        """
        place = path if path.exists() else path.parent
        if path.is_dir() or not os.access(place, os.W_OK):
            reason = "it is a folder" if path.is_dir() else "no such folder"
            reason = "permission denied" if place.exists() and not path.is_dir() else reason
            raise EngineError(ErrorCode.INVALID_ARGUMENT, f"cannot write {path}: {reason}")

    def has_completed(self, session_id: str, turn_index: int) -> bool:
        return (session_id, turn_index) in self._completed

    def add(self, record: TurnRecord) -> None:
        """Append one turn.

        Raises:
            EngineError: `PERSISTENCE_FAILED`, for example when the disk is full.
        """
        if record.status is SessionStatus.COMPLETED:
            self._completed.add((record.session_id, record.turn_index))
        line = self._encoder.encode(record) + b"\n"
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            raise EngineError(
                ErrorCode.PERSISTENCE_FAILED, f"cannot write {self._path}: {error.strerror}"
            ) from None

    def _read(self) -> None:
        decoder = msgspec.json.Decoder(_Known)
        whole = 0
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                try:
                    known = decoder.decode(line)
                except msgspec.DecodeError:
                    raise EngineError(
                        ErrorCode.INVALID_ARGUMENT,
                        f"{self._path}, line {number} is not a turn of a run: give another --output",
                    ) from None
                if known.status is SessionStatus.COMPLETED:
                    self._completed.add((known.session_id, known.turn_index))
                whole += len(line)
        os.truncate(self._path, whole)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()


def _unwritable(path: Path, error: OSError) -> EngineError:
    return EngineError(ErrorCode.INVALID_ARGUMENT, f"cannot write {path}: {error.strerror or error}")
