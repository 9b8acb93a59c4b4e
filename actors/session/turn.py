"""The unfinished turn of a session."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec

from actors.agents import AgentDefinition
from actors.answer import AnswerBuilder
from actors.conversation import Message, Text, Usage
from actors.errors import ErrorInfo
from actors.model_settings import ModelSettings
from actors.records import ApprovalMode, CallRecord, Question, SessionRecord, TaskRecord
from actors.registry.protocol import RequestSlot
from actors.session.effects import Effect, Refused

__all__ = ["Executor", "Phase", "Turn", "executor_of"]


class Phase(Enum):
    ADMITTING = "admitting"  # the registry has been asked for a slot
    STORING = "storing"  # the question is on its way to the store
    QUEUED = "queued"
    READING = "reading"  # text is read in images, for a model that sees none
    RUNNING = "running"  # the model is called
    TOOLS = "tools"  # some of its tool calls are executed, or on their way to the store
    WAITING = "waiting"  # for a person, without a slot
    RESUMING = "resuming"  # a person has answered, and the registry has been asked for a slot
    SETTLING = "settling"  # the end is on its way to the store


class Executor(msgspec.Struct, frozen=True):
    """Who answers: the model, and how it is asked. `tools` are the names of those it may use, None: all."""

    executor_id: str
    model: str
    system_prompt: str
    approval_mode: ApprovalMode
    settings: ModelSettings = ModelSettings()
    tools: tuple[str, ...] | None = None


def executor_of(record: SessionRecord, executor_id: str, agent: AgentDefinition | None) -> Executor:
    """The session's own model, or an agent: what that does not say is the session's."""
    if agent is None:
        return Executor(
            executor_id, record.model, record.system_prompt, record.approval_mode, record.settings
        )
    return Executor(
        executor_id,
        agent.model or record.model,
        agent.system_prompt or record.system_prompt,
        agent.approval_mode or record.approval_mode,
        agent.settings.over(record.settings),
        agent.tools,
    )


class Turn:
    """One question and its answer so far.

    `is_queued`: it was taken while another turn was unfinished, its askers have the task id, and its
    question is in the record until it is in the tree.

    `leaf_id` is the last message of the turn in the tree. `answer` is the growing answer's message as it
    was put into the tree, without text, once there is one; the text is in `builder`. `admitters` are the
    requests that get the task id; empty when they have it. `calls_revision` is the last write of the tool
    calls while some run.
    """

    __slots__ = (
        "admitters",
        "answer",
        "builder",
        "calls_revision",
        "executor",
        "first_part_seconds",
        "granted",
        "is_new",
        "is_queued",
        "leaf_id",
        "model_calls",
        "number",
        "parts",
        "phase",
        "priority",
        "question",
        "replay",
        "request_id",
        "request_message_id",
        "started_seconds",
        "steering",
        "system_prompt",
        "task_id",
        "usage",
        "waiters",
    )

    def __init__(
        self,
        task_id: str,
        question: Message,
        executor: Executor,
        *,
        is_new: bool,
        priority: int,
        is_queued: bool = False,
        replay: Sequence[Question] = (),
        system_prompt: str | None = None,
        request_id: str | None = None,
    ) -> None:
        self.task_id = task_id
        self.question = question
        self.executor = executor
        self.is_new = is_new
        self.is_queued = is_queued
        self.priority = priority
        self.replay = tuple(replay)
        self.system_prompt = system_prompt
        self.request_id = request_id
        self.admitters: list[int] = []
        self.waiters: list[int] = []
        self.phase = Phase.ADMITTING
        self.number = 0
        self.granted = False
        self.calls_revision = 0
        self.leaf_id = question.message_id
        self.model_calls = 0
        self.request_message_id = ""
        self.steering: tuple[Question, ...] = ()
        self.answer: Message | None = None
        self.builder = AnswerBuilder()
        self.parts = 0
        self.started_seconds: float | None = None
        self.first_part_seconds: float | None = None
        self.usage: Usage | None = None

    def record(self, calls: tuple[CallRecord, ...]) -> TaskRecord:
        """The turn as a restart needs it, with its tool calls."""
        return TaskRecord(
            task_id=self.task_id,
            question_id=self.question.message_id,
            priority=self.priority,
            number=self.number,
            executor_id=self.executor.executor_id,
            model_calls=self.model_calls,
            calls=calls,
            replay=self.replay,
            steering=self.steering,
            system_prompt=self.system_prompt,
        )

    def slot_request(self, session_id: str) -> RequestSlot:
        """What asks for its slot.

        Who was admitted before is not refused, and who waited for a person is first.
        """
        resuming = self.phase is Phase.RESUMING
        return RequestSlot(
            session_id, self.task_id, self.priority, admitted=self.is_queued or resuming, first=resuming
        )

    def streamed_answer(self) -> Message | None:
        """The running answer as far as it was streamed. Costs its length."""
        if self.answer is None or self.phase is not Phase.RUNNING:
            return None
        so_far = self.builder.build()
        return msgspec.structs.replace(self.answer, content=Text(so_far.text, so_far.thought))

    def begin_answer(self) -> None:
        """Forget the answer of the last model call, which is in the tree."""
        self.answer = None
        self.builder = AnswerBuilder()

    def add_usage(self) -> None:
        """Count the tokens of the answer that is complete now."""
        spent = self.builder.build().usage
        if spent is not None:
            self.usage = spent if self.usage is None else self.usage + spent

    def refuse_askers(self, error: ErrorInfo) -> list[Effect]:
        """Nobody gets the task id or the outcome any more."""
        return [Refused(request, error) for request in (*self.admitters, *self.waiters)]
