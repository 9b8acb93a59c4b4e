"""The file that `greenroom run --output` writes: one JSON object per turn."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from actors.conversation import FinishReason, ToolCall, Usage
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.events import TaskOutcome
from actors.records import SessionStatus

__all__ = ["TurnError", "TurnLog", "TurnRecord"]


class TurnError(msgspec.Struct, frozen=True):
    """Why a turn failed, and whether asking again is worth it."""

    code: ErrorCode
    message: str
    retryable: bool
    details: dict[str, str | int | float]

    @classmethod
    def of(cls, error: ErrorInfo) -> TurnError:
        return cls(error.code, error.message, error.retryable, error.details)


class TurnRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One turn as it ended.

    Durations are null for a turn that an earlier run completed and did not live to write down, and for one
    that failed before the model was asked.
    """

    session_id: str
    turn_index: int
    prompt: str
    answer: str
    thought: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: FinishReason | None
    usage: Usage | None
    status: SessionStatus
    error: TurnError | None
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
            error=None if outcome.error is None else TurnError.of(outcome.error),
            time_to_first_part_seconds=outcome.time_to_first_part_seconds,
            duration_seconds=outcome.duration_seconds,
        )


class _Known(msgspec.Struct):
    session_id: str
    turn_index: int
    status: SessionStatus


_BEGINNING = b'{"session_id":"'
"""What every line begins with."""


class TurnLog:
    """Appends turns, each line on its way to the file when `add` returns. A context manager.

    Opened to go on, it keeps what the file has, but for a last line that was cut, and knows which turns it
    has as completed. A turn that ends again gets another line, until it is completed; the last one counts.
    """

    def __init__(self, path: Path, *, goes_on_with: Collection[str] | None = None) -> None:
        """Open the file: empty it, or go on in it with the turns of these sessions.

        Raises:
            EngineError: `INVALID_ARGUMENT` when it cannot be written, or holds something else.
        """
        self._path = path
        self._completed: set[tuple[str, int]] = set()
        # The number of the one line that counts, by turn. Lines are counted from 0.
        self._valid_lines: dict[tuple[str, int], int] = {}
        self._lines = 0
        self._encoder = msgspec.json.Encoder()
        try:
            if goes_on_with is not None and path.is_file():
                self._read(goes_on_with)
            # Unbuffered appends: a line is written whole or, by a crash of the machine, cut at the end.
            self._file = path.open("wb" if goes_on_with is None else "ab", buffering=0)
        except OSError as error:
            raise _unwritable(path, error) from None

    @staticmethod
    def check(path: Path) -> None:
        """Refuse a path that cannot be written, without touching it.

        Raises:
            EngineError: `INVALID_ARGUMENT`.
        """
        try:
            if path.is_dir():
                reason = "this is a folder; name a file in it"
            elif not path.parent.is_dir():
                reason = f"there is no folder {path.parent}; create it or choose another path"
            elif not os.access(path if path.exists() else path.parent, os.W_OK):
                reason = "permission denied; choose another path"
            else:
                return
        except OSError as error:
            raise _unwritable(path, error) from None
        raise EngineError(ErrorCode.INVALID_ARGUMENT, f"cannot write {path}: {reason}")

    def has_completed(self, session_id: str, turn_index: int) -> bool:
        return (session_id, turn_index) in self._completed

    def add(self, record: TurnRecord) -> None:
        """Append one turn.

        Raises:
            EngineError: `PERSISTENCE_FAILED`, for example when the disk is full; the last line may be cut.
        """
        line = self._encoder.encode(record) + b"\n"
        try:
            while line:
                line = line[self._file.write(line) :]
        except OSError as error:
            raise _broken(self._path, error) from None
        self._note(record.session_id, record.turn_index, record.status)

    def tidy(self) -> None:
        """Leave one line for each turn, the one that counts. All at once or not at all.

        Raises:
            EngineError: `PERSISTENCE_FAILED`; every line is still there.
        """
        if len(self._valid_lines) == self._lines:
            return
        path = self._path.resolve()  # a link stays one
        kept = frozenset(self._valid_lines.values())
        try:
            descriptor, copy = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
            try:
                with path.open("rb") as lines, os.fdopen(descriptor, "wb") as tidied:
                    tidied.writelines(line for number, line in enumerate(lines) if number in kept)
                shutil.copymode(path, copy)
                Path(copy).replace(path)
            except BaseException:
                Path(copy).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise _broken(path, error) from None

    def _note(self, session_id: str, turn_index: int, status: SessionStatus) -> None:
        turn = (session_id, turn_index)
        if turn not in self._completed:
            self._valid_lines[turn] = self._lines
        if status is SessionStatus.COMPLETED:
            self._completed.add(turn)
        self._lines += 1

    def _read(self, sessions: Collection[str]) -> None:
        decoder = msgspec.json.Decoder(_Known)
        whole = 0
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    if not (line.startswith(_BEGINNING) or _BEGINNING.startswith(line)):
                        raise self._foreign(number)
                    break
                try:
                    known = decoder.decode(line)
                except msgspec.DecodeError:
                    raise self._foreign(number) from None
                if known.session_id not in sessions:
                    raise self._foreign(number)
                self._note(known.session_id, known.turn_index, known.status)
                whole += len(line)
        os.truncate(self._path, whole)

    def _foreign(self, number: int) -> EngineError:
        return EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"{self._path}, line {number} is not a turn of the run that is to go on: give another --output",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()


def _unwritable(path: Path, error: OSError) -> EngineError:
    return EngineError(ErrorCode.INVALID_ARGUMENT, f"cannot write {path}: {error.strerror or error}")


def _broken(path: Path, error: OSError) -> EngineError:
    return EngineError(ErrorCode.PERSISTENCE_FAILED, f"cannot write {path}: {error.strerror or error}")
