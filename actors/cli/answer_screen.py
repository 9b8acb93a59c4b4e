"""Shows an answer while it streams."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from actors.cli.screen import Screen
from actors.conversation import Part, TextPart, ThoughtPart

__all__ = ["AnswerScreen"]


class _Lengths(msgspec.Struct):
    """How much of an answer was shown."""

    text: int = 0
    thought: int = 0


class AnswerScreen:
    """The answers of one turn: text as it comes, thoughts dimmed, where there is a terminal to dim them.

    Each has a message id; "" stands for the one that was shown last.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._shown: dict[str, _Lengths] = {}
        self._lengths = _Lengths()
        self._in_thought = False
        self._in_line = False

    def add(self, parts: Iterable[Part], message_id: str = "") -> None:
        """What comes next of an answer."""
        self._turn_to(message_id)
        for part in parts:
            match part:
                case TextPart(text):
                    self._add_text(text)
                case ThoughtPart(text):
                    self._add_thought(text)
                case _:
                    pass  # calls are shown when they are whole

    def ask(self, question: str) -> None:
        """Begin with the answer to the next question of one turn."""
        self._begin(_Lengths())
        if self._screen.is_terminal:
            self._screen.write(f"> {question}\n", "dim")

    def catch_up(self, text: str, thought: str, message_id: str = "") -> None:
        """Show what was not shown yet of an answer that is known so far."""
        self._turn_to(message_id)
        self._add_thought(thought[self._lengths.thought :])
        self._add_text(text[self._lengths.text :])

    def end_line(self) -> None:
        if self._in_line:
            self._screen.write("\n")
            self._in_line = False

    def _turn_to(self, message_id: str) -> None:
        if message_id and message_id not in self._shown:
            self._begin(_Lengths())
            self._shown[message_id] = self._lengths
        elif message_id:
            self._lengths = self._shown[message_id]

    def _begin(self, lengths: _Lengths) -> None:
        self.end_line()
        self._lengths = lengths
        self._in_thought = False

    def _add_text(self, text: str) -> None:
        if not text:
            return
        self._lengths.text += len(text)
        if self._in_thought:
            self.end_line()
            self._in_thought = False
        self._write(text)

    def _add_thought(self, thought: str) -> None:
        self._lengths.thought += len(thought)
        if not thought or not self._screen.is_terminal:
            return
        if not self._in_thought:
            self.end_line()
            self._in_thought = True
        self._write(thought, "dim")

    def _write(self, text: str, style: str = "") -> None:
        self._screen.write(text, style)
        self._in_line = not text.endswith("\n")
