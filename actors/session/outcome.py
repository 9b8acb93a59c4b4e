"""How a model call or a turn ended: the messages of it, and the outcome for those who waited."""

from __future__ import annotations

import msgspec

from actors.agents import DEFAULT_EXECUTOR
from actors.answer import Answer
from actors.conversation import (
    FinishReason,
    Message,
    MessageState,
    Role,
    Text,
    ToolCall,
    ToolCallRequest,
    ToolResult,
    ToolStatus,
)
from actors.errors import ErrorInfo
from actors.events import TaskOutcome
from actors.outcomes import stored_outcomes
from actors.records import CallRecord, CallState, SessionStatus
from actors.session.effects import Now
from actors.session.questions import question_in
from actors.session.state import SessionState
from actors.session.turn import Turn

__all__ = [
    "answer_messages",
    "answer_of",
    "answer_text",
    "end_message",
    "outcome_of",
    "result_message",
    "stored_outcome",
    "waiting_outcome",
]

_TOOL_STATUSES = {
    CallState.SUCCESS: ToolStatus.SUCCEEDED,
    CallState.ERROR: ToolStatus.FAILED,
    CallState.CANCELLED: ToolStatus.CANCELLED,
}


def answer_of(state: SessionState, turn: Turn) -> Answer:
    """What the model has said in this call, each of its tool calls with an id that no other one has.

    Ids are made for those that have none or share one: build an answer once, and pass it on.
    """
    answer = turn.builder.build()
    taken: set[str] = set()
    told_apart: list[ToolCall] = []
    for call in answer.tool_calls:
        if not call.call_id or call.call_id in taken:
            call = msgspec.structs.replace(call, call_id=f"call-{state.new_id()}")  # noqa: PLW2901
        taken.add(call.call_id)
        told_apart.append(call)
    return msgspec.structs.replace(answer, tool_calls=tuple(told_apart))


def answer_messages(
    state: SessionState,
    turn: Turn,
    answer: Answer,
    message_state: MessageState,
    error: ErrorInfo | None,
    now: Now,
) -> list[Message]:
    """The text, and behind it the tool calls; the last of them carries how the answer ended.

    Never empty: an answer of which nothing came stands there without text, so that the store knows how
    every turn ended.
    """
    messages: list[Message] = []
    if answer.text or answer.thought or not answer.tool_calls:
        content = Text(answer.text, answer.thought)
        messages.append(
            answer_text(state, turn, content, message_state, now)
            if turn.answer is None
            else msgspec.structs.replace(turn.answer, content=content, state=message_state, ended_at=now.at)
        )
    if answer.tool_calls:
        messages.append(
            Message(
                message_id=state.new_id(),
                parent_id=messages[-1].message_id if messages else turn.leaf_id,
                role=Role.ASSISTANT,
                content=ToolCallRequest(answer.tool_calls),
                created_at=now.at,
                state=message_state,
                task_id=turn.task_id,
                model=turn.executor.model,
                executor_id=_agent_of(turn),
            )
        )
    if message_state is MessageState.COMPLETE:  # of an answer that was cut, the provider takes none back
        messages[0] = msgspec.structs.replace(messages[0], provider_items=answer.provider_items)
    messages[-1] = msgspec.structs.replace(
        messages[-1], finish_reason=answer.finish_reason, usage=answer.usage, error=error
    )
    return messages


def answer_text(
    state: SessionState, turn: Turn, content: Text, message_state: MessageState, now: Now
) -> Message:
    return Message(
        message_id=state.new_id(),
        parent_id=turn.leaf_id,
        role=Role.ASSISTANT,
        content=content,
        created_at=now.at,
        state=message_state,
        task_id=turn.task_id,
        model=turn.executor.model,
        executor_id=_agent_of(turn),
    )


def _agent_of(turn: Turn) -> str | None:
    executor_id = turn.executor.executor_id
    return None if executor_id == DEFAULT_EXECUTOR else executor_id


def end_message(
    state: SessionState, turn: Turn, message_state: MessageState, error: ErrorInfo | None, now: Now
) -> Message:
    """An answer without text, which says how a turn ended that was not just being answered."""
    message = answer_text(state, turn, Text(), message_state, now)
    reason = FinishReason.MAX_TURNS if message_state is MessageState.COMPLETE else None
    return msgspec.structs.replace(message, error=error, finish_reason=reason)


def result_message(
    state: SessionState, task_id: str, parent_id: str, call: CallRecord, now: Now
) -> Message:
    """The result of a call that is over; of one that is not, that nobody saw its end.

    That of a tool which changes nothing may simply be asked for again.
    """
    status = _TOOL_STATUSES.get(call.state, ToolStatus.UNKNOWN)
    output = call.output
    if status is ToolStatus.UNKNOWN:
        output = "The engine ended while this tool ran: whether it did its work is unknown."
        tool = state.environment.tools.get_tool(call.call.name)
        if tool is not None and tool.read_only:
            status = ToolStatus.CANCELLED
            output = "The engine ended while this tool ran. It changes nothing: call it again if need be."
    return Message(
        message_id=state.new_id(),
        parent_id=parent_id,
        role=Role.TOOL,
        content=ToolResult(
            call_id=call.call.call_id,
            name=call.call.name,
            status=status,
            output=output,
            approval=call.approval,
            started_at=call.started_at,
            ended_at=call.ended_at,
        ),
        created_at=now.at,
        task_id=task_id,
    )


def outcome_of(
    state: SessionState,
    turn: Turn,
    answer: Answer,
    status: SessionStatus,
    error: ErrorInfo | None,
    now: Now,
) -> TaskOutcome:
    started, first = turn.started_seconds, turn.first_part_seconds
    return TaskOutcome(
        session_id=state.session_id,
        task_id=turn.task_id,
        status=status,
        prompt=_first_question(state, turn.task_id, turn.leaf_id),
        answer=answer.text,
        thought=answer.thought,
        tool_calls=answer.tool_calls,
        finish_reason=answer.finish_reason,
        usage=turn.usage,
        error=error,
        parts=turn.parts,
        time_to_first_part_seconds=None if started is None or first is None else first - started,
        duration_seconds=None if started is None else now.seconds - started,
    )


def waiting_outcome(state: SessionState, turn: Turn, now: Now) -> TaskOutcome:
    """Where a turn stands that waits for a person."""
    outcome = outcome_of(state, turn, Answer(), SessionStatus.WAITING_CONFIRMATION, None, now)
    pending = tuple(call for call in state.scheduler.calls if call.state is CallState.AWAITING_APPROVAL)
    return msgspec.structs.replace(outcome, pending_calls=pending)


def stored_outcome(state: SessionState, task_id: str) -> TaskOutcome | None:
    """The outcome of a task that ended before the session was loaded, as far as messages tell it."""
    answers = [message for message in state.tree.of_task(task_id) if message.role is Role.ASSISTANT]
    if not answers:
        return None
    *_, outcome = stored_outcomes(state.session_id, state.tree.branch(answers[-1].message_id))
    spent = [answer.usage for answer in answers if answer.usage is not None]
    usage = sum(spent[1:], start=spent[0]) if spent else None
    prompt = _first_question(state, task_id, answers[-1].message_id)
    return msgspec.structs.replace(outcome, prompt=prompt, usage=usage)


def _first_question(state: SessionState, task_id: str, last_id: str) -> str:
    """What the task was asked that ends with this message: of several questions, the first.

    A task that answers the question of another one has that, unless it was steered before it answered.
    """
    first_id = last_id
    while (message := state.tree.find(first_id)) is not None:
        parent = None if message.parent_id is None else state.tree.find(message.parent_id)
        if parent is None or parent.task_id != task_id:
            break
        first_id = parent.message_id
    question = state.tree.question_of(first_id)
    return "" if question is None else question_in(question).text
