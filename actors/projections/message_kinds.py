"""What the kinds of messages are called in the rows of the service."""

from __future__ import annotations

from actors.conversation import (
    Content,
    FileReference,
    Image,
    Processing,
    Role,
    SystemControl,
    Text,
    ToolCallRequest,
    ToolResult,
)

__all__ = ["ROW_ROLE", "ROW_TYPE"]

ROW_TYPE: dict[type[Content], str] = {
    Text: "text",
    Image: "artifact",
    FileReference: "artifact",
    ToolCallRequest: "tool",
    ToolResult: "tool",
    SystemControl: "status",
    Processing: "status",
}
"""The `messageType` of a row."""

ROW_ROLE: dict[Role, str] = {
    Role.USER: "user",
    Role.ASSISTANT: "agent",
    Role.TOOL: "agent",
    Role.SYSTEM: "system",
}
"""The `role` of a row."""
