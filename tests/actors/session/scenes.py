"""Sessions at moments that tests begin with, and short words for what they ask."""

from __future__ import annotations

import msgspec

from actors.conversation import Message, Role, Text, TextPart, ToolCallPart, ToolResult, ToolStatus
from actors.errors import ErrorCode, ErrorInfo
from actors.records import ApprovalMode, ChatMode
from actors.session.protocol import NewSession, SessionCommand, SubmitTurn
from tests.actors.session.world import RIVALS, World

__all__ = [
    "FREE",
    "RISKY",
    "answer",
    "arrive",
    "ask",
    "asked",
    "code_of",
    "converse",
    "queued_world",
    "ready_world",
    "results",
    "said",
    "streaming_world",
    "task_of",
    "texts",
]

FREE = ToolCallPart(0, "call_free", "free", "{}")
RISKY = ToolCallPart(1, "call_risky", "risky", "{}")


def arrive(world: World) -> None:
    """Everybody is quick, but the model, the tools and those who hold slots."""
    for _ in range(20):
        world.commit(4)
        world.store_step()
        world.notice_step()
        world.call_step()
        world.registry_step()


def ready_world(mode: ChatMode = ChatMode.CHAT, *, system_prompt: str = "") -> World:
    world = World(NewSession(model="scripted:echo", mode=mode, system_prompt=system_prompt))
    world.run_to_rest()
    return world


def ask(world: World, command: SessionCommand) -> object:
    """What it is answered with when all has arrived that can."""
    request = world.ask(command)
    arrive(world)
    return world.answers.get(request)


def task_of(world: World, command: SessionCommand) -> str:
    answered = ask(world, command)
    assert isinstance(answered, str), answered
    return answered


def answer(world: World, text: str) -> None:
    """The running model call says this, and is over."""
    world.say(TextPart(text))
    world.end_call()
    arrive(world)


def converse(world: World, *questions: str) -> None:
    for question in questions:
        task_of(world, SubmitTurn(text=question))
        answer(world, f"to {question}")


def streaming_world(mode: ChatMode = ChatMode.CHAT) -> World:
    """`why?` is asked, and its answer has begun."""
    world = ready_world(mode)
    task_of(world, SubmitTurn(text="why?"))
    world.say(TextPart("beca"))
    arrive(world)
    return world


def queued_world() -> World:
    """`why?` waits for the slot that a rival has."""
    world = ready_world()
    world.take_slot(RIVALS[0])
    task_of(world, SubmitTurn(text="why?"))
    return world


def asked(*calls: ToolCallPart, mode: ApprovalMode = ApprovalMode.DEFAULT, max_turns: int = 20) -> World:
    """An agent whose model has just asked for these tools."""
    world = World(
        NewSession(model="scripted:echo", mode=ChatMode.AGENT, approval_mode=mode, max_turns=max_turns)
    )
    world.run_to_rest()
    task_of(world, SubmitTurn(text="do it"))
    world.say(*(msgspec.structs.replace(call, index=index) for index, call in enumerate(calls)))
    world.end_call()
    arrive(world)
    return world


def results(world: World) -> dict[str, ToolStatus]:
    contents = [message.content for message in world.stored().messages]
    return {content.call_id: content.status for content in contents if isinstance(content, ToolResult)}


def said(message: Message) -> str:
    return message.content.text if isinstance(message.content, Text) else ""


def texts(world: World, *, role: Role | None = None) -> list[str]:
    """What the visible branch says, as the store has it."""
    stored = world.stored()
    parents = {message.message_id: message for message in stored.messages}
    backwards: list[str] = []
    message_id = stored.record.active_leaf_id
    while message_id is not None:
        message = parents[message_id]
        if role is None or message.role is role:
            backwards.append(said(message))
        message_id = message.parent_id
    return backwards[::-1]


def code_of(answered: object) -> ErrorCode:
    assert isinstance(answered, ErrorInfo), answered
    return answered.code
