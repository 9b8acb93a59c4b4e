"""The unfinished turn of a session."""

from __future__ import annotations

from enum import Enum

import msgspec

from actors.answer import AnswerBuilder
from actors.conversation import Message, Text
from actors.errors import ErrorInfo
from actors.session.effects import Effect, Refused

__all__ = ["Phase", "Turn"]


class Phase(Enum):
    ADMITTING = "admitting"  # the registry has been asked for a slot
    STORING = "storing"  # the question is on its way to the store
    QUEUED = "queued"
    RUNNING = "running"
    SETTLING = "settling"  # the end is on its way to the store


class Turn:
    """One question and its answer so far.

    `answer` is the answer's message as it was first put into the store, without text, once there is one;
    the text is in `builder`. `submitter` is the request that gets the task id, 0 when it has it.
    """

    def __init__(
        self, task_id: str, question: Message, *, is_new: bool, priority: int, submitter: int
    ) -> None:
        self.task_id = task_id
        self.question = question
        self.is_new = is_new
        self.priority = priority
        self.submitter = submitter
        self.waiters: list[int] = []
        self.phase = Phase.ADMITTING
        self.granted = False
        self.answer: Message | None = None
        self.builder = AnswerBuilder()
        self.parts = 0
        self.started_seconds: float | None = None
        self.first_part_seconds: float | None = None

    def streamed_answer(self) -> Message | None:
        """The running answer as far as it was streamed. Costs its length."""
        if self.answer is None or self.phase is not Phase.RUNNING:
            return None
        so_far = self.builder.build()
        return msgspec.structs.replace(self.answer, content=Text(so_far.text, so_far.thought))

    def refuse_askers(self, error: ErrorInfo) -> list[Effect]:
        """Nobody gets the task id or the outcome any more."""
        return [Refused(request, error) for request in (self.submitter, *self.waiters)]
