"""A turn as the user sees it: its questions and answers, its tool calls, and why nothing comes."""

from __future__ import annotations

from typing import assert_never

from actors.cli.answer_screen import AnswerScreen
from actors.cli.chat.voice import Voice
from actors.cli.live_turn import Shown
from actors.cli.render_text import tool_call_line
from actors.cli.tool_lines import ToolLines
from actors.conversation import Message, Role, Text, ToolCallRequest, ToolResult
from actors.errors import ErrorCode
from actors.events import (
    AnswerStreamed,
    MessageAdded,
    ModelCallDelayed,
    SessionStatusChanged,
    TaskOutcome,
    ToolCallsUpdated,
    ToolOutput,
)
from actors.printable import one_line
from actors.records import SessionStatus
from actors.session.protocol import SessionSnapshot

__all__ = ["TurnView"]


class TurnView:
    """Shows one turn from its beginning on; what it is shown twice it shows once.

    With `asks_again` the turn has several questions, which are shown with their answers. `model` is the
    name of the one that answers.
    """

    def __init__(self, voice: Voice, model: str, *, asks_again: bool) -> None:
        self._voice = voice
        self._model = model
        self._asks_again = asks_again
        self._answer = AnswerScreen(voice.screen)
        self._tools = ToolLines(self.say, with_output=voice.is_interactive)
        self._asked: set[str] = set()
        self._is_resumed = False

    def show(self, shown: Shown) -> None:
        match shown:
            case AnswerStreamed(parts, message_id):
                self._answer.add(parts, message_id)
            case MessageAdded(message):
                self._add(message)
            case ToolCallsUpdated(message_id, calls):
                self._tools.update(message_id, calls)
            case ToolOutput(call_id, text):
                self._tools.show_output(call_id, text)
            case ModelCallDelayed():
                self.say(_delay(self._model, shown))
            case SessionStatusChanged(status):
                # After a decision of the user it is queued, too, and most often for no time at all.
                if status is SessionStatus.QUEUED and not self._is_resumed:
                    self.say("(waiting for another answer to end; Ctrl-C gives up)")
            case _:
                assert_never(shown)

    def say(self, text: str, style: str = "dim") -> None:
        """Say a line beside the answer."""
        self._answer.end_line()
        self._voice.say(text, style)

    def resume(self) -> None:
        """The user has decided what the turn waited for."""
        self._is_resumed = True

    def catch_up(self, snapshot: SessionSnapshot, task_id: str) -> None:
        """Show what of the task came too late to be shown as it happened."""
        for message in snapshot.messages:
            if message.task_id == task_id:
                self._add(message)
        task = snapshot.record.task
        if task is not None and task.task_id == task_id:
            self._tools.update_last(task.calls)

    def finish(self, outcome: TaskOutcome) -> None:
        """Show what is left of the last answer, and the calls that it ended with."""
        self._answer.catch_up(outcome.answer, outcome.thought)
        self.end_line()
        for call in outcome.tool_calls:
            if not self._tools.has_said(call.call_id):
                self._voice.screen.write(f"{tool_call_line(call)}\n", "yellow")

    def end_line(self) -> None:
        self._answer.end_line()

    def _add(self, message: Message) -> None:
        match message.content:
            case Text(text, thought):
                if message.role is Role.ASSISTANT:
                    self._answer.catch_up(text, thought, message.message_id)
                elif self._asks_again and message.message_id not in self._asked:
                    self._asked.add(message.message_id)
                    self._answer.ask(text)
            case ToolCallRequest(calls):
                self._tools.begin_request(message.message_id, calls)
            case ToolResult(call_id, _, status, output):
                self._tools.end(call_id, status, output)
            case _:
                pass


def _delay(model: str, delayed: ModelCallDelayed) -> str:
    """Why the model is asked again, and when."""
    provider = one_line(model.partition(":")[0])
    if delayed.error.code is ErrorCode.QUOTA_EXCEEDED:
        why = "is rate limited"
    else:
        why = f"did not answer: {delayed.error.code}: {one_line(delayed.error.message)}"
    return f"({provider} {why}; next try in {max(1, round(delayed.retry_after_seconds))} s)"
