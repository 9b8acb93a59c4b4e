"""The models, agents and tools that a session of the tests may use."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from actors.access import allow_local
from actors.agents import AgentDefinition
from actors.errors import ErrorCode, ErrorInfo
from actors.model_settings import ModelSettings
from actors.records import ApprovalMode, ImageMode
from actors.session.state import SessionEnvironment
from actors.tools import Tool, ToolContext, ToolRegistry

__all__ = ["AGENTS", "surroundings"]

AGENTS = {
    agent.agent_id: agent
    for agent in (
        AgentDefinition(
            agent_id="expert",
            model="scripted:expert",
            system_prompt="You are an expert.",
            approval_mode=ApprovalMode.ALWAYS_ASK,
        ),
        AgentDefinition(agent_id="modest", tools=("reads", "deletes")),
        AgentDefinition(agent_id="homeless", model="nowhere:model"),
    )
}


async def _never_run(_: Mapping[str, object], __: ToolContext) -> str:
    raise AssertionError("pure logic runs no tools")


_TOOLS = ToolRegistry(
    (
        Tool(name="free", description="does no harm", function=_never_run),
        Tool(name="risky", description="may do harm", function=_never_run, needs_confirmation=True),
        Tool(name="reads", description="looks", function=_never_run, read_only=True),
        Tool(name="writes", description="changes", function=_never_run, group="files"),
        Tool(name="deletes", description="", function=_never_run, group="files", needs_confirmation=True),
    )
)


def surroundings(new_id: Callable[[], str], image_mode: ImageMode = ImageMode.VISION) -> SessionEnvironment:
    return SessionEnvironment(
        new_id=new_id,
        check_model=_check_model,
        find_agent=AGENTS.get,
        tools=_TOOLS,
        authorize=allow_local,
        image_mode=image_mode,
    )


def _check_model(name: str, _: ModelSettings) -> ErrorInfo | None:
    if name.startswith("scripted:"):
        return None
    return ErrorInfo(ErrorCode.EXECUTOR_NOT_FOUND, f"there is no model {name}", {"kind": "model"})
