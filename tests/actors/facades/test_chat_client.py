"""Chats that are files, through nine operations."""

from __future__ import annotations

import functools
import inspect
import json
import logging
import os
import re
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.conversation import Attachment, FinishPart, FinishReason, Text, ToolCallPart
from actors.engine import Engine, open_engine
from actors.errors import EngineError, ErrorCode
from actors.facades import (
    ChatClient,
    ConversationStatus,
    CreateChatConfig,
)
from actors.models.base import ModelRequest
from actors.models.scripted import Gate, Say, Script, ScriptedModel, echo, say
from actors.records import ChatMode, ConfirmationOutcome, FileStatus
from actors.settings import EngineSettings
from actors.tools import Tool

NINE = {
    "abort_chat",
    "confirm_tool_call",
    "create_chat",
    "delete_chat",
    "get_or_load_chat_session",
    "load_chat_from_file",
    "rerun_chat",
    "send_message",
    "update_chat",
}


class Desk:
    def __init__(self, engine: Engine, model: ScriptedModel, hung: Gate) -> None:
        self.engine = engine
        self.client = ChatClient(engine)
        self.model = model
        self.hung = hung


@asynccontextmanager
async def open_desk(folder: Path, *, max_concurrent: int = 3) -> AsyncGenerator[Desk, None]:
    hung = Gate()
    model = ScriptedModel(otherwise=functools.partial(_play, hung))

    async def erase(arguments: Mapping[str, object], _: object) -> str:
        await trio.lowlevel.checkpoint()
        return f"erased {arguments['name']}"

    tool = Tool(name="erase", description="Erase a file.", function=erase, needs_confirmation=True)
    settings = EngineSettings(project_roots=(str(folder),), max_concurrent=max_concurrent)
    async with open_engine(settings, model_for=lambda _: model, tools=[tool]) as engine:
        yield Desk(engine, model, hung)


def _play(hung: Gate, request: ModelRequest) -> Script:
    content = request.messages[-1].content
    match content:
        case Text("hang"):
            return (hung,)
        case Text("erase it"):
            call = ToolCallPart(0, "call-1", "erase", '{"name": "a.txt"}')
            return (Say((call, FinishPart(FinishReason.TOOL_CALLS))),)
        case Text():
            return echo(request)
        case _:
            return say("done")


def test_a_chat_client_has_the_nine_operations_and_no_more() -> None:
    public = {name for name in dir(ChatClient) if not name.startswith("_")}
    assert public == NINE
    assert all(inspect.iscoroutinefunction(getattr(ChatClient, name)) for name in NINE)


async def test_a_created_chat_is_a_file_with_the_session_that_answers(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        config = CreateChatConfig(
            mode=ChatMode.AGENT, title="Plans", prompt="Be brief.", knowledge=("It is 2026.",)
        )
        created = await desk.client.create_chat(tmp_path, config)
        assert created.absolute_file_path == str(tmp_path.resolve() / "chat1.chat.json")
        result = await desk.client.send_message(
            created.absolute_file_path, created.chat_session_id, "hello", [Attachment("a.txt", "inside")]
        )
        assert (result.status, result.content) == (ConversationStatus.COMPLETE, "You said: hello")
        asked = desk.model.requests[-1]
        assert asked.system_prompt == "Be brief.\n\nIt is 2026."
        assert asked.messages[-1].content == Text("hello", attachments=(Attachment("a.txt", "inside"),))
    document = json.loads(Path(created.absolute_file_path).read_bytes())
    assert str(tmp_path) not in json.dumps(document)
    async with open_desk(tmp_path) as desk:
        opened = await desk.client.get_or_load_chat_session(created.absolute_file_path)
        assert opened.chat_session_id == created.chat_session_id
        assert opened.snapshot.record.title == "Plans"
        assert [message.content for message in opened.snapshot.branch] == [
            Text("hello", attachments=(Attachment("a.txt", "inside"),)),
            Text("You said: hello"),
        ]


async def test_a_chat_of_a_new_task_lies_in_a_folder_of_its_own(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        created = await desk.client.create_chat(tmp_path, CreateChatConfig(new_task=True))
        assert Path(created.absolute_file_path).parent.parent == tmp_path.resolve()


async def test_a_chat_outside_the_project_folders_is_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    async with open_desk(inside) as desk:
        for place in (outside, inside / "..", inside / "link"):
            with pytest.raises(EngineError) as refusal:
                await desk.client.create_chat(place)
            assert refusal.value.code is ErrorCode.INVALID_ARGUMENT
    assert list(outside.iterdir()) == []


async def test_a_wrong_pair_is_refused_before_anything_happens(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        one = await desk.client.create_chat(tmp_path)
        two = await desk.client.create_chat(tmp_path)
        before = Path(one.absolute_file_path).read_bytes()
        pair = one.absolute_file_path, two.chat_session_id
        for refused in (
            desk.client.send_message(*pair, "hello"),
            desk.client.rerun_chat(*pair),
            desk.client.abort_chat(*pair),
            desk.client.confirm_tool_call(*pair, "call-1", ConfirmationOutcome.APPROVED),
        ):
            with pytest.raises(EngineError) as refusal:
                await refused
            assert refusal.value.code is ErrorCode.SESSION_MISMATCH
            assert one.chat_session_id in str(refusal.value)
            assert two.chat_session_id in str(refusal.value)
        assert desk.model.calls == 0
        assert Path(one.absolute_file_path).read_bytes() == before
        assert (await desk.engine.pool_status()).running == 0


async def test_one_file_is_one_session_by_whatever_path(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        created = await desk.client.create_chat(tmp_path)
        (tmp_path / "sub").mkdir()
        (tmp_path / "other.chat.json").symlink_to(created.absolute_file_path)
        ids = [
            await desk.client.load_chat_from_file(path)
            for path in (
                created.absolute_file_path,
                tmp_path / "other.chat.json",
                tmp_path / "sub" / ".." / "chat1.chat.json",
                os.path.relpath(created.absolute_file_path),
            )
        ]
        assert set(ids) == {created.chat_session_id}
        assert (await desk.engine.registry_statistics()).loads == 1


async def test_a_rerun_asks_all_questions_again_and_keeps_the_old_branch(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        chat = await desk.client.create_chat(tmp_path, CreateChatConfig(prompt="You are {{who}}."))
        pair = chat.absolute_file_path, chat.chat_session_id
        for text in ("one for {{who}}", "two", "three {not a name}"):
            await desk.client.send_message(*pair, text)
        result = await desk.client.rerun_chat(*pair, {"who": "Ada {{x}}"})
        assert result.content == "You said: three {not a name}"
        opened = await desk.client.get_or_load_chat_session(chat.absolute_file_path)
        branch = [message.content for message in opened.snapshot.branch]
        assert [content.text for content in branch if isinstance(content, Text)] == [
            "one for Ada {{x}}",
            "You said: one for Ada {{x}}",
            "two",
            "You said: two",
            "three {not a name}",
            "You said: three {not a name}",
        ]
        assert desk.model.requests[-1].system_prompt == "You are Ada {{x}}."
        assert opened.snapshot.record.system_prompt == "You are {{who}}."
        assert len(opened.snapshot.messages) == 12
        with pytest.raises(EngineError, match="who"):
            await desk.client.rerun_chat(*pair, {"whom": "nobody"})


@pytest.mark.parametrize("outcome", ConfirmationOutcome)
async def test_a_tool_call_waits_for_its_answer_and_the_turn_goes_on(
    tmp_path: Path, outcome: ConfirmationOutcome
) -> None:
    async with open_desk(tmp_path) as desk:
        chat = await desk.client.create_chat(tmp_path, CreateChatConfig(mode=ChatMode.AGENT))
        pair = chat.absolute_file_path, chat.chat_session_id
        result = await desk.client.send_message(*pair, "erase it")
        assert result.status is ConversationStatus.WAITING_CONFIRMATION
        assert [call.call.name for call in result.pending_tool_calls] == ["erase"]
        with pytest.raises(EngineError, match="call-9"):
            await desk.client.confirm_tool_call(*pair, "call-9", outcome)
        result = await desk.client.confirm_tool_call(*pair, "call-1", outcome)
        assert (result.status, result.content) == (ConversationStatus.COMPLETE, "done")
        told = desk.model.requests[-1].messages[-1].content
        assert ("erased a.txt" in str(told)) is (outcome is not ConfirmationOutcome.DENIED)


async def test_an_abort_returns_when_the_turn_has_ended(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk, trio.open_nursery() as nursery:
        chat = await desk.client.create_chat(tmp_path)
        pair = chat.absolute_file_path, chat.chat_session_id
        results: list[ConversationStatus] = []

        async def send() -> None:
            results.append((await desk.client.send_message(*pair, "hang")).status)

        nursery.start_soon(send)
        await desk.hung.reached()
        await desk.client.abort_chat(*pair)
        snapshot = await desk.engine.snapshot(chat.chat_session_id)
        assert snapshot.record.task is None
        await desk.client.abort_chat(*pair)  # there is none any more
    assert results == [ConversationStatus.ABORTED]


async def test_an_update_changes_what_may_be_changed_and_names_what_may_not(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        chat = await desk.client.create_chat(tmp_path)
        updated = await desk.client.update_chat(chat.absolute_file_path, {"title": "T", "prompt": "P"})
        assert (updated.snapshot.record.title, updated.snapshot.record.system_prompt) == ("T", "P")
        document = Path(chat.absolute_file_path).read_text()
        assert '"T"' in document
        for changes in (
            {"id": "x"},
            {"session_id": "x"},
            {"path": "x"},
            {"created_at": "x"},
            {"status": "running"},
            {"title": 7},
            {"mode": "no such"},
            {"title": "x" * 201},
        ):
            with pytest.raises(EngineError) as refusal:
                await desk.client.update_chat(chat.absolute_file_path, changes)
            assert refusal.value.code is ErrorCode.INVALID_ARGUMENT, changes
        assert Path(chat.absolute_file_path).read_text() == document


async def test_a_deleted_chat_is_gone_for_good_even_in_the_midst_of_an_answer(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        chat = await desk.client.create_chat(tmp_path)
        await desk.engine.submit_turn(chat.chat_session_id, "hang")
        await desk.client.delete_chat(chat.absolute_file_path)
        assert not Path(chat.absolute_file_path).exists()
        with pytest.raises(EngineError) as refusal:
            await desk.client.delete_chat(chat.absolute_file_path)
        assert refusal.value.code is ErrorCode.SESSION_NOT_FOUND
        assert (await desk.engine.pool_status()).running == 0
    assert list(tmp_path.glob("*.chat.json")) == []


async def test_twenty_chats_made_at_once_have_twenty_names(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk, trio.open_nursery() as nursery:
        paths: list[str] = []

        async def create() -> None:
            paths.append((await desk.client.create_chat(tmp_path)).absolute_file_path)

        for _ in range(20):
            nursery.start_soon(create)
    assert len(set(paths)) == 20


async def test_the_log_says_whose_message_it_was_and_how_long_and_never_what_it_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="greenroom")
    async with open_desk(tmp_path) as desk:
        chat = await desk.client.create_chat(tmp_path)
        pair = chat.absolute_file_path, chat.chat_session_id
        caplog.clear()
        await desk.client.send_message(*pair, "a secret")
        lines = [vars(record) for record in caplog.records]
    (said,) = [line for line in lines if line["msg"] == "message for a chat"]
    assert (said["path"], said["session_id"], said["message_length"]) == (*pair, 8)
    steps = [line for line in lines if line["msg"] == "session status"]
    assert [line["status"] for line in steps] == ["running", "completed"]
    assert {(line["path"], line["session_id"]) for line in steps} == {pair}
    assert "secret" not in str(lines)


async def test_a_file_that_was_renamed_is_not_made_again_and_its_new_path_is_the_same_chat(
    tmp_path: Path,
) -> None:
    async with open_desk(tmp_path) as desk:
        chat = await desk.client.create_chat(tmp_path)
        opened = await desk.client.get_or_load_chat_session(chat.absolute_file_path)
        assert opened.file_status is FileStatus.SAVED
        await desk.client.send_message(chat.absolute_file_path, chat.chat_session_id, "hello")
        new_path = tmp_path / "renamed.chat.json"
        Path(chat.absolute_file_path).rename(new_path)
        with pytest.raises(EngineError) as refusal:
            await desk.client.send_message(chat.absolute_file_path, chat.chat_session_id, "and now?")
        assert refusal.value.details["file_status"] == FileStatus.MOVED
        assert not Path(chat.absolute_file_path).exists()
        opened = await desk.client.get_or_load_chat_session(new_path)
        assert opened.chat_session_id == chat.chat_session_id
        result = await desk.client.send_message(new_path, chat.chat_session_id, "and now?")
        assert result.content == "You said: and now?"


async def test_a_copy_of_a_chat_is_refused_until_it_is_made_a_chat_of_its_own(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        chat = await desk.client.create_chat(tmp_path)
        copy = tmp_path / "copy.chat.json"
        shutil.copy(chat.absolute_file_path, copy)
        with pytest.raises(EngineError, match=re.escape(chat.absolute_file_path)):
            await desk.client.load_chat_from_file(copy)
        forked = await desk.engine.fork_chat_file(str(copy))
        assert forked != chat.chat_session_id
        assert await desk.client.load_chat_from_file(copy) == forked


async def test_what_is_of_the_wrong_type_is_refused_and_nothing_is_asked(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        chat = await desk.client.create_chat(tmp_path)
        pair = chat.absolute_file_path, chat.chat_session_id
        client: Any = desk.client
        for refused in (
            client.create_chat(None),
            client.create_chat(tmp_path, {"title": "x"}),
            client.load_chat_from_file(5),
            client.send_message(*pair, None),
            client.confirm_tool_call(*pair, "call-1", "perhaps"),
        ):
            with pytest.raises(EngineError) as refusal:
                await refused
            assert refusal.value.code is ErrorCode.INVALID_ARGUMENT
        assert desk.model.calls == 0
