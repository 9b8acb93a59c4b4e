"""A process that runs twenty sessions on a store until it is killed; it prints what it was promised."""

from __future__ import annotations

import json
import os
import sys

import trio

from actors.conversation import TextPart
from actors.engine import Engine, open_engine
from actors.errors import EngineError, ErrorCode
from actors.models.base import ModelRequest
from actors.models.scripted import Delay, Say, Script, ScriptedModel
from actors.settings import EngineSettings

__all__ = ["SESSIONS", "answer_of", "settings"]

SESSIONS = 20
WORDS = 5


def settings(path: str) -> EngineSettings:
    return EngineSettings(
        store=path, max_concurrent=8, max_queue_size=SESSIONS, persist_throttle_seconds=0.02
    )


def answer_of(request: ModelRequest) -> Script:
    """Some words, over some milliseconds; how many depends on how far the conversation is."""
    number = len(request.messages)
    words = (Say((TextPart(f"{number}.{word} "),)) for word in range(WORDS))
    return tuple(step for word in words for step in (Delay(0.003), word))


def report(*facts: object) -> None:
    os.write(sys.stdout.fileno(), (json.dumps(facts) + "\n").encode())


async def talk(engine: Engine, session_id: str, first: int) -> None:
    try:
        task_id = await engine.resume_turn(session_id)
        outcome = await engine.wait_turn(session_id, task_id)
        report("ended", session_id, task_id, outcome.answer)
    except EngineError as error:
        if error.code is not ErrorCode.INVALID_ARGUMENT:
            raise
    number = first
    while True:
        text = f"{session_id} asks {os.getpid()}.{number}"
        task_id = await engine.submit_turn(session_id, text)
        report("accepted", session_id, text)
        outcome = await engine.wait_turn(session_id, task_id)
        report("ended", session_id, task_id, outcome.answer)
        number += 1


async def main(path: str) -> None:
    model = ScriptedModel(otherwise=answer_of)
    async with (
        open_engine(settings(path), model_for=lambda _: model) as engine,
        trio.open_nursery() as nursery,
    ):
        known = {summary.session_id for summary in await engine.list_sessions()}
        for number in range(SESSIONS):
            session_id = f"s{number}"
            if session_id not in known:
                await engine.create_session(session_id=session_id)
                report("created", session_id)
            nursery.start_soon(talk, engine, session_id, 0)


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
