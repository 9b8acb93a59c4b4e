"""What the tests of engines with a catalog share."""

from __future__ import annotations

from actors.agents import AgentDefinition
from actors.connections import McpServer
from actors.engine import Engine
from actors.records import SessionStatus

__all__ = ["CRITIC", "FILES", "KIND", "ask"]

CRITIC = AgentDefinition(agent_id="critic", system_prompt="Find the flaw.")
KIND = AgentDefinition(agent_id="critic", system_prompt="Be kind.")
FILES = McpServer(server_id="files", command="files", environment={"TOKEN": "t-secret"}, enabled=False)


async def ask(engine: Engine, session_id: str, executor_id: str = "default") -> SessionStatus:
    task_id = await engine.submit_turn(session_id, "hello", executor_id=executor_id)
    return (await engine.wait_turn(session_id, task_id)).status
