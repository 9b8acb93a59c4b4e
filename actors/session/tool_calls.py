"""The tool calls of a turn: judged, approved, run, and their results given back to the model.

Which calls run at once follows from the session's approval mode; those that wait for a person hold no slot.
The turn goes on when all of them are over, with the results in the order of the calls.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.answer import Answer
from actors.conversation import Approval, Message, MessageState, ToolCall, ToolResult, ToolStatus
from actors.errors import ErrorCode, ErrorInfo
from actors.events import MessageAdded, ToolCallsUpdated, ToolOutput
from actors.records import (
    ApprovalMode,
    CallRecord,
    CallState,
    ConfirmationOutcome,
    PutMessage,
    SessionRecord,
    SessionStatus,
)
from actors.registry.protocol import ReturnSlot
from actors.session import settling
from actors.session.calling import call_model
from actors.session.effects import Answered, Effect, Now, RunTool, TellRegistry
from actors.session.outcome import answer_messages, result_message, waiting_outcome
from actors.session.protocol import ConfirmToolCall, ToolEnded
from actors.session.refusals import invalid
from actors.session.state import SessionState
from actors.session.turn import Phase, Turn
from actors.tools import ToolRegistry

__all__ = ["begin", "confirm", "ended", "judge", "output_arrived", "resume"]

_ENDINGS = {
    ToolStatus.SUCCEEDED: CallState.SUCCESS,
    ToolStatus.FAILED: CallState.ERROR,
    ToolStatus.CANCELLED: CallState.CANCELLED,
    ToolStatus.UNKNOWN: CallState.ERROR,
}


def judge(call: ToolCall, tools: ToolRegistry, mode: ApprovalMode, now: Now) -> CallRecord:
    """Whether a call may run, waits for a person, or is over before it began."""
    tool = tools.get_tool(call.name)
    if tool is None:
        known = ", ".join(tool.name for tool in tools) or "none"
        return _over(call, CallState.ERROR, f"There is no tool {call.name!r}; known are: {known}.", now)
    wrong = _wrong_arguments(call)
    if wrong:
        return _over(call, CallState.ERROR, wrong, now)
    match mode:
        case ApprovalMode.DENY:
            denied = _over(call, CallState.CANCELLED, "No tool may be run in this session.", now)
            return msgspec.structs.replace(denied, approval=Approval.DENIED)
        case ApprovalMode.DEFAULT if not tool.needs_confirmation:
            return CallRecord(call=call, state=CallState.EXECUTING, started_at=now.at)
        case ApprovalMode.AUTO:
            return CallRecord(call=call, state=CallState.EXECUTING, started_at=now.at)
        case ApprovalMode.DEFAULT | ApprovalMode.ALWAYS_ASK:
            return CallRecord(call=call, state=CallState.AWAITING_APPROVAL)


def _over(call: ToolCall, state: CallState, output: str, now: Now) -> CallRecord:
    return CallRecord(call=call, state=state, output=output, ended_at=now.at)


def _wrong_arguments(call: ToolCall) -> str:
    if not call.arguments:
        return ""  # so models write that there are none
    try:
        msgspec.json.decode(call.arguments, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeError) as error:
        return f"The arguments are not a JSON object: {error}."
    except RecursionError:
        return "The arguments are nested too deeply."
    return ""


def begin(state: SessionState, turn: Turn, answer: Answer, now: Now) -> list[Effect]:
    """The model has asked for tools: judge the calls, and make durable what is about to run."""
    growing = turn.answer
    answered = answer_messages(state, turn, answer, MessageState.COMPLETE, None, now)
    for message in answered:
        state.put_message(message)
    turn.add_usage()
    turn.begin_answer()
    turn.leaf_id = turn.request_message_id = answered[-1].message_id
    mode = turn.executor.approval_mode
    turn.calls = tuple(judge(call, state.environment.tools, mode, now) for call in answer.tool_calls)
    turn.phase = Phase.TOOLS
    return _go_on(state, turn, answered, now, growing=growing)


def ended(state: SessionState, message: ToolEnded, now: Now) -> list[Effect]:
    turn = state.current_turn(message.task_id)
    call = None if turn is None else turn.find_call(message.call_id)
    if (
        turn is None
        or turn.phase is not Phase.TOOLS
        or call is None
        or call.state is not CallState.EXECUTING
    ):
        return []  # it was stopped
    turn.change_call(
        msgspec.structs.replace(
            call, state=_ENDINGS[message.status], output=message.output, ended_at=now.at
        )
    )
    return _go_on(state, turn, (), now)


def output_arrived(state: SessionState, task_id: str, call_id: str, text: str, now: Now) -> list[Effect]:
    turn = state.current_turn(task_id)
    if turn is None or turn.phase is not Phase.TOOLS:
        return []
    return state.publish(ToolOutput(call_id, text), task_id, now)


def confirm(
    state: SessionState, message: ConfirmToolCall, now: Now, request: int
) -> list[Effect] | ErrorInfo:
    """A person has decided. The first decision counts, and the same one again is answered alike."""
    approved = message.outcome is not ConfirmationOutcome.DENIED
    approval = Approval.APPROVED if approved else Approval.DENIED
    turn = state.turn
    call = None if turn is None else turn.find_call(message.call_id)
    if turn is None or call is None or call.state is not CallState.AWAITING_APPROVAL:
        return _decided_before(state, message.call_id, approval, call, now, request)
    if not approved:
        output = "A person has denied this call."
        call = msgspec.structs.replace(call, state=CallState.CANCELLED, output=output, ended_at=now.at)
    elif turn.phase is Phase.TOOLS:
        call = msgspec.structs.replace(call, state=CallState.EXECUTING, started_at=now.at)
    else:
        call = msgspec.structs.replace(call, state=CallState.SCHEDULED)
    turn.change_call(msgspec.structs.replace(call, approval=approval))
    task_id = turn.task_id
    if turn.phase is Phase.TOOLS:
        effects = _go_on(state, turn, (), now)
    elif turn.phase is Phase.WAITING and _can_go_on(turn):
        effects = _ask_for_slot(state, turn, now)
    else:
        effects = _store_calls(state, turn, now)
    return effects + state.when_saved(now, lambda _state, _now: [Answered(request, task_id)])


def _decided_before(
    state: SessionState,
    call_id: str,
    approval: Approval,
    call: CallRecord | None,
    now: Now,
    request: int,
) -> list[Effect] | ErrorInfo:
    turn = state.turn
    if call is not None and turn is not None:
        decided, task_id = call.approval, turn.task_id
    else:
        result = _result_of(state, call_id)
        if result is None:
            return invalid(f"session {state.session_id} has no tool call {call_id!r}")
        assert isinstance(result.content, ToolResult)
        decided, task_id = result.content.approval, result.task_id
    if decided is approval:
        return state.when_saved(now, lambda _state, _now: [Answered(request, task_id)])
    return ErrorInfo(
        ErrorCode.CONFLICT,
        f"tool call {call_id!r} is decided already: {decided.value}, not {approval.value}",
    )


def _result_of(state: SessionState, call_id: str) -> Message | None:
    """The newest result of a call with this id: some models use ids again."""
    found = None
    for message in state.tree:
        if isinstance(message.content, ToolResult) and message.content.call_id == call_id:
            found = message
    return found


def _can_go_on(turn: Turn) -> bool:
    return turn.has_calls(CallState.SCHEDULED) or not turn.has_calls(CallState.AWAITING_APPROVAL)


def _ask_for_slot(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    turn.phase = Phase.RESUMING
    calls = turn.calls
    put = state.change_record(now, status=SessionStatus.QUEUED, task=turn.record())

    def stored(state: SessionState, now: Now) -> list[Effect]:
        effects = _announce_calls(state, turn, calls, put.record, now)
        if turn.phase is Phase.RESUMING:
            effects.append(TellRegistry(turn.slot_request(state.session_id)))
        return effects

    return state.write(put, immediate=True, then=stored)


def _store_calls(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    calls = turn.calls
    put = state.change_record(now, task=turn.record())
    return state.write(
        put, immediate=True, then=lambda state, now: _announce_calls(state, turn, calls, put.record, now)
    )


def _announce_calls(
    state: SessionState, turn: Turn, calls: tuple[CallRecord, ...], record: SessionRecord, now: Now
) -> list[Effect]:
    effects = state.publish_change(record, turn.task_id, now)
    updated = ToolCallsUpdated(turn.request_message_id, calls)
    return effects + state.publish(updated, turn.task_id, now)


def resume(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    """The slot is there again: run what was approved meanwhile."""
    turn.phase = Phase.TOOLS
    turn.calls = tuple(
        msgspec.structs.replace(call, state=CallState.EXECUTING, started_at=now.at)
        if call.state is CallState.SCHEDULED
        else call
        for call in turn.calls
    )
    return _go_on(state, turn, (), now)


def _go_on(
    state: SessionState,
    turn: Turn,
    answered: Sequence[Message],
    now: Now,
    *,
    growing: Message | None = None,
) -> list[Effect]:
    """Make the calls durable as they stand, and then do what follows from that."""
    status = SessionStatus.RUNNING
    results: list[Message] = []
    calls = turn.calls
    waits = over = False
    if not turn.has_calls(CallState.EXECUTING):
        waits = turn.has_calls(CallState.AWAITING_APPROVAL)
        over = not waits
    if waits:
        status = SessionStatus.WAITING_CONFIRMATION
        turn.phase = Phase.WAITING
    elif over:
        results = _put_results(state, turn, now)
    put = state.change_record(now, status=status, active_leaf_id=turn.leaf_id, task=turn.record())

    def stored(state: SessionState, now: Now) -> list[Effect]:
        effects = settling.announce_answer(state, turn, growing, answered, now)
        for message in results:
            effects += state.publish(MessageAdded(message), turn.task_id, now)
        effects += _announce_calls(state, turn, calls, put.record, now)
        if waits:
            effects += _wait_for_person(state, turn, now)
        if turn.phase is Phase.TOOLS:
            effects += _ask_again(state, turn, now) if over else _run_new(turn, calls)
        return effects

    return state.write(*map(PutMessage, (*answered, *results)), put, immediate=True, then=stored)


def _run_new(turn: Turn, calls: tuple[CallRecord, ...]) -> list[Effect]:
    """Begin what this step has made durable, each call once."""
    effects: list[Effect] = []
    for call in calls:
        call_id = call.call.call_id
        if call.state is CallState.EXECUTING and call_id not in turn.begun:
            turn.begun.add(call_id)
            effects.append(RunTool(turn.task_id, call.call))
    return effects


def _put_results(state: SessionState, turn: Turn, now: Now) -> list[Message]:
    results: list[Message] = []
    for call in turn.calls:
        message = result_message(state, turn.task_id, turn.leaf_id, call, now)
        state.put_message(message)
        turn.leaf_id = message.message_id
        results.append(message)
    turn.calls = ()
    return results


def _wait_for_person(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    # Also when the person was quicker than the store: the slot is asked for again after this.
    turn.granted = False
    turn.number = 0
    effects: list[Effect] = [TellRegistry(ReturnSlot(state.session_id, turn.task_id, waiting=True))]
    if turn.phase is Phase.WAITING:
        outcome = waiting_outcome(state, turn, now)
        waiters, turn.waiters = turn.waiters, []
        effects += [Answered(request, outcome) for request in waiters]
    return effects


def _ask_again(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    turn.begun.clear()
    if turn.model_calls >= state.known_record().max_turns:
        return settling.settle(state, turn, SessionStatus.MAX_TURNS_REACHED, None, now)
    return call_model(state, turn, now)
