"""Shows an answer while it streams."""

from __future__ import annotations

from collections.abc import Iterable

from actors.cli.render_text import tool_call_line
from actors.cli.screen import Screen
from actors.conversation import Part, TextPart, ThoughtPart
from actors.events import TaskOutcome

__all__ = ["AnswerScreen"]


class AnswerScreen:
    """The answers of one turn: text as it comes, thoughts dimmed, where there is a terminal to dim them."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._text_length = 0
        self._thought_length = 0
        self._in_thought = False
        self._in_line = False

    def add(self, parts: Iterable[Part]) -> None:
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
        self.end_line()
        self._text_length = self._thought_length = 0
        self._in_thought = False
        if self._screen.is_terminal:
            self._screen.write(f"> {question}\n", "dim")

    def complete(self, text: str, thought: str) -> None:
        """Show what of the whole answer has not been shown yet, and end the line."""
        self._add_thought(thought[self._thought_length :])
        self._add_text(text[self._text_length :])
        self.end_line()

    def finish(self, outcome: TaskOutcome) -> None:
        """As `complete`, with the calls that the turn ended with."""
        self.complete(outcome.answer, outcome.thought)
        for call in outcome.tool_calls:
            self._screen.write(f"{tool_call_line(call)}\n", "yellow")

    def end_line(self) -> None:
        if self._in_line:
            self._screen.write("\n")
            self._in_line = False

    def _add_text(self, text: str) -> None:
        if not text:
            return
        self._text_length += len(text)
        if self._in_thought:
            self.end_line()
            self._in_thought = False
        self._write(text)

    def _add_thought(self, thought: str) -> None:
        self._thought_length += len(thought)
        if not thought or not self._screen.is_terminal:
            return
        if not self._in_thought:
            self.end_line()
            self._in_thought = True
        self._write(thought, "dim")

    def _write(self, text: str, style: str = "") -> None:
        self._screen.write(text, style)
        self._in_line = not text.endswith("\n")
