"""An answer while it is told: what of its nodes the views have heard already."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from actors.conversation import Message, MessageState, Text, ToolCallRequest, ToolResult
from actors.groups import ExecutionNode, ExecutorType, NodeData, NodeStatus, ToolCallData
from actors.projections.grouping import BETWEEN_TEXTS, tool_node_id
from actors.projections.orchestrator_events import (
    NodeField,
    NodeStart,
    NodeStartPayload,
    NodeStatusChanged,
    NodeStatusPayload,
    NodeUpdate,
    NodeUpdatePayload,
    OrchestratorEvent,
)
from actors.projections.statuses import NODE_STATUS_OF_CALL, NODE_STATUS_OF_RESULT
from actors.records import CallRecord

__all__ = ["OpenAnswer"]


class _OpenCall(msgspec.Struct, frozen=True):
    call_id: str
    node_id: str


class OpenAnswer:
    """One answer, from its beginning or from what a snapshot has of it. Each method says what is new."""

    def __init__(self, root: ExecutionNode, task_id: str | None) -> None:
        """`root` as the views have it."""
        self.node_id = root.id
        self.task_id = task_id
        self._statuses = {node.id: node.status for node in (root, *root.children)}
        self._spoken = {
            NodeField.THOUGHT: bool(root.data.thought),
            NodeField.OUTPUT: bool(root.data.output),
        }
        # How much of each field of the latest message that has text is told.
        self._message_id: str | None = None
        self._told = {NodeField.THOUGHT: 0, NodeField.OUTPUT: 0}
        self._calls: list[_OpenCall] = []
        self._outputs: set[str] = {node.id for node in root.children if node.data.output is not None}
        self._with_result: set[str] = set()

    @classmethod
    def restored(cls, root: ExecutionNode, messages: Sequence[Message]) -> OpenAnswer:
        """The answer that these messages are, whose `root` the views have from a snapshot."""
        answer = cls(root, messages[0].task_id)
        for message in messages:
            match message.content:
                case Text(text, thought):
                    answer._message_id = message.message_id
                    answer._told = {NodeField.THOUGHT: len(thought), NodeField.OUTPUT: len(text)}
                case ToolCallRequest(calls):
                    answer._calls = [
                        _OpenCall(call.call_id, tool_node_id(message.message_id, place))
                        for place, call in enumerate(calls)
                    ]
                case ToolResult(call_id=call_id):
                    answer._take(call_id)
                case _:
                    pass
        return answer

    def run(self) -> Iterator[OrchestratorEvent]:
        """It has begun."""
        yield from self._step(self.node_id, NodeStatus.RUNNING)

    def say(self, message_id: str, field: NodeField, chunk: str) -> Iterator[OrchestratorEvent]:
        """The text of this message has grown by the chunk."""
        if not chunk:
            return
        if message_id != self._message_id:
            self._message_id = message_id
            self._told = {NodeField.THOUGHT: 0, NodeField.OUTPUT: 0}
        if self._spoken[field] and not self._told[field]:
            chunk, told = BETWEEN_TEXTS + chunk, len(chunk)
        else:
            told = len(chunk)
        self._spoken[field] = True
        self._told[field] += told
        yield NodeUpdate(NodeUpdatePayload(self.node_id, chunk, field))

    def text(self, message: Message) -> Iterator[OrchestratorEvent]:
        """All of a message's text that is not told yet."""
        assert isinstance(message.content, Text)
        is_known = message.message_id == self._message_id
        for field, text in (
            (NodeField.THOUGHT, message.content.thought),
            (NodeField.OUTPUT, message.content.text),
        ):
            yield from self.say(message.message_id, field, text[self._told[field] if is_known else 0 :])

    def ask(self, message: Message) -> Iterator[OrchestratorEvent]:
        """The message asks for tool calls."""
        assert isinstance(message.content, ToolCallRequest)
        self._calls = []
        for place, call in enumerate(message.content.calls):
            node_id = tool_node_id(message.message_id, place)
            self._calls.append(_OpenCall(call.call_id, node_id))
            self._statuses[node_id] = NodeStatus.PENDING
            node = ExecutionNode(
                id=node_id,
                parent_id=self.node_id,
                executor_id=call.name,
                executor_type=ExecutorType.TOOL,
                name=call.name,
                status=NodeStatus.PENDING,
                start_time=message.created_at,
                data=NodeData(tool_call=ToolCallData(call.name, call.arguments)),
            )
            yield NodeStart(NodeStartPayload(node))
        if message.state is not MessageState.COMPLETE:
            for call in self._calls:
                yield from self._step(call.node_id, NodeStatus.CANCELLED)

    def calls_updated(self, message_id: str, records: Iterable[CallRecord]) -> Iterator[OrchestratorEvent]:
        """The calls that this message asks for stand so."""
        for place, record in enumerate(records):
            node_id = tool_node_id(message_id, place)
            for call in self._calls:
                if call.node_id == node_id:
                    yield from self._stands(call, NODE_STATUS_OF_CALL[record.state], record.output)

    def result(self, result: ToolResult) -> Iterator[OrchestratorEvent]:
        """A call has its result."""
        call = self._take(result.call_id)
        if call is not None:
            yield from self._stands(call, NODE_STATUS_OF_RESULT[result.status], result.output)

    def end(self, status: NodeStatus) -> Iterator[OrchestratorEvent]:
        """It is over; what of it is not, is cancelled."""
        for node_id, known in tuple(self._statuses.items()):
            if node_id != self.node_id and not known.is_final:
                yield from self._step(node_id, NodeStatus.CANCELLED)
        yield from self._step(self.node_id, status)

    def _take(self, call_id: str) -> _OpenCall | None:
        """The first call of this id that has no result message; now it has."""
        for call in self._calls:
            if call.call_id == call_id and call.node_id not in self._with_result:
                self._with_result.add(call.node_id)
                return call
        return None

    def _stands(self, call: _OpenCall, status: NodeStatus, output: str) -> Iterator[OrchestratorEvent]:
        if status in (NodeStatus.SUCCESS, NodeStatus.FAILED):
            yield from self._step(call.node_id, NodeStatus.RUNNING)
        if status.is_final and output and call.node_id not in self._outputs:
            self._outputs.add(call.node_id)
            yield NodeUpdate(NodeUpdatePayload(call.node_id, output))
        yield from self._step(call.node_id, status)

    def _step(self, node_id: str, status: NodeStatus) -> Iterator[OrchestratorEvent]:
        known = self._statuses[node_id]
        if known is status or known.is_final:
            return
        if known is NodeStatus.PENDING and status in (NodeStatus.SUCCESS, NodeStatus.FAILED):
            yield NodeStatusChanged(NodeStatusPayload(node_id, NodeStatus.RUNNING))
        self._statuses[node_id] = status
        yield NodeStatusChanged(NodeStatusPayload(node_id, status))
