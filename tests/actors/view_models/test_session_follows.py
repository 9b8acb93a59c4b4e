"""Whatever happens in a session, who follows its events sees what a fresh snapshot shows."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.conversation import TextPart, ThoughtPart, ToolCall, ToolCallPart, ToolStatus
from actors.groups import ExecutionNode, NodeStatus
from actors.projections.orchestrator import OrchestratorProjection
from actors.projections.orchestrator_events import (
    NodeField,
    NodeStart,
    NodeStatusChanged,
    NodeUpdate,
    OrchestratorEvent,
    SessionStart,
)
from actors.records import CallState, SessionStatus
from actors.view_models import Applied, SessionViewModel
from tests.actors.simulated_session import SimulatedSession

TEXTS = st.text("ab \n", max_size=4)
PARTS = st.lists(
    st.one_of(
        st.builds(TextPart, TEXTS),
        st.builds(ThoughtPart, TEXTS),
        st.just(ToolCallPart(0, "c", "look", "{}")),
    ),
    min_size=1,
    max_size=3,
)
CALLS = st.lists(
    st.builds(ToolCall, st.sampled_from(["c", "d"]), st.just("look"), st.just("{}")), min_size=1, max_size=3
)
ENDS = st.sampled_from([SessionStatus.COMPLETED, SessionStatus.FAILED, SessionStatus.ABORTED])
RESULTS = st.sampled_from([ToolStatus.SUCCEEDED, ToolStatus.FAILED])
ORDER = [NodeStatus.PENDING, NodeStatus.RUNNING]


class ToldNodes:
    """The nodes as a view of the orchestrator's events has them."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, NodeField], str] = {}
        self.statuses: dict[str, list[NodeStatus]] = {}

    def begin(self, node: ExecutionNode) -> None:
        self.statuses[node.id] = [node.status]
        self.texts[node.id, NodeField.THOUGHT] = node.data.thought or ""
        self.texts[node.id, NodeField.OUTPUT] = node.data.output or ""
        for child in node.children:
            self.begin(child)

    def apply(self, event: OrchestratorEvent) -> None:
        match event:
            case SessionStart(group):
                if group.execution_root is not None:
                    assert group.execution_root.status is NodeStatus.PENDING
                    self.begin(group.execution_root)
            case NodeStart(payload):
                assert payload.node.parent_id in self.statuses
                self.begin(payload.node)
            case NodeUpdate(payload):
                self.texts[payload.node_id, payload.field] += payload.chunk
            case NodeStatusChanged(payload):
                self.statuses[payload.node_id].append(payload.status)
            case _:
                pass

    def agree_with(self, node: ExecutionNode) -> None:
        if node.id not in self.statuses:
            return  # it was in a branch that nobody saw when this began
        assert self.texts[node.id, NodeField.THOUGHT] == (node.data.thought or "")
        assert self.texts[node.id, NodeField.OUTPUT] == (node.data.output or "")
        assert self.statuses[node.id][-1] is node.status
        for child in node.children:
            self.agree_with(child)


class Follower:
    def __init__(self, session: SimulatedSession) -> None:
        self._session = session
        self._seen = len(session.events)
        self.view = SessionViewModel(session.snapshot)
        self._projection = OrchestratorProjection(session.snapshot)
        self.told = ToldNodes()
        for group in self.view.groups:
            if group.execution_root is not None:
                self.told.begin(group.execution_root)

    def catch_up(self, *, look: bool) -> None:
        for event in self._session.events[self._seen :]:
            assert self.view.apply(event) is Applied.CHANGED
            for told in self._projection.apply(event):
                self.told.apply(told)
            if look:
                assert self.view.groups is not None
        self._seen = len(self._session.events)


class SessionMachine(RuleBasedStateMachine):
    """One follower that was there from the beginning, one that begins again now and then."""

    @initialize()
    def begin(self) -> None:
        self.session = SimulatedSession()
        self.first = self.latest = Follower(self.session)

    @property
    def is_running(self) -> bool:
        return self.session.record.task is not None

    @property
    def is_calling(self) -> bool:
        return bool(self.session.open_calls)

    @rule()
    def look_again(self) -> None:
        self.latest = Follower(self.session)

    @rule()
    def reload(self) -> None:
        if not self.is_running:
            self.session.reload()

    @precondition(lambda self: not self.is_running)
    @rule()
    def ask(self) -> None:
        self.session.ask("why?")

    @precondition(lambda self: self.is_running and not self.is_calling)
    @rule(parts=PARTS)
    def stream(self, parts: list[TextPart | ThoughtPart | ToolCallPart]) -> None:
        self.session.stream(*parts)

    @precondition(lambda self: self.is_running and not self.is_calling)
    @rule(calls=CALLS)
    def call_tools(self, calls: list[ToolCall]) -> None:
        self.session.call_tools(*calls)

    @precondition(lambda self: self.is_calling)
    @rule()
    def run_tools(self) -> None:
        if self.session.open_calls[0].state is CallState.SCHEDULED:
            self.session.run_tools()

    @precondition(lambda self: self.is_calling)
    @rule(status=RESULTS)
    def end_tools(self, status: ToolStatus) -> None:
        self.session.end_tools(status, "out")

    @precondition(lambda self: self.is_running and not self.is_calling)
    @rule()
    def steer(self) -> None:
        self.session.steer("and why?")

    @precondition(lambda self: self.is_running)
    @rule(status=ENDS)
    def end(self, status: SessionStatus) -> None:
        if self.is_calling:
            self.session.end_tools(ToolStatus.CANCELLED, "This tool was not run.")
        self.session.end(status)

    @precondition(lambda self: not self.is_running and bool(self.session.questions))
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        self.session.retry(data.draw(st.sampled_from(self.session.questions)))

    @precondition(lambda self: not self.is_running and bool(self.session.questions))
    @rule(data=st.data(), rerun=st.booleans())
    def edit(self, data: st.DataObject, rerun: bool) -> None:
        message_id = data.draw(st.sampled_from(self.session.questions))
        if rerun:
            self.session.edit_and_rerun(message_id, "who?")
        else:
            self.session.edit(message_id, "how?")

    @precondition(lambda self: not self.is_running and len(self.session.tree) > 0)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        self.session.delete(data.draw(self._any_message()))

    @precondition(lambda self: not self.is_running and len(self.session.tree) > 0)
    @rule(data=st.data())
    def switch(self, data: st.DataObject) -> None:
        self.session.switch(data.draw(self._any_message()))

    @precondition(lambda self: not self.is_running)
    @rule()
    def rename(self) -> None:
        self.session.rename("another")

    def _any_message(self) -> st.SearchStrategy[str]:
        return st.sampled_from([message.message_id for message in self.session.tree])

    @invariant()
    def followers_see_what_is_there(self) -> None:
        fresh = SessionViewModel(self.session.snapshot)
        for follower, look in ((self.first, False), (self.latest, True)):
            follower.catch_up(look=look)
            view = follower.view
            assert view.groups == fresh.groups
            assert view.branch == fresh.branch == self.session.snapshot.branch
            assert view.messages == fresh.messages
            assert view.record == fresh.record
            assert (view.status, view.error) == (fresh.status, fresh.error)
            assert view.is_generating is fresh.is_generating
            for group in view.groups:
                if group.execution_root is not None:
                    follower.told.agree_with(group.execution_root)

    @invariant()
    def groups_are_well_formed(self) -> None:
        for group in SessionViewModel(self.session.snapshot).groups:
            assert group.sibling_index is not None
            assert group.sibling_count is not None
            assert 0 <= group.sibling_index < group.sibling_count
            if group.execution_root is not None:
                for node in (group.execution_root, *group.execution_root.children):
                    assert (node.end_time is not None) is node.status.is_final
                    assert node.end_time is None or node.end_time >= node.start_time

    def teardown(self) -> None:
        for statuses in self.first.told.statuses.values():
            before_end = statuses[:-1] if statuses[-1].is_final else statuses
            assert before_end in (ORDER, ORDER[:1])


TestSessionFollows = SessionMachine.TestCase
TestSessionFollows.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
