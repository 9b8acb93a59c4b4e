"""Reads prompts: JSON lines with `turns` or `prompt`, or plain text with one prompt a line."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from actors.errors import EngineError, ErrorCode

__all__ = ["Prompts", "demo_prompts", "read_prompts"]

_DEMO_FILE = Path(__file__).with_name("demo_prompts.jsonl")


class Prompts(msgspec.Struct, frozen=True):
    """One record per session: the user's texts, in order."""

    records: tuple[tuple[str, ...], ...]

    @property
    def digest(self) -> str:
        """Equal for equal records, in whatever form they were written."""
        return hashlib.sha256(msgspec.json.encode(self.records)).hexdigest()

    def repeated(self, sessions: int) -> tuple[tuple[str, ...], ...]:
        """So many records, from the first on, and round again."""
        return tuple(self.records[index % len(self.records)] for index in range(sessions))


class _Record(msgspec.Struct):
    turns: list[str] | None = None
    prompt: str | None = None


_decode_record = msgspec.json.Decoder(_Record).decode


def demo_prompts() -> Prompts:
    """The sample prompts that come with Greenroom."""
    return read_prompts(str(_DEMO_FILE))


def read_prompts(source: str) -> Prompts:
    """Read a file, or standard input for `-`.

    It is taken as JSON lines when its first line that is not blank begins with a brace, else as plain text.

    Raises:
        EngineError: `INVALID_ARGUMENT`, naming the file and, for a bad line, its number.
    """
    name = "standard input" if source == "-" else source
    try:
        data = _read_standard_input() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise _refused(f"cannot read the prompts from {name}: {error.strerror or error}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(f"{name}, line {line} is not UTF-8 text: convert the file to UTF-8") from None
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise _refused(f"{name} holds no prompts: write JSON objects or texts into it, one a line")
    is_json = lines[0][1].startswith("{")
    if lines[0][1].startswith("[") and _is_json(text):
        raise _refused(f"{name} is one JSON array: write its objects one a line, without the brackets")
    return Prompts(tuple(_json_records(name, lines) if is_json else ((line,) for _, line in lines)))


def _read_standard_input() -> bytes:
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] - a process may start without
        raise OSError("it is closed")
    return sys.stdin.buffer.read()


def _json_records(name: str, lines: Iterable[tuple[int, str]]) -> Iterable[tuple[str, ...]]:
    needs = 'a line needs "turns", a list of texts, or "prompt", a text'
    for number, line in lines:
        try:
            record = _decode_record(line)
        except msgspec.ValidationError as error:
            raise _refused(f"{name}, line {number}: {needs}: {error}") from None
        except (msgspec.DecodeError, RecursionError) as error:
            raise _refused(
                f"{name}, line {number} is not a JSON object: {error}; the file is taken as JSON lines, "
                "because it begins with a brace"
            ) from None
        if record.turns is not None and record.prompt is not None:
            raise _refused(f'{name}, line {number} has both "turns" and "prompt": leave one of them out')
        turns = record.turns if record.turns is not None else [record.prompt or ""]
        if not turns or not all(turn.strip() for turn in turns):
            raise _refused(f"{name}, line {number}: {needs}, and none of them blank")
        yield tuple(turns)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _refused(message: str) -> EngineError:
    return EngineError(ErrorCode.INVALID_ARGUMENT, message)
