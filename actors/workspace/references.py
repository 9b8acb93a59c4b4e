"""`@path` in a message: files that a person wants the model to read."""

from __future__ import annotations

import re
from datetime import datetime

import msgspec
import trio

from actors.conversation import FileReference
from actors.errors import EngineError
from actors.workspace.workspace import Place, Workspace

__all__ = ["Reference", "References", "extract_file_references", "process_file_references"]

_MOST_REFERENCES = 20
_LONGEST_CONTENT_BYTES = 200_000

# An @ that nothing stands before but a space or an opening mark: not that of an e-mail address or a URL.
_REFERENCE = re.compile(
    r"""
    (?<![\w@./\\:+-])@
    (?: "(?P<quoted>[^"\n]+)" (?P<lines>(?: :\d[\d:-]* | \#L\d[\dL-]* )?)
      | (?P<plain>[^\s"'`<>()\[\]{}|,;*?!@]+) )
    """,
    re.VERBOSE | re.ASCII,
)
_LINES = re.compile(
    r"(?P<path>.*?)"
    r"(?::(?P<first>\d{1,9})(?:-(?P<last>\d{1,9})|:\d+)?|\#L(?P<first_l>\d{1,9})(?:-L?(?P<last_l>\d{1,9}))?)?",
    re.ASCII | re.DOTALL,
)
_CODE = re.compile(
    r"""
    ^[ ]{0,3} (?P<fence>`{3,}|~{3,}) .*? (?: ^[ ]{0,3}(?P=fence) | \Z)
    | (?<!`) (?P<ticks>`++) [^`\n]++ (?P=ticks)
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_PUNCTUATION = ".,:;!?\u2026"


class Reference(msgspec.Struct, frozen=True):
    """A file that is named in a text, with the lines that are.

    `text` is how it stands there. One that is not `certain` may be a person, and means a file only if there
    is one.
    """

    text: str
    path: str
    first_line: int | None = None
    last_line: int | None = None
    certain: bool = True


class References(msgspec.Struct, frozen=True):
    """The files that could be read, and for each other reference a sentence that says why it could not."""

    found: tuple[FileReference, ...] = ()
    problems: tuple[str, ...] = ()


def extract_file_references(text: str) -> tuple[Reference, ...]:
    """The references in a text, in its order, each once. Never raises.

    `@path`, `@path:12`, `@path:12-40`, `@path#L12-L40`, and with quotes for what has spaces or brackets:
    `@"my notes.md":12`. Punctuation behind it belongs to the sentence. What is in backticks or a fenced
    block is code, where `@` means something else. A name without a dot, a slash, quotes and lines is not
    certain.
    """
    references: dict[tuple[str, int | None, int | None], Reference] = {}
    without_code = _CODE.sub(lambda code: "\n" * len(code[0]), text)
    for match in _REFERENCE.finditer(without_code):
        quoted = match["quoted"]
        written = match[0].rstrip(_PUNCTUATION)
        told = _LINES.fullmatch(
            match["lines"].rstrip(_PUNCTUATION) if quoted else match["plain"].rstrip(_PUNCTUATION)
        )
        if told is None:
            continue
        path = quoted or told["path"]
        first = told["first"] or told["first_l"]
        last = told["last"] or told["last_l"]
        if not path.strip("/. "):
            continue
        reference = Reference(
            text=written,
            path=path,
            first_line=int(first) if first else None,
            last_line=int(last or first) if first else None,
            certain=bool(quoted or first or "." in path or "/" in path),
        )
        references.setdefault((path, reference.first_line, reference.last_line), reference)
    return tuple(references.values())


async def process_file_references(
    text: str,
    workspace: Workspace,
    *,
    now: datetime,
    limiter: trio.CapacityLimiter,
    directory: str = "",
) -> References:
    """Read what a text refers to, as it is now. Never raises for what is in the text or on the disk.

    Relative paths start in `directory` if it is inside a root, else in the first root; so are paths told.
    At most 20 files, and 200 kB of each.
    """
    references = extract_file_references(text)
    if not references:
        return References()
    return await trio.to_thread.run_sync(
        _read_all, references, workspace, directory, now, abandon_on_cancel=True, limiter=limiter
    )


def _read_all(
    references: tuple[Reference, ...], workspace: Workspace, directory: str, now: datetime
) -> References:
    base = workspace.base(directory)
    found: list[FileReference] = []
    problems: list[str] = []
    for reference in references:
        if not reference.certain and not workspace.has(reference.path, base):
            continue
        if len(found) == _MOST_REFERENCES:
            problems.append(
                f"{reference.text}: a message refers to {_MOST_REFERENCES} files at most;"
                " name it in the next one"
            )
            continue
        try:
            found.append(_read(reference, workspace, base, now))
        except EngineError as error:
            problems.append(error.message)
        except _UnusableLinesError as error:
            problems.append(f"{reference.text}: {error}")
    return References(tuple(found), tuple(problems))


class _UnusableLinesError(Exception):
    """The lines that are asked for are not there, or too many."""


def _read(reference: Reference, workspace: Workspace, base: Place, now: datetime) -> FileReference:
    lines = workspace.read_lines(reference.path, base)
    first, last = reference.first_line, reference.last_line
    if first is not None and last is not None:
        if not 1 <= first <= last:
            raise _UnusableLinesError("lines are numbered from 1, the first before the last; correct them")
        if first > len(lines):
            raise _UnusableLinesError(f"the file has only {len(lines)} lines; name lines that it has")
        last = min(last, len(lines))
        lines = lines[first - 1 : last]
    content = "\n".join(lines)
    if len(content.encode()) > _LONGEST_CONTENT_BYTES:
        raise _UnusableLinesError(
            f"this is more than {_LONGEST_CONTENT_BYTES:,} bytes of text; name some of its lines, as in"
            f" @{reference.path}:1-200"
        )
    return FileReference(
        path=workspace.shown(workspace.resolve(reference.path, base).path, base),
        read_at=now,
        content=content,
        first_line=first,
        last_line=last,
    )
