"""Chat files that become something else while the engine knows them."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.engine import Engine, open_engine
from actors.errors import ErrorCode
from actors.records import SessionStatus
from actors.session.protocol import NewSession
from actors.settings import EngineSettings
from tests.actors.session.stage import code_of


@asynccontextmanager
async def open_folder(folder: Path) -> AsyncGenerator[Engine, None]:
    async with open_engine(EngineSettings(project_roots=(str(folder),))) as engine:
        yield engine


async def create(engine: Engine, folder: Path) -> tuple[Path, str]:
    path, session_id = await engine.create_chat_file(str(folder), NewSession())
    await engine.register_session(session_id)
    return Path(path), session_id


async def test_two_chats_that_swap_their_names_are_opened_under_the_new_ones(tmp_path: Path) -> None:
    async with open_folder(tmp_path) as engine:
        one, first = await create(engine, tmp_path)
        two, second = await create(engine, tmp_path)
        one.rename(tmp_path / "aside")
        two.rename(one)
        (tmp_path / "aside").rename(two)
        assert await engine.open_chat(str(one), second) == second
        assert await engine.open_chat(str(two), first) == first
        for session_id in (first, second):
            assert (await engine.run_turn(session_id, "hello")).status is SessionStatus.COMPLETED


async def test_a_path_alone_leads_to_the_chat_that_is_there_now(tmp_path: Path) -> None:
    async with open_folder(tmp_path) as engine:
        one, _ = await create(engine, tmp_path)
        two, second = await create(engine, tmp_path)
        two.replace(one)
        assert await engine.open_chat(str(one)) == second


async def test_a_chat_is_created_under_the_name_that_another_one_had(tmp_path: Path) -> None:
    async with open_folder(tmp_path) as engine:
        one, _ = await create(engine, tmp_path)
        one.rename(tmp_path / "elsewhere.chat.json")
        again, session_id = await create(engine, tmp_path)
        assert again == one
        assert (await engine.run_turn(session_id, "hello")).status is SessionStatus.COMPLETED


async def test_a_pipe_in_the_place_of_a_chat_holds_nobody_up(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with open_folder(tmp_path) as engine:
            one, first = await create(engine, tmp_path)
            _, second = await create(engine, tmp_path)
            one.unlink()
            os.mkfifo(one)
            os.mkfifo(tmp_path / "pipe.chat.json")
            assert await code_of(engine.run_turn(first, "hello")) is ErrorCode.CONFLICT
            pipe = str(tmp_path / "pipe.chat.json")
            assert await code_of(engine.open_chat(pipe)) is ErrorCode.INVALID_ARGUMENT
            assert (await engine.run_turn(second, "hello")).status is SessionStatus.COMPLETED


def _with_a_strange_task(chat: dict[str, Any]) -> str:
    task = {"task_id": "t", "question_id": "nobody's", "executor_id": "default"}
    chat["session"] |= {"status": "waiting_confirmation", "task": task}
    return json.dumps(chat)


def _with_a_deep_field(chat: dict[str, Any]) -> str:
    return json.dumps(chat)[:-1] + ', "x": ' + "[" * 10_000


def _with_an_id_that_rings(chat: dict[str, Any]) -> str:
    chat["session"]["session_id"] = "ring\x07\x1b[2J"
    return json.dumps(chat)


@pytest.mark.parametrize("edited", [_with_a_strange_task, _with_a_deep_field, _with_an_id_that_rings])
async def test_an_edit_that_makes_no_chat_is_refused_when_it_is_opened(
    tmp_path: Path, edited: Callable[[dict[str, Any]], str]
) -> None:
    async with open_folder(tmp_path) as engine:
        one, _ = await create(engine, tmp_path)
        chat = json.loads(one.read_bytes())
        chat["session"]["session_id"] = "edited"
        other = tmp_path / "other.chat.json"
        other.write_text(edited(chat))
        assert await code_of(engine.open_chat(str(other))) is ErrorCode.SESSION_INVALID
