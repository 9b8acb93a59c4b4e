"""What a model is told before the conversation: the system prompt, by mode and context."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from actors.records import ChatMode, WorkMode

__all__ = ["PromptContext", "PromptFor", "default_prompt"]

_PLAN = (
    "You are in plan mode. Find out what you need with the tools that you have, which change nothing. Do "
    "not claim to have changed anything: answer with a plan, step by step, that can be carried out once "
    "the user has agreed to it."
)


class PromptContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a system prompt may follow from.

    `system_prompt` is the agent's, the session's, or that of a rerun. `tools` are the names of those that
    the model is offered.
    """

    session_id: str
    executor_id: str
    model: str
    system_prompt: str
    mode: ChatMode
    work_mode: WorkMode
    knowledge: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    directory: str = ""


PromptFor: TypeAlias = Callable[[PromptContext], str]
"""Writes a system prompt. Called before each model call, in the engine's thread: it must be quick.

The same context should give the same words: providers cache what requests begin with.
"""


def default_prompt(context: PromptContext) -> str:
    """The session's own prompt, what it knows, and in plan mode what that means."""
    is_plan = context.work_mode is WorkMode.PLAN and context.mode is ChatMode.AGENT
    texts = (context.system_prompt, *context.knowledge, _PLAN if is_plan else "")
    return "\n\n".join(text for text in texts if text)
