"""The groups of a session as plain text: what a window would show, and the buttons that it would have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from actors.groups import MessageGroup, NodeStatus
from actors.printable import one_line, printable

__all__ = ["chat_text"]

_MARKS = {
    NodeStatus.PENDING: "waiting",
    NodeStatus.RUNNING: "running",
    NodeStatus.SUCCESS: "done",
    NodeStatus.FAILED: "failed",
    NodeStatus.CANCELLED: "stopped",
}


def chat_text(
    groups: Iterable[MessageGroup],
    *,
    can_delete: Callable[[str], bool],
    can_retry: Callable[[str], bool],
) -> str:
    """Each group with its texts, its tool calls, and `[Delete]` or `[Retry]` where that is allowed."""
    blocks: list[str] = []
    for group in groups:
        lines = [*_lines(group)]
        if group.execution_root is None:
            lines += ["[Delete]"] if can_delete(group.id) else []
        else:
            lines += ["[Retry]"] if can_retry(group.id) else []
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n" if blocks else ""


def _lines(group: MessageGroup) -> Iterator[str]:
    root = group.execution_root
    place = ""
    if group.sibling_index is not None and group.sibling_count is not None and group.sibling_count > 1:
        place = f" {group.sibling_index + 1}/{group.sibling_count}"
    yield f"{group.role}{place}"
    for file in group.files:
        yield f"({one_line(file.name)})"
    if root is None:
        yield printable(group.content or "")
        return
    if root.data.thought:
        yield "Thinking..."
        yield printable(root.data.thought)
    for node in root.children:
        yield f"{one_line(node.name)}: {_MARKS[node.status]}"
    if root.data.output:
        yield printable(root.data.output)
    if root.status in (NodeStatus.FAILED, NodeStatus.CANCELLED):
        yield f"({_MARKS[root.status]})"
