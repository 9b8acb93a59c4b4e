"""Asks the user which of the tool calls may run that wait for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from actors.cli.chat.line_reader import LineReader
from actors.cli.chat.voice import Voice
from actors.printable import one_line
from actors.records import CallRecord, ConfirmationOutcome

__all__ = ["Decision", "ask_user"]

_LINES_SHOWN = 30
_LINE_LENGTH = 200

_OUTCOMES = {
    "y": ConfirmationOutcome.APPROVED,
    "yes": ConfirmationOutcome.APPROVED,
    "n": ConfirmationOutcome.DENIED,
    "no": ConfirmationOutcome.DENIED,
    "t": ConfirmationOutcome.ALWAYS_TOOL,
    "this": ConfirmationOutcome.ALWAYS_TOOL,
    "a": ConfirmationOutcome.ALWAYS_SESSION,
    "all": ConfirmationOutcome.ALWAYS_SESSION,
}
_SHOW_WHOLE = frozenset({"s", "show"})
_CHOICES = "[y]es, [n]o, [t]his tool always, [a]ll tools in this session"
_CHOICES_OF_CUT = f"{_CHOICES}, [s]how the whole call"


class Decision(msgspec.Struct, frozen=True):
    """What the user says to this call."""

    call: CallRecord
    outcome: ConfirmationOutcome
    is_understood: bool = True


def ask_user(calls: Sequence[CallRecord], voice: Voice, reader: LineReader) -> tuple[Decision, ...]:
    """Ask of each call, but not of those that an earlier answer allows, too. Blocks.

    At the end of the input it is a no; in a pipe also what is no answer, one line for each call.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed: nothing is decided.
    """
    decisions: list[Decision] = []
    allowed: set[str] = set()
    for number, call in enumerate(calls, 1):
        if call.call.name in allowed:
            continue
        place = f"({number} of {len(calls)}) " if len(calls) > 1 else ""
        decision = _ask(call, place, voice, reader)
        decisions.append(decision)
        if decision.outcome is ConfirmationOutcome.ALWAYS_SESSION:
            break
        if decision.outcome is ConfirmationOutcome.ALWAYS_TOOL:
            allowed.add(call.call.name)
    return tuple(decisions)


def _ask(call: CallRecord, place: str, voice: Voice, reader: LineReader) -> Decision:
    lines = _pretty(call.call.arguments)
    shown = tuple(_cut(lines))
    voice.say(f"{place}{one_line(call.call.name)} wants to run, with", "yellow")
    for line in shown:
        voice.say(f"  {line}", "")
    choices = _CHOICES if list(shown) == lines else _CHOICES_OF_CUT
    while True:
        voice.say(choices, "yellow")
        line = reader.read_or_interrupt("? ")
        if line is None:
            voice.say(f"(the input has ended: {one_line(call.call.name)} is denied)")
            return Decision(call, ConfirmationOutcome.DENIED)
        answer = line.strip().lower()
        if answer in _OUTCOMES:
            return Decision(call, _OUTCOMES[answer])
        if answer in _SHOW_WHOLE:
            for whole in lines:
                voice.say(f"  {whole}", "")
        elif not voice.is_interactive:
            # The lines of a script are meant for something: no more of them are taken for answers.
            voice.say(f"{one_line(line)!r} is no answer to that: {one_line(call.call.name)} is denied")
            return Decision(call, ConfirmationOutcome.DENIED, is_understood=False)


def _pretty(arguments: str) -> list[str]:
    """They are JSON: a call whose arguments are not is refused before anybody is asked."""
    return msgspec.json.format(arguments or "{}", indent=2).split("\n")


def _cut(lines: Sequence[str]) -> Iterator[str]:
    for line in lines[:_LINES_SHOWN]:
        more = len(line) - _LINE_LENGTH
        yield line if more <= 0 else f"{line[:_LINE_LENGTH]}… ({more:,} characters more)"
    if len(lines) > _LINES_SHOWN:
        yield f"… ({len(lines) - _LINES_SHOWN:,} lines more)"
