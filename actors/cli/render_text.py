"""A stored session as a person reads it in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from actors.cli.screen import Screen
from actors.conversation import (
    Content,
    FileReference,
    Image,
    Message,
    Processing,
    SystemControl,
    Text,
    ToolCall,
    ToolCallRequest,
    ToolResult,
    ToolStatus,
)
from actors.endings import ending, missing_answer
from actors.printable import one_line
from actors.records import SessionRecord

__all__ = [
    "image_line",
    "reference_line",
    "show_message",
    "show_session",
    "tool_call_line",
    "tool_result_line",
]

_ARGUMENTS_SHOWN = 200
_RESULT_SHOWN = 120


def show_session(
    screen: Screen, record: SessionRecord, messages: Sequence[Message], set_aside: frozenset[str]
) -> None:
    """Write a session; `set_aside` names the messages that its visible branch does not have."""
    screen.write(f"{one_line(record.title) or 'untitled'}\n", "bold")
    facts = (
        f"{record.session_id}, {one_line(record.model)}, {record.status}, since {_time(record.created_at)}"
    )
    screen.write(f"{facts}\n", "dim")
    if record.system_prompt:
        screen.write("\nsystem\n", "bold cyan")
        screen.write(_ended(record.system_prompt))
    for message in messages:
        aside = ("not in the visible branch",) if message.message_id in set_aside else ()
        show_message(screen, message, notes=aside)
    why = missing_answer(record, messages)
    if why:
        screen.write(f"({one_line(why)})\n", "red")


def show_message(
    screen: Screen, message: Message, *, number: int | None = None, notes: Sequence[str] = ()
) -> None:
    """Write a message behind an empty line and a heading, which has its number and notes."""
    heading = f"{message.role}" if number is None else f"{number} {message.role}"
    screen.write(f"\n{heading}", "bold cyan")
    screen.write(f"{', '.join((f' at {_time(message.created_at)}', *notes))}\n", "dim")
    _show_content(screen, message.content)
    how = ending(message.state, message.finish_reason, message.error)
    if how:
        screen.write(f"({one_line(how)})\n", "red" if message.error is not None else "dim")


def _show_content(screen: Screen, content: Content) -> None:
    match content:
        case Text(text, thought, attachments, images, references):
            if thought:
                screen.write(_ended(thought), "dim")
            if text:
                screen.write(_ended(text))
            for attachment in attachments:
                screen.write(f"with the file {one_line(attachment.file_name)}\n", "yellow")
            for image in images:
                screen.write(f"with the {image_line(image)}\n", "yellow")
            for reference in references:
                screen.write(f"with {reference_line(reference)}\n", "yellow")
        case ToolCallRequest(calls):
            for call in calls:
                screen.write(f"{tool_call_line(call)}\n", "yellow")
        case ToolResult(_, name, status, output):
            screen.write(f"{one_line(name)} {status}\n", "yellow")
            screen.write(_ended(output))
        case Image(text=text):
            screen.write(f"{image_line(content)}\n", "yellow")
            screen.write(_ended(text))
        case FileReference(content=text):
            screen.write(f"{reference_line(content)}\n", "yellow")
            screen.write(_ended(text))
        case SystemControl(setting, before, after):
            screen.write(f"{one_line(setting)}: {one_line(before)!r} -> {one_line(after)!r}\n", "dim")
        case Processing(step, duration_seconds, _):
            screen.write(f"{one_line(step)}, {duration_seconds:.1f} s\n", "dim")
        case _:
            assert_never(content)


def tool_call_line(call: ToolCall) -> str:
    """A tool call in one line; long arguments are cut."""
    arguments = one_line(call.arguments)
    if len(arguments) > _ARGUMENTS_SHOWN:
        arguments = arguments[: _ARGUMENTS_SHOWN - 1] + "…"
    return f"calls {one_line(call.name)}({arguments})"


def tool_result_line(name: str, status: ToolStatus, output: str) -> str:
    """How a tool call ended, in one line: the first that its result has, and how many there are more."""
    lines = output.strip().split("\n")
    first = one_line(lines[0])
    if len(first) > _RESULT_SHOWN:
        first = first[: _RESULT_SHOWN - 1] + "…"
    more = len(lines) - 1
    rest = f" (and {more:,} line{'' if more == 1 else 's'} more)" if more else ""
    return f"{one_line(name)} {status}{f': {first}' if first else ''}{rest}"


def image_line(image: Image) -> str:
    """An image in one line, without what it shows."""
    named = f" {one_line(image.file_name)}" if image.file_name else ""
    return f"image{named} ({one_line(image.media_type)}, {_size(len(image.data))})"


def reference_line(reference: FileReference) -> str:
    """A file that a message refers to in one line, without what it has."""
    first, last = reference.first_line, reference.last_line
    lines = "" if first is None else f":{first}" if last in (None, first) else f":{first}-{last}"
    size = _size(len(reference.content.encode(errors="replace")))
    return f"{one_line(reference.path)}{lines} ({size}, read at {_time(reference.read_at)})"


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1000:,.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:,.1f} MB"


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else text + "\n"


def _time(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
