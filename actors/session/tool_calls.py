"""The tool calls of a turn: judged, approved, run, and their results given back to the model.

Which calls run at once follows from the session's approval mode; those that wait for a person hold no slot.
The turn goes on when all of them are over, with the results in the order of the calls.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.answer import Answer
from actors.conversation import Approval, Message, MessageState, ToolResult
from actors.errors import ErrorCode, ErrorInfo
from actors.events import MessageAdded, ToolCallsCompleted, ToolCallsUpdated, ToolOutput
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
from actors.session.effects import Answered, CancelTools, Effect, Now, RunTool, TellRegistry
from actors.session.outcome import answer_messages, result_message, waiting_outcome
from actors.session.protocol import CancelToolCalls, ConfirmToolCall, ToolEnded, ToolStopped
from actors.session.refusals import invalid
from actors.session.state import SessionState
from actors.session.turn import Phase, Turn

__all__ = ["begin", "cancel", "confirm", "ended", "output_arrived", "resume", "stopped"]


def begin(state: SessionState, turn: Turn, answer: Answer, now: Now) -> list[Effect]:
    """The model has asked for tools: judge the calls, and make durable what is about to run."""
    growing = turn.answer
    answered = answer_messages(state, turn, answer, MessageState.COMPLETE, None, now)
    for message in answered:
        state.put_message(message)
    turn.add_usage()
    turn.begin_answer()
    turn.leaf_id = turn.request_message_id = answered[-1].message_id
    state.scheduler.execute(answer.tool_calls, state.tool_policy(turn), now)
    turn.phase = Phase.TOOLS
    return _go_on(state, turn, answered, now, growing=growing)


def ended(state: SessionState, message: ToolEnded, now: Now) -> list[Effect]:
    turn = state.current_turn(message.task_id)
    if turn is None or turn.phase is not Phase.TOOLS:
        return []  # it was stopped
    policy = state.tool_policy(turn)
    if not state.scheduler.ended(message.call_id, message.status, message.output, policy, now):
        return []
    if _is_storing(state, turn):
        return []  # it is in the next write, with those that end meanwhile: each write holds all calls
    return _go_on(state, turn, (), now)


def stopped(state: SessionState, message: ToolStopped, now: Now) -> list[Effect]:
    """A call that was stopped has ended: what has waited for its room or its group may begin."""
    turn = state.current_turn(message.task_id)
    if turn is None or not state.scheduler.stopped(message.call_id) or turn.phase is not Phase.TOOLS:
        return []
    before = state.scheduler.calls
    state.scheduler.go_on(state.tool_policy(turn), now)
    if not before or (state.scheduler.calls == before and state.scheduler.has(CallState.EXECUTING)):
        return []  # the results are on their way already, or others are still at it
    return _go_on(state, turn, (), now)


def output_arrived(state: SessionState, task_id: str, call_id: str, text: str, now: Now) -> list[Effect]:
    turn = state.current_turn(task_id)
    call = state.scheduler.find(call_id)
    if turn is None or call is None or call.state is not CallState.EXECUTING:
        return []
    return state.publish(ToolOutput(call_id, text), task_id, now)


def confirm(
    state: SessionState, message: ConfirmToolCall, now: Now, request: int
) -> list[Effect] | ErrorInfo:
    """A person has decided. The first decision counts, and the same one again is answered alike."""
    turn = state.turn
    call = None if turn is None else state.scheduler.find(message.call_id)
    if turn is None or call is None or call.state is not CallState.AWAITING_APPROVAL:
        return _decided_before(state, message, call, now, request)
    if message.digest not in (None, call.digest):
        return ErrorInfo(
            ErrorCode.CONFLICT,
            f"tool call {message.call_id!r} is not the one that you have seen: look at it again",
            {"digest": call.digest},
        )
    _remember(state, call, message.outcome)
    begin = turn.phase is Phase.TOOLS
    state.scheduler.confirm(message.call_id, message.outcome, state.tool_policy(turn), now, begin=begin)
    task_id = turn.task_id
    if begin:
        effects = _go_on(state, turn, (), now)
    elif turn.phase is Phase.WAITING and _can_go_on(state, turn):
        effects = _ask_for_slot(state, turn, now)
    else:
        effects = _store_calls(state, turn, now)
    return effects + state.when_saved(now, lambda _state, _now: [Answered(request, task_id)])


def _remember(state: SessionState, call: CallRecord, outcome: ConfirmationOutcome) -> None:
    """What is allowed from now on. It is in the same write as the decision."""
    record = state.known_record()
    if outcome is ConfirmationOutcome.ALWAYS_TOOL:
        modes = {**record.tool_modes, call.call.name: ApprovalMode.AUTO}
        state.record = msgspec.structs.replace(record, tool_modes=modes)
    elif outcome is ConfirmationOutcome.ALWAYS_SESSION:
        state.record = msgspec.structs.replace(record, all_approved=True)


def cancel(state: SessionState, message: CancelToolCalls, now: Now, request: int) -> list[Effect]:
    """Stop calls; the turn goes on with what the others say, and with that."""
    turn = state.turn
    if turn is None or turn.phase not in (Phase.TOOLS, Phase.WAITING, Phase.RESUMING):
        return [Answered(request, ())]
    begin = turn.phase is Phase.TOOLS
    policy = state.tool_policy(turn)
    stopped = state.scheduler.cancel(message.call_ids, policy, "This tool was stopped.", now, begin=begin)
    if not stopped:
        return [Answered(request, ())]
    at_work = state.scheduler.at_work
    effects: list[Effect] = [
        CancelTools(turn.task_id, tuple(call_id for call_id in stopped if call_id in at_work))
    ]
    if begin:
        effects += _go_on(state, turn, (), now)
    elif turn.phase is Phase.WAITING and _can_go_on(state, turn):
        effects += _ask_for_slot(state, turn, now)
    else:
        effects += _store_calls(state, turn, now)
    return [*effects, Answered(request, stopped)]


def _decided_before(
    state: SessionState,
    message: ConfirmToolCall,
    call: CallRecord | None,
    now: Now,
    request: int,
) -> list[Effect] | ErrorInfo:
    turn, call_id = state.turn, message.call_id
    if call is not None and turn is not None:
        decided, name, task_id = call.approval, call.call.name, turn.task_id
    else:
        result = _result_of(state, call_id)
        if result is None:
            return invalid(f"session {state.session_id} has no tool call {call_id!r}")
        assert isinstance(result.content, ToolResult)
        decided, name, task_id = result.content.approval, result.content.name, result.task_id
    if _was_said(state.known_record(), message.outcome, decided, name):
        return state.when_saved(now, lambda _state, _now: [Answered(request, task_id)])
    if decided is Approval.NOT_NEEDED:
        return ErrorInfo(ErrorCode.CONFLICT, f"tool call {call_id!r} waits for nobody: look at it again")
    return ErrorInfo(
        ErrorCode.CONFLICT,
        f"tool call {call_id!r} is decided already: {decided.value}, not {message.outcome.value}",
    )


def _was_said(
    record: SessionRecord, outcome: ConfirmationOutcome, decided: Approval, tool_name: str
) -> bool:
    """Whether all that this outcome means is so already."""
    match outcome:
        case ConfirmationOutcome.DENIED:
            return decided is Approval.DENIED
        case ConfirmationOutcome.APPROVED:
            return decided is Approval.APPROVED
        case ConfirmationOutcome.ALWAYS_TOOL:
            is_known = record.all_approved or record.tool_modes.get(tool_name) is ApprovalMode.AUTO
            return decided is Approval.APPROVED and is_known
        case ConfirmationOutcome.ALWAYS_SESSION:
            return decided is Approval.APPROVED and record.all_approved


def _result_of(state: SessionState, call_id: str) -> Message | None:
    """The newest result of a call with this id: some models use ids again."""
    found = None
    for message in state.tree:
        if isinstance(message.content, ToolResult) and message.content.call_id == call_id:
            found = message
    return found


def _can_go_on(state: SessionState, turn: Turn) -> bool:
    calls = state.scheduler
    return calls.may_begin(state.tool_policy(turn)) or not calls.has(CallState.AWAITING_APPROVAL)


def _ask_for_slot(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    turn.phase = Phase.RESUMING
    calls = state.scheduler.calls
    put = state.change_record(now, status=SessionStatus.QUEUED, task=state.task_record(turn))

    def stored(state: SessionState, now: Now) -> list[Effect]:
        effects = _announce_calls(state, turn, calls, put.record, now)
        if turn.phase is Phase.RESUMING:
            effects.append(TellRegistry(turn.slot_request(state.session_id)))
        return effects

    return state.write(put, immediate=True, then=stored)


def _store_calls(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    calls = state.scheduler.calls
    put = state.change_record(now, task=state.task_record(turn))
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
    state.scheduler.go_on(state.tool_policy(turn), now)
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
    calls = state.scheduler.calls
    waits = over = False
    held_up = state.scheduler.at_work and state.scheduler.has(CallState.SCHEDULED)
    if not held_up and not state.scheduler.has(CallState.EXECUTING):
        waits = state.scheduler.has(CallState.AWAITING_APPROVAL)
        over = not waits
    if waits:
        status = SessionStatus.WAITING_CONFIRMATION
        turn.phase = Phase.WAITING
    elif over:
        results = _put_results(state, turn, now)
    put = state.change_record(now, status=status, active_leaf_id=turn.leaf_id, task=state.task_record(turn))

    def stored(state: SessionState, now: Now) -> list[Effect]:
        effects = settling.announce_answer(state, turn, growing, answered, now)
        for message in results:
            effects += state.publish(MessageAdded(message), turn.task_id, now)
        effects += _announce_calls(state, turn, calls, put.record, now)
        if over:
            completed = ToolCallsCompleted(turn.request_message_id, calls)
            effects += state.publish(completed, turn.task_id, now)
        if waits:
            effects += _wait_for_person(state, turn, now)
        if turn.phase is Phase.TOOLS:
            effects += _ask_again(state, turn, now) if over else _run_begun(state, turn, calls)
            if not over and not _is_storing(state, turn) and state.scheduler.calls != calls:
                effects += _go_on(state, turn, (), now)
        return effects

    effects = state.write(*map(PutMessage, (*answered, *results)), put, immediate=True, then=stored)
    turn.calls_revision = state.revision
    return effects


def _is_storing(state: SessionState, turn: Turn) -> bool:
    """Whether the tool calls, as they stood a moment ago, are on their way to the store."""
    return turn.calls_revision > state.saved_revision


def _run_begun(state: SessionState, turn: Turn, durable: tuple[CallRecord, ...]) -> list[Effect]:
    """Run what is durable as begun, each call once."""
    return [RunTool(turn.task_id, call) for call in state.scheduler.take_begun(durable)]


def _put_results(state: SessionState, turn: Turn, now: Now) -> list[Message]:
    results: list[Message] = []
    for call in state.scheduler.take_results():
        message = result_message(state, turn.task_id, turn.leaf_id, call, now)
        state.put_message(message)
        turn.leaf_id = message.message_id
        results.append(message)
    return results


def _wait_for_person(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    # Also when the person was quicker than the store: the slot is asked for again after this.
    turn.granted = False
    turn.number = 0
    effects = settling.stop_leftovers(state)
    effects.append(TellRegistry(ReturnSlot(state.session_id, turn.task_id, waiting=True)))
    if turn.phase is Phase.WAITING:
        outcome = waiting_outcome(state, turn, now)
        waiters, turn.waiters = turn.waiters, []
        effects += [Answered(request, outcome) for request in waiters]
    return effects


def _ask_again(state: SessionState, turn: Turn, now: Now) -> list[Effect]:
    if turn.model_calls >= state.known_record().max_turns:
        return settling.settle(state, turn, SessionStatus.MAX_TURNS_REACHED, None, now)
    return call_model(state, turn, now)
