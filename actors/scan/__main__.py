"""Reads a request from standard input, and writes what ripgrep would: `rg --json`, or `rg --files --null`.

Ends with 2, and a message to standard error, for a pattern that is none.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Mapping
from typing import Any

from actors.scan.globs import compile_glob
from actors.scan.ignoring import NO_RULES, IgnoreRules
from actors.scan.matching import FoundLine, compile_pattern, matching_lines, text_of
from actors.scan.walking import walk

__all__: list[str] = []

_WRONG_REQUEST = 2
_LAST_SECONDS = 600
"""When it ends whatever it does: whoever asked and would have stopped it may be gone."""


def _main() -> None:
    signal.alarm(_LAST_SECONDS)  # not a timer of Python's: a regular expression would not let it run
    request = json.loads(sys.stdin.buffer.read())
    rules = NO_RULES.below("", request["rules"])
    try:
        if request["kind"] == "search":
            _search(request, rules)
        else:
            _find(request, rules)
        sys.stdout.flush()
    except ValueError as error:
        sys.stderr.write(str(error))
        sys.exit(_WRONG_REQUEST)


def _find(request: Mapping[str, Any], rules: IgnoreRules) -> None:
    fits = compile_glob(request["glob"]).fullmatch
    prefix = len(request["folder"]) + 1 if request["folder"] else 0
    wanted = request["wanted"]
    for path, is_folder in walk(request["folder"], rules):
        if wanted not in ("any", "folder" if is_folder else "file") or not fits(path[prefix:]):
            continue
        sys.stdout.write(f"{path}{'/' if is_folder else ''}\0")


def _search(request: Mapping[str, Any], rules: IgnoreRules) -> None:
    pattern = compile_pattern(
        request["pattern"], literal=request["literal"], ignore_case=request["ignore_case"]
    )
    fits = compile_glob(request["glob"]).fullmatch if request["glob"] else None
    needle = request["pattern"] if request["literal"] and not request["ignore_case"] else ""
    prefix = len(request["folder"]) + 1 if request["folder"] else 0
    for path, is_folder in walk(request["folder"], rules):
        if is_folder or (fits is not None and not fits(path[prefix:])):
            continue
        text = text_of(path, request["largest_bytes"])
        if text is None or needle not in text:
            continue
        for line in matching_lines(text, pattern, context=request["context"], most=request["most"]):
            sys.stdout.write(f"{json.dumps(_event(path, line))}\n")


def _event(path: str, line: FoundLine) -> dict[str, object]:
    spans: list[dict[str, int]] = []
    if line.span is not None:
        spans.append(dict(zip(("start", "end"), _in_bytes(line), strict=True)))
    return {
        "type": "context" if line.span is None else "match",
        "data": {
            "path": {"text": path},
            "lines": {"text": line.text},
            "line_number": line.number,
            "submatches": spans,
        },
    }


def _in_bytes(line: FoundLine) -> tuple[int, int]:
    assert line.span is not None
    start, end = line.span
    before = len(line.text[:start].encode())
    return before, before + len(line.text[start:end].encode())


if __name__ == "__main__":
    _main()
