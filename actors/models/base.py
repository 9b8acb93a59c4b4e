"""The contract of every language model: a request in, parts out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import msgspec

from actors.conversation import Message, Part
from actors.model_settings import ModelSettings

__all__ = ["Emit", "LanguageModel", "ModelRequest", "ToolDefinition"]

Emit: TypeAlias = Callable[[tuple[Part, ...]], None]
"""Takes the parts of one network read, never empty, in order. Does not block and does not raise."""


class ToolDefinition(msgspec.Struct, frozen=True):
    """A tool as a model is told of it; `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: msgspec.Raw


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a model.

    `messages` is a sendable branch, the oldest first: every tool call in it has exactly one result.
    `settings` come over those of the model's connection. Requests of one `conversation_id` begin alike:
    each holds what the one before it held, in the same words, so that providers can cache it.
    """

    messages: tuple[Message, ...]
    system_prompt: str = ""
    tools: tuple[ToolDefinition, ...] = ()
    settings: ModelSettings = ModelSettings()
    conversation_id: str = ""


class LanguageModel(Protocol):
    """A model behind a wire. Runs in a child task of a session; one instance serves all sessions."""

    @property
    def name(self) -> str:
        """`provider:model`, as the user wrote it."""
        ...

    async def stream(self, request: ModelRequest, emit: Emit) -> None:
        """Run one call to its end, handing out parts as they arrive, batched per network read.

        A `FinishPart` is among them when the model said why it stopped. Cancellation closes the
        connection. What was emitted before an error stays valid.

        Raises:
            EngineError: with the code of the failure; no other exception leaves for reasons that the
                endpoint or the network caused.
        """
        ...
