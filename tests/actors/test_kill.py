"""`kill -9` at any moment: what was acknowledged is there, once, and what was cut can be resumed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import trio

from actors.conversation import MessageState, Role, Text
from actors.engine import open_engine
from actors.models.scripted import ScriptedModel
from actors.records import SessionStatus, StoredSession
from actors.stores import SqliteStore
from tests.actors.session.kill_child import answer_of, settings

ROUNDS = 4


def run_and_kill(path: Path, after_lines: int) -> list[list[str]]:
    """Let a child work, kill it after so many reports, and return them all."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.actors.session.kill_child", str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(after_lines)]
        child.kill()
        lines += child.stdout.readlines()
    # What was cut in the middle of a line was acknowledged to nobody.
    return [json.loads(line) for line in lines if line.endswith("\n")]


def read_all(path: Path) -> dict[str, StoredSession]:
    store = SqliteStore.open(path)
    stored = {summary.session_id: store.read(summary.session_id) for summary in store.list_sessions()}
    store.close()
    return stored


def check(promises: list[list[str]], stored: dict[str, StoredSession]) -> None:
    for session in stored.values():
        questions = Counter(
            message.content.text
            for message in session.messages
            if message.role is Role.USER and isinstance(message.content, Text)
        )
        assert all(count == 1 for count in questions.values()), "a question is there twice"
    for kind, session_id, *facts in promises:
        messages = stored[session_id].messages
        match kind, facts:
            case "accepted", [text]:
                assert any(m.content == Text(text) and m.role is Role.USER for m in messages)
            case "ended", [task_id, answer]:
                (ended,) = [m for m in messages if m.task_id == task_id and m.role is Role.ASSISTANT]
                assert (ended.content, ended.state) == (Text(answer), MessageState.COMPLETE)
            case _:
                assert kind == "created"


async def test_what_was_acknowledged_survives_a_kill_and_the_rest_can_be_resumed(tmp_path: Path) -> None:
    path = tmp_path / "greenroom.db"
    moments = random.Random(7)
    promises: list[list[str]] = []
    for _ in range(ROUNDS):
        promises += await trio.to_thread.run_sync(run_and_kill, path, moments.randrange(1, 300))
        check(promises, await trio.to_thread.run_sync(read_all, path))

    model = ScriptedModel(otherwise=answer_of)
    async with open_engine(settings(str(path)), model_for=lambda _: model) as engine:
        for summary in await engine.list_sessions():
            session = await engine.snapshot(summary.session_id)
            if not session.messages or session.messages[-1].state is MessageState.COMPLETE:
                continue
            task_id = await engine.resume_turn(summary.session_id)
            outcome = await engine.wait_turn(summary.session_id, task_id)
            assert outcome.status is SessionStatus.COMPLETED
    stored = await trio.to_thread.run_sync(read_all, path)
    check(promises, stored)
    assert any(kind == "ended" for kind, *_ in promises)
    for session in stored.values():
        assert session.record.task is None
