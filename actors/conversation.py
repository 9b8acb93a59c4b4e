"""What a conversation is made of: messages, their kinds, and the parts of a streamed answer."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from actors.errors import ErrorInfo

__all__ = [
    "Approval",
    "Attachment",
    "Content",
    "FileReference",
    "FinishPart",
    "FinishReason",
    "Image",
    "Message",
    "MessageState",
    "Part",
    "Processing",
    "ProviderItem",
    "ProviderItemPart",
    "Role",
    "SystemControl",
    "Text",
    "TextPart",
    "ThoughtPart",
    "ToolCall",
    "ToolCallPart",
    "ToolCallRequest",
    "ToolResult",
    "ToolStatus",
    "Usage",
    "UsagePart",
]


class Role(StrEnum):
    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"
    TOOL = "tool"


class FinishReason(StrEnum):
    """Why the model stopped, in one vocabulary for all wires.

    `CONTENT_FILTER`: the provider cut it off; `REFUSAL`: the model declined, and its text may say why.
    `MAX_TURNS`: it was not asked again.
    """

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    MAX_TURNS = "max_turns"
    OTHER = "other"


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one model call, as the provider counted them.

    `input_tokens` are all that the model read: those from the provider's cache, `cached_input_tokens`, and
    those written to it, `cache_write_tokens`, are parts of them. `reasoning_tokens` are a part of
    `output_tokens` where the provider counts so.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_input_tokens=self.cached_input_tokens + other.cached_input_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
        )


class ToolCall(msgspec.Struct, frozen=True):
    """A call that the model asks for. `arguments` is the JSON text as the model wrote it."""

    call_id: str
    name: str
    arguments: str


# --- the kinds of a message -------------------------------------------------------------------------


class Attachment(msgspec.Struct, frozen=True):
    """A text file that goes with a message. The model reads its content behind the message's text."""

    file_name: str
    content: str


class Image(msgspec.Struct, frozen=True, omit_defaults=True, tag="image", tag_field="kind"):
    """A picture of `media_type` `image/...`. `text` is what was read in it, for models that see none."""

    media_type: str
    data: bytes
    file_name: str = ""
    text: str = ""


class FileReference(
    msgspec.Struct, frozen=True, omit_defaults=True, tag="file_reference", tag_field="kind"
):
    """Lines of a file as they were at `read_at`, numbered from 1; without numbers it is the whole file."""

    path: str
    read_at: datetime
    content: str
    first_line: int | None = None
    last_line: int | None = None


class Text(msgspec.Struct, frozen=True, omit_defaults=True, tag="text", tag_field="kind"):
    """What somebody said. `thought` is the model's visible reasoning before it spoke.

    Images and file references go with a user's words, and are sent before them.
    """

    text: str = ""
    thought: str = ""
    attachments: tuple[Attachment, ...] = ()
    images: tuple[Image, ...] = ()
    references: tuple[FileReference, ...] = ()


class ToolCallRequest(msgspec.Struct, frozen=True, tag="tool_call_request", tag_field="kind"):
    """The calls that an assistant's answer ends with, in the model's order."""

    calls: tuple[ToolCall, ...]


class ToolStatus(StrEnum):
    """How a call ended. `UNKNOWN`: it was begun, and nobody saw its end."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


class Approval(StrEnum):
    """What a person said of a tool call."""

    NOT_NEEDED = "not_needed"
    APPROVED = "approved"
    DENIED = "denied"


class ToolResult(msgspec.Struct, frozen=True, omit_defaults=True, tag="tool_result", tag_field="kind"):
    """The one result of one tool call: its output, or what went wrong. Times are of its execution."""

    call_id: str
    name: str
    status: ToolStatus
    output: str
    approval: Approval = Approval.NOT_NEEDED
    started_at: datetime | None = None
    ended_at: datetime | None = None


class SystemControl(msgspec.Struct, frozen=True, tag="system_control", tag_field="kind"):
    """A change of the session itself, at its place in the conversation. No model reads it."""

    setting: str
    before: str
    after: str


class Processing(msgspec.Struct, frozen=True, omit_defaults=True, tag="processing", tag_field="kind"):
    """A step that the engine took on the way to an answer. No model reads it."""

    step: str
    duration_seconds: float
    outcome: str = ""


Content: TypeAlias = (
    Text | Image | FileReference | ToolCallRequest | ToolResult | SystemControl | Processing
)


class ProviderItem(msgspec.Struct, frozen=True):
    """Something in an answer that only its provider understands, and wants back as it was.

    A signed or redacted thought, encrypted reasoning, a tool that the provider runs itself. `wire` is the
    format that it belongs to, `data` its JSON text, `offset` how many characters of the answer's text are
    before it. Sent back on the same wire to the same model, and to nobody else.
    """

    wire: str
    data: str
    offset: int = 0


class MessageState(StrEnum):
    """How complete a message is. Everything but `STREAMING` is final."""

    STREAMING = "streaming"
    COMPLETE = "complete"
    ABORTED = "aborted"
    FAILED = "failed"


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One node of a conversation's tree.

    `parent_id` is the message it answers or follows; siblings are alternatives. `task_id` names the turn
    that made it, `executor_id` the agent that answered, if it was not the session's own model. Usage,
    finish reason and error stand on the last message of an answer, what only its provider understands on
    the first one. `ended_at` is when a message that was streamed became final.
    """

    message_id: str
    parent_id: str | None
    role: Role
    content: Content
    created_at: datetime
    state: MessageState = MessageState.COMPLETE
    task_id: str | None = None
    model: str | None = None
    executor_id: str | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error: ErrorInfo | None = None
    ended_at: datetime | None = None
    provider_items: tuple[ProviderItem, ...] = ()


# --- the parts of a streamed answer -----------------------------------------------------------------


class TextPart(msgspec.Struct, frozen=True, tag="text"):
    text: str


class ThoughtPart(msgspec.Struct, frozen=True, tag="thought"):
    text: str


class ToolCallPart(msgspec.Struct, frozen=True, tag="tool_call"):
    """A piece of a tool call.

    `index` is the call's position in this answer, counted from 0 by our parser, never the provider's own
    number. `call_id` and `name` are empty in a piece that does not (newly) know them; `arguments` is to
    be appended.
    """

    index: int
    call_id: str = ""
    name: str = ""
    arguments: str = ""


class ProviderItemPart(msgspec.Struct, frozen=True, tag="provider_item"):
    """A whole `ProviderItem`, which stands behind the text so far. Viewers do not get it."""

    wire: str
    data: str


class UsagePart(msgspec.Struct, frozen=True, tag="usage"):
    """Tokens so far. A later one replaces an earlier one."""

    usage: Usage


class FinishPart(msgspec.Struct, frozen=True, tag="finish"):
    reason: FinishReason


Part: TypeAlias = TextPart | ThoughtPart | ToolCallPart | ProviderItemPart | UsagePart | FinishPart
