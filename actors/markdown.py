"""A session as Markdown, to read, print and pass on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import assert_never

from actors.conversation import (
    FileReference,
    Image,
    Message,
    Processing,
    SystemControl,
    Text,
    ToolCallRequest,
    ToolResult,
)
from actors.endings import ending, missing_answer
from actors.printable import one_line, printable
from actors.records import SessionRecord
from actors.session.protocol import SessionSnapshot

__all__ = ["session_markdown", "snapshot_markdown"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&!])")
_BACKTICKS = re.compile(r"`+")


def snapshot_markdown(snapshot: SessionSnapshot) -> str:
    """The visible branch of a session as it is now, as `session_markdown` writes it."""
    return session_markdown(snapshot.record, snapshot.branch)


def session_markdown(
    record: SessionRecord, messages: Sequence[Message], set_aside: frozenset[str] = frozenset()
) -> str:
    """The session with a heading for each message, in UTC; `set_aside` are not in the visible branch.

    What somebody said stands in a block quote. That ends whatever a text leaves open (a fence of an answer
    that was cut, an HTML comment) and keeps its headings apart from ours, without a change to the text.
    """
    return "\n\n".join(map(printable, _blocks(record, messages, set_aside))) + "\n"


def _blocks(record: SessionRecord, messages: Sequence[Message], set_aside: frozenset[str]) -> Iterator[str]:
    yield f"# {_escaped(record.title) or 'Untitled'}"
    yield "\n".join(
        (
            f"- Session: {_code(record.session_id)}",
            f"- Model: {_code(record.model)}",
            f"- Status: {record.status}",
            f"- Created: {_time(record.created_at)}",
        )
    )
    if record.system_prompt:
        yield "## System"
        yield _quoted(record.system_prompt)
    for message in messages:
        yield f"## {message.role.capitalize()}"
        if message.message_id in set_aside:
            yield "*Not in the visible branch.*"
        yield from _content(message)
        how = ending(message.state, message.finish_reason, message.error)
        if how:
            yield f"*({_escaped(how)})*"
    why = missing_answer(record, messages)
    if why:
        yield f"*({_escaped(why)})*"


def _content(message: Message) -> Iterator[str]:
    match message.content:
        case Text(text, thought, attachments, images, references):
            if thought:
                yield "*Thought:*"
                yield _quoted(thought)
                yield "*Answer:*"
            if text:
                yield _quoted(text)
            for attachment in attachments:
                yield f"Attached {_code(attachment.file_name)}:"
                yield _fenced(attachment.content)
            for image in images:
                yield from _image(image)
            for reference in references:
                yield from _reference(reference)
        case Image():
            yield from _image(message.content)
        case FileReference():
            yield from _reference(message.content)
        case ToolCallRequest(calls):
            for call in calls:
                yield f"Calls {_code(call.name)}:"
                yield _fenced(call.arguments)
        case ToolResult(_, name, status, output):
            yield f"{_code(name)} {status}:"
            yield _fenced(output)
        case SystemControl(setting, before, after):
            yield f"Changed {_code(setting)} from {_value(before)} to {_value(after)}."
        case Processing(step, duration_seconds, outcome):
            how = f": {_escaped(outcome)}" if outcome else ""
            yield f"{_code(step)}, {duration_seconds:.1f} s{how}"
        case _:
            assert_never(message.content)


def _image(image: Image) -> Iterator[str]:
    yield f"Image {_code(image.file_name or image.media_type)}"
    if image.text:
        yield _quoted(image.text)


def _reference(reference: FileReference) -> Iterator[str]:
    yield f"{_code(reference.path)}{_lines_of(reference.first_line, reference.last_line)}:"
    yield _fenced(reference.content)


def _value(text: str) -> str:
    return _code(text) if text else "nothing"


def _lines_of(first_line: int | None, last_line: int | None) -> str:
    if first_line is None:
        return ""
    if last_line is None:
        return f", from line {first_line}"
    return f", line {first_line}" if first_line == last_line else f", lines {first_line} to {last_line}"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" if line else ">" for line in _lines(text))


def _fenced(text: str) -> str:
    fence = "`" * max(3, 1 + _longest_backticks(text))
    return "\n".join((fence, *_lines(text), fence))


def _code(text: str) -> str:
    text = one_line(text)
    ticks = "`" * (1 + _longest_backticks(text))
    return f"{ticks} {text} {ticks}" if len(ticks) > 1 else f"`{text}`"


def _longest_backticks(text: str) -> int:
    return max(map(len, _BACKTICKS.findall(text)), default=0)


def _lines(text: str) -> list[str]:
    # Only what Markdown takes for a line end; str.splitlines knows more of them.
    return re.split(r"\r\n|\r|\n", text)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", one_line(text))


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
