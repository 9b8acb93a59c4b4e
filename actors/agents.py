"""Who answers: an agent is a model with a way to be asked."""

from __future__ import annotations

import msgspec

from actors.model_settings import ModelSettings
from actors.records import ApprovalMode

__all__ = ["DEFAULT_EXECUTOR", "AgentDefinition"]

DEFAULT_EXECUTOR = "default"
"""The executor id of a session's own model."""


class AgentDefinition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An agent; `agent_id` is the executor id by which a question names it.

    `model` is `provider:model`; empty is the session's. So is an empty `system_prompt`, and an
    `approval_mode` of None; `settings` come over the session's. `tools` are the names of those that it is
    offered, None: all.
    """

    agent_id: str
    name: str = ""
    model: str = ""
    system_prompt: str = ""
    approval_mode: ApprovalMode | None = None
    settings: ModelSettings = ModelSettings()
    tools: tuple[str, ...] | None = None
