"""The tool calls of a session: which may run, which wait for a person or for room, which are over.

`validating -> scheduled | awaiting_approval -> executing -> success | error | cancelled`. A call is
validated in the step that takes it, so that nobody ever sees it in its first state. No I/O: who owns the
scheduler makes durable what it says, and runs what it has begun.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

import msgspec

from actors.conversation import Approval, ToolCall, ToolStatus
from actors.records import ApprovalMode, CallRecord, CallState, ConfirmationOutcome, WorkMode
from actors.session.effects import Now
from actors.tools import Tool, ToolRegistry
from actors.tools.arguments import wrong_arguments

__all__ = ["FINAL_CALLS", "ToolPolicy", "ToolScheduler", "call_digest"]

FINAL_CALLS = frozenset({CallState.SUCCESS, CallState.ERROR, CallState.CANCELLED})

_MOST_IDENTICAL_CALLS = 5
"""So often a turn may make one and the same call; models that go on are caught in a loop."""

_MOST_NAMES_TOLD = 50
_LONGEST_NAME_TOLD = 100

_ENDINGS = {
    ToolStatus.SUCCEEDED: CallState.SUCCESS,
    ToolStatus.FAILED: CallState.ERROR,
    ToolStatus.CANCELLED: CallState.CANCELLED,
    ToolStatus.UNKNOWN: CallState.ERROR,
}
_ASKS = frozenset({ApprovalMode.DEFAULT, ApprovalMode.ALWAYS_ASK})


class ToolPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a session allows its tools, for one turn; see the fields of `SessionRecord`.

    `names` are the tools that the one who answers may use, None: all.
    """

    mode: ApprovalMode
    tool_modes: dict[str, ApprovalMode] = {}
    all_approved: bool = False
    work_mode: WorkMode = WorkMode.ACT
    max_parallel: int = 10
    names: tuple[str, ...] | None = None

    def mode_of(self, tool: Tool) -> ApprovalMode:
        mode = self.tool_modes.get(tool.name, self.mode)
        return ApprovalMode.AUTO if self.all_approved and mode in _ASKS else mode

    def offers(self, tool: Tool) -> bool:
        """Whether the model is told of this tool."""
        return (
            (self.names is None or tool.name in self.names)
            and (self.work_mode is WorkMode.ACT or tool.read_only)
            and self.mode_of(tool) is not ApprovalMode.DENY
        )


def call_digest(call: ToolCall) -> str:
    """What a person approves: this tool with these arguments, to the letter."""
    return hashlib.sha256(f"{call.name}\0{call.arguments}".encode()).hexdigest()[:32]


class ToolScheduler:
    """The calls of one answer at a time, in the model's order. Made with its session, and its own.

    Their ids are all different. Where nothing is executed and nothing waits for a person, all are over.
    """

    __slots__ = ("_at_work", "_begun", "_calls", "_judged", "_made", "_tools", "_unfinished")

    def __init__(self, tools: ToolRegistry) -> None:
        self._tools = tools
        self._calls: dict[str, CallRecord] = {}
        self._unfinished: dict[str, CallRecord] = {}  # those of them that are not over, in the same order
        self._at_work: tuple[tuple[str, str], ...] = ()  # stopped, and not ended: call id and group
        # Made when they are needed: most sessions are at rest.
        self._begun: set[str] | None = None
        self._made: Counter[str] | None = None
        self._judged: dict[str, Tool] | None = None  # by which tool, of those that this process has taken

    @property
    def calls(self) -> tuple[CallRecord, ...]:
        return tuple(self._calls.values())

    def available(self, policy: ToolPolicy) -> tuple[Tool, ...]:
        """The tools that the model is told of, in an order that stays."""
        return tuple(tool for tool in self._tools if policy.offers(tool))

    def begin_turn(self) -> None:
        """Forget what the last turn called."""
        self._calls, self._unfinished = {}, {}
        self._begun = self._made = self._judged = None

    def restore(self, calls: tuple[CallRecord, ...]) -> None:
        """Take the calls of a turn that waits, as the store has them.

        They are judged again before they run: the tools may be others than those that the calls were for.
        """
        self.begin_turn()
        for call in calls:
            self._change(call)

    def execute(self, calls: Iterable[ToolCall], policy: ToolPolicy, now: Now) -> None:
        """Take the calls of an answer: each is scheduled, waits for a person, or is over."""
        self._begun = self._judged = None
        self._calls, self._unfinished = {}, {}
        for call in calls:
            self._change(self._validated(call, policy, now))
        self._schedule(policy, now)

    def confirm(
        self, call_id: str, outcome: ConfirmationOutcome, policy: ToolPolicy, now: Now, *, begin: bool
    ) -> None:
        """A person has decided of a call that waits; with `begin` what may run now is begun.

        `policy` is the one after the decision: other calls that need none any more are let go with it.
        """
        for call in tuple(self._unfinished.values()):
            if call.state is not CallState.AWAITING_APPROVAL:
                continue
            if call.call.call_id == call_id:
                self._change(_decided(call, outcome, now))
            elif outcome in (ConfirmationOutcome.ALWAYS_TOOL, ConfirmationOutcome.ALWAYS_SESSION):
                tool = self._tools.get_tool(call.call.name)
                if tool is not None and policy.mode_of(tool) is ApprovalMode.AUTO:
                    self._change(_decided(call, ConfirmationOutcome.APPROVED, now))
        if begin:
            self._schedule(policy, now)

    def go_on(self, policy: ToolPolicy, now: Now) -> None:
        """There is room again: begin what may run now."""
        self._schedule(policy, now)

    def ended(self, call_id: str, status: ToolStatus, output: str, policy: ToolPolicy, now: Now) -> bool:
        """A call that was begun is over. False: it was over before, and this is not wanted."""
        call = self.find(call_id)
        if call is None or call.state is not CallState.EXECUTING:
            return False
        self._change(msgspec.structs.replace(call, state=_ENDINGS[status], output=output, ended_at=now.at))
        self._schedule(policy, now)
        return True

    def cancel(
        self,
        call_ids: Collection[str] | None,
        policy: ToolPolicy,
        output: str,
        now: Now,
        *,
        begin: bool,
    ) -> tuple[str, ...]:
        """End what is not over, of these or of all calls; the ids of those that this was said of.

        With `begin` what has room now is begun. Those that were run keep their room and their group until
        `stopped` says that they have ended.
        """
        stopped = [
            call for call in self._unfinished.values() if call_ids is None or call.call.call_id in call_ids
        ]
        for call in stopped:
            self._change(
                msgspec.structs.replace(call, state=CallState.CANCELLED, output=output, ended_at=now.at)
            )
        if begin:
            begun = self._begun or ()
            self._at_work += tuple(
                (call.call.call_id, self._group_of(call)) for call in stopped if call.call.call_id in begun
            )
            self._schedule(policy, now)
        return tuple(call.call.call_id for call in stopped)

    def stopped(self, call_id: str) -> bool:
        """A call that was stopped has ended. False: nobody has waited for that."""
        for entry in self._at_work:
            if entry[0] == call_id:
                self._at_work = tuple(other for other in self._at_work if other is not entry)
                return True
        return False

    def forget_stopped(self) -> None:
        """Those that were stopped have no room and no group any more."""
        self._at_work = ()

    @property
    def at_work(self) -> tuple[str, ...]:
        """The ids of calls that were stopped, and have not ended."""
        return tuple(call_id for call_id, _ in self._at_work)

    def take_begun(self, durable: Iterable[CallRecord]) -> tuple[ToolCall, ...]:
        """Of the calls that the store knows as begun, those that are to run now: each is given once."""
        if self._begun is None:
            self._begun = set()
        running = {call.call.call_id for call in self._executing()}
        new = running - self._begun
        begun = [
            call.call for call in durable if call.state is CallState.EXECUTING and call.call.call_id in new
        ]
        self._begun.update(call.call_id for call in begun)
        return tuple(begun)

    def take_results(self) -> tuple[CallRecord, ...]:
        """All calls, which are over, in the model's order; the scheduler is empty then."""
        calls = self.calls
        self._calls, self._unfinished = {}, {}
        self._begun = self._judged = None
        return calls

    def find(self, call_id: str) -> CallRecord | None:
        return self._calls.get(call_id)

    def has(self, *states: CallState) -> bool:
        """Whether a call that is not over is in one of these states."""
        return any(call.state in states for call in self._unfinished.values())

    def may_begin(self, policy: ToolPolicy) -> bool:
        """Whether there is a call that would be begun now, if those that were stopped had ended."""
        return any(True for _ in self._startable(policy, at_work=()))

    # -- one call --

    def _validated(self, call: ToolCall, policy: ToolPolicy, now: Now) -> CallRecord:
        digest = call_digest(call)
        if self._made is None:
            self._made = Counter()
        self._made[digest] += 1
        taken = CallRecord(call=call, digest=digest, state=CallState.SCHEDULED)
        return self._judge(taken, policy, now, self._made[digest])

    def _judge(self, call: CallRecord, policy: ToolPolicy, now: Now, times: int = 1) -> CallRecord:
        """By the tool as it is now the call is scheduled, waits for a person, or is over."""
        tool = self._tools.get_tool(call.call.name)
        refusal = self._refusal(call.call, tool, policy, times)
        if refusal or tool is None:
            return msgspec.structs.replace(call, state=CallState.ERROR, output=refusal, ended_at=now.at)
        if self._judged is None:
            self._judged = {}
        self._judged[call.call.call_id] = tool
        match policy.mode_of(tool):
            case ApprovalMode.DENY:
                return msgspec.structs.replace(
                    call,
                    state=CallState.CANCELLED,
                    approval=Approval.DENIED if call.approval is Approval.NOT_NEEDED else call.approval,
                    output="This tool may not be run in this session.",
                    ended_at=now.at,
                )
            case _ if call.approval is Approval.APPROVED:
                return call
            case ApprovalMode.DEFAULT if not tool.needs_confirmation:
                return call
            case ApprovalMode.AUTO:
                return call
            case ApprovalMode.DEFAULT | ApprovalMode.ALWAYS_ASK:
                return msgspec.structs.replace(call, state=CallState.AWAITING_APPROVAL)

    def _refusal(self, call: ToolCall, tool: Tool | None, policy: ToolPolicy, times: int) -> str:
        """Why a call cannot be run, for the model; empty if it can."""
        if tool is None or not (policy.names is None or tool.name in policy.names):
            return _unknown_tool(call.name, [tool.name for tool in self.available(policy)])
        if policy.work_mode is WorkMode.PLAN and not tool.read_only:
            return f"{call.name} changes things, and this is plan mode: say what you would do with it."
        if times > _MOST_IDENTICAL_CALLS:
            return (
                f"You have made this call {times - 1} times with the same arguments, and it was not run "
                f"again: use what it gave, or do something else."
            )
        return wrong_arguments(tool, call.arguments)

    def _schedule(self, policy: ToolPolicy, now: Now) -> None:
        for call in self._startable(policy, self._at_work):
            self._change(self._begin(call, policy, now))

    def _begin(self, call: CallRecord, policy: ToolPolicy, now: Now) -> CallRecord:
        if call.digest != call_digest(call.call):
            output = "This is not the call that was approved: it was changed since, and was not run."
            return msgspec.structs.replace(call, state=CallState.ERROR, output=output, ended_at=now.at)
        tool = self._tools.get_tool(call.call.name)
        if tool is None or (self._judged or {}).get(call.call.call_id) is not tool:
            call = self._judge(call, policy, now)
        if call.state is not CallState.SCHEDULED:
            return call
        return msgspec.structs.replace(call, state=CallState.EXECUTING, started_at=now.at)

    def _startable(self, policy: ToolPolicy, at_work: tuple[tuple[str, str], ...]) -> Iterator[CallRecord]:
        """What may begin now; whoever asks for the next one has begun the one before.

        Of a group a call waits for those before it to be over, also for one that waits for a person: the
        order may be what the model relies on.
        """
        if not any(call.state is CallState.SCHEDULED for call in self._unfinished.values()):
            return  # as after most ends, of which a large batch has many
        executing = self._executing()
        room = policy.max_parallel - len(executing) - len(at_work)
        taken = {self._group_of(call) for call in executing} | {group for _, group in at_work}
        for call in tuple(self._unfinished.values()):
            if room <= 0:
                return
            group = self._group_of(call)
            if call.state is CallState.SCHEDULED and (not group or group not in taken):
                yield call
                state = self._calls[call.call.call_id].state
                if state in FINAL_CALLS:
                    continue
                if state is CallState.EXECUTING:
                    room -= 1
            taken.add(group)

    def _executing(self) -> list[CallRecord]:
        return [call for call in self._unfinished.values() if call.state is CallState.EXECUTING]

    def _group_of(self, call: CallRecord) -> str:
        tool = self._tools.get_tool(call.call.name)
        return "" if tool is None else tool.group

    def _change(self, changed: CallRecord) -> None:
        call_id = changed.call.call_id
        self._calls[call_id] = changed
        if changed.state in FINAL_CALLS:
            self._unfinished.pop(call_id, None)
        else:
            self._unfinished[call_id] = changed


def _unknown_tool(name: str, known: list[str]) -> str:
    """The model may learn from names how it should have been; not from thousands of them."""
    name = name if len(name) <= _LONGEST_NAME_TOLD else f"{name[:_LONGEST_NAME_TOLD]}..."
    more = len(known) - _MOST_NAMES_TOLD
    told = ", ".join(known[:_MOST_NAMES_TOLD]) or "none"
    return f"There is no tool {name!r}; known are: {told}{f', and {more} more' if more > 0 else ''}."


def _decided(call: CallRecord, outcome: ConfirmationOutcome, now: Now) -> CallRecord:
    if outcome is ConfirmationOutcome.DENIED:
        return msgspec.structs.replace(
            call,
            state=CallState.CANCELLED,
            approval=Approval.DENIED,
            output="A person has denied this call.",
            ended_at=now.at,
        )
    return msgspec.structs.replace(call, state=CallState.SCHEDULED, approval=Approval.APPROVED)
