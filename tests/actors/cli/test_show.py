"""`greenroom show`: one conversation, for people, for programs, and as Markdown."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest

from actors.cli import main
from actors.conversation import (
    FileReference,
    FinishPart,
    FinishReason,
    Image,
    Part,
    TextPart,
    ThoughtPart,
    ToolCallPart,
    Usage,
    UsagePart,
)
from actors.engine import Engine, open_engine
from actors.errors import EngineError, ErrorCode
from actors.events import AnswerStreamed, Event
from actors.governor import RetryPolicy
from actors.models.scripted import Fail, Hang, Say, Script, ScriptedModel, say
from actors.settings import EngineSettings
from tests.actors.cli.program import COMMAND, LIMIT_SECONDS, environment, greenroom
from tests.actors.cli.terminal import terminal

BROKEN = EngineError(ErrorCode.NETWORK_ERROR, "the stream ended early")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Where no store is yet."""
    return tmp_path / "chats.db"


Show: TypeAlias = Callable[..., str]


@pytest.fixture
def show(capfdbinary: pytest.CaptureFixture[bytes]) -> Show:
    """Runs the command in this process, where what it prints matters and how it is started does not."""

    def run(*arguments: str | Path) -> str:
        assert main(["show", *map(str, arguments)]) == 0
        return capfdbinary.readouterr().out.decode()

    return run


@asynccontextmanager
async def conversation(store: Path, *answers: Script, system_prompt: str = "") -> AsyncGenerator[Engine]:
    """An engine on the store, with a session `s-1` for which the model has these answers."""
    model = ScriptedModel(answers)
    settings = EngineSettings(store=str(store), retry=RetryPolicy(max_attempts=1))
    async with open_engine(settings, model_for=lambda _: model) as engine:
        await engine.create_session(session_id="s-1", system_prompt=system_prompt)
        yield engine


async def stop_midway(engine: Engine, question: str) -> None:
    async with engine.events("s-1") as events:
        task_id = await engine.submit_turn("s-1", question)
        async for event in events:
            if isinstance(event, Event) and isinstance(event.body, AnswerStreamed):
                break
    await engine.abort_turn("s-1")
    await engine.wait_turn("s-1", task_id)


def errors_without_a_reader(*arguments: str) -> bytes:
    """What the command says on standard error when standard output is closed after a few bytes."""
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        errors = process.stderr.read()
        process.wait(LIMIT_SECONDS)
    return errors


def parts(*said: Part) -> Script:
    return (Say(said),)


# --- for programs -----------------------------------------------------------------------------------


async def test_json_is_one_object_whose_messages_have_every_field_on_one_level(
    store: Path, show: Show
) -> None:
    answer = parts(
        ThoughtPart("Hm."), TextPart("Four."), UsagePart(Usage(7, 2)), FinishPart(FinishReason.STOP)
    )
    async with conversation(store, answer, system_prompt="Be brief.") as engine:
        await engine.run_turn("s-1", "2 + 2?")

    shown = json.loads(show("s-1", "--store", store, "--json"))

    assert {name: shown[name] for name in ("session_id", "title", "system_prompt", "status")} == {
        "session_id": "s-1",
        "title": "2 + 2?",
        "system_prompt": "Be brief.",
        "status": "completed",
    }
    question, reply = shown["messages"]
    assert set(question) == set(reply)
    assert (question["role"], question["kind"], question["text"]) == ("user", "text", "2 + 2?")
    assert (reply["role"], reply["kind"], reply["text"]) == ("assistant", "text", "Four.")
    assert (reply["thought"], reply["state"], reply["finish_reason"]) == ("Hm.", "complete", "stop")
    assert reply["usage"] == {"input_tokens": 7, "output_tokens": 2}
    assert reply["parent_id"] == question["message_id"]
    assert reply["task_id"] == question["task_id"]
    assert shown["active_leaf_id"] == reply["message_id"]
    assert reply["created_at"].endswith("Z")


async def test_json_tells_partial_answers_and_tool_calls_apart(store: Path, show: Show) -> None:
    call = parts(ToolCallPart(0, "c1", "search", '{"q": 1}'), FinishPart(FinishReason.TOOL_CALLS))
    cut = (Say((TextPart("Once"),)), Fail(BROKEN))
    async with conversation(store, call, cut) as engine:
        await engine.run_turn("s-1", "Search")
        await engine.run_turn("s-1", "A story")

    messages = json.loads(show("s-1", "--store", store, "--json"))["messages"]

    assert messages[1]["kind"] == "tool_call_request"
    assert messages[1]["tool_calls"] == [{"call_id": "c1", "name": "search", "arguments": '{"q": 1}'}]
    assert messages[1]["text"] is None
    assert (messages[3]["text"], messages[3]["state"]) == ("Once", "failed")
    assert messages[3]["error"] == {"code": "NETWORK_ERROR", "message": "the stream ended early"}


async def test_an_answer_that_was_replaced_is_shown_with_all_only(store: Path, show: Show) -> None:
    async with conversation(store, (Say((TextPart("Half"),)), Fail(BROKEN)), say("Whole.")) as engine:
        await engine.run_turn("s-1", "Why?")
        await engine.wait_turn("s-1", await engine.resume_turn("s-1"))

    visible = show("s-1", "--store", store)
    everything = show("s-1", "--store", store, "--all")
    documents = json.loads(show("s-1", "--store", store, "--all", "--json"))

    assert "Half" not in visible
    assert (
        "not in the visible branch\nHalf\n(failed: NETWORK_ERROR: the stream ended early)\n" in everything
    )
    assert [message["text"] for message in documents["messages"]] == ["Why?", "Half", "Whole."]


# --- for people -------------------------------------------------------------------------------------


async def test_a_conversation_reads_from_top_to_bottom_and_partial_answers_are_marked(store: Path) -> None:
    stopped = (Say((TextPart("Once upon"),)), Hang())
    long = parts(TextPart("And so on"), FinishPart(FinishReason.LENGTH))
    async with conversation(store, say("Hello!"), stopped, long, (Fail(BROKEN),)) as engine:
        await engine.run_turn("s-1", "Hi")
        await stop_midway(engine, "A story")
        await engine.run_turn("s-1", "Go on")
        await engine.run_turn("s-1", "And?")

    shown = greenroom("show", "s-1", "--store", store).stdout.decode()

    said = [line for line in shown.splitlines() if line and " at 20" not in line]
    assert said[0] == "Hi"
    assert said[1].startswith("s-1, scripted:echo, failed, since ")
    assert said[2:] == [
        "Hi",
        "Hello!",
        "A story",
        "Once upon",
        "(stopped)",
        "Go on",
        "And so on",
        "(cut at the length limit)",
        "And?",
        "(failed: NETWORK_ERROR: the stream ended early)",
    ]


async def test_control_characters_of_a_stored_text_do_not_reach_the_terminal(store: Path) -> None:
    evil = parts(TextPart("\x1b]0;owned\x07a\x9bb"), ToolCallPart(0, "c", "\x1bcx", "\x1b[2J"))
    async with conversation(store, evil) as engine:
        await engine.run_turn("s-1", "Go\x1bc")

    with terminal("show", "s-1", "--store", store) as screen:
        assert screen.wait_for_end() == 0

    assert "]0;owneda" in screen.seen
    assert not {"\x1b", "\x07", "\x9b"} & set(screen.seen)


async def test_the_beginning_of_an_id_is_enough_when_it_is_the_only_one(store: Path) -> None:
    async with conversation(store) as engine:
        for session_id in ("abc-1", "abc-2", "abc"):
            await engine.create_session(session_id=session_id, title=f"title of {session_id}")

    assert greenroom("show", "abc", "--store", store).stdout.startswith(b"title of abc\n")
    assert b"\ns-1, " in greenroom("show", "s", "--store", store).stdout
    ambiguous = greenroom("show", "ab", "--store", store)
    unknown = greenroom("show", "xyz", "--store", store)
    assert (ambiguous.returncode, unknown.returncode) == (2, 2)
    assert ambiguous.stderr == (
        b"greenroom: 'ab' is the beginning of 3 ids; write more of it: abc-1, abc-2, abc\n"
    )
    assert b"there is no session 'xyz'" in unknown.stderr
    assert b"`greenroom sessions --store" in unknown.stderr


async def test_images_and_references_are_a_line_each_and_whole_in_json(store: Path, show: Show) -> None:
    read_at = datetime(2026, 5, 1, tzinfo=UTC)
    async with conversation(store, say("I see.")) as engine:
        task_id = await engine.submit_turn(
            "s-1",
            "Look.",
            images=[Image("image/png", bytes(2500), file_name="a.png")],
            references=[FileReference("src/a.py", read_at, "x = 1", first_line=3, last_line=4)],
        )
        await engine.wait_turn("s-1", task_id)

    shown = show("s-1", "--store", store)
    message = json.loads(show("s-1", "--store", store, "--json"))["messages"][0]

    assert "with the image a.png (image/png, 2.5 kB)\n" in shown
    assert "with src/a.py:3-4 (5 bytes, read at " in shown
    assert base64.b64decode(message["images"][0]["data"]) == bytes(2500)
    assert message["references"][0]["content"] == "x = 1"


def test_json_and_markdown_exclude_each_other(store: Path) -> None:
    refused = greenroom("show", "any", "--store", store, "--json", "--markdown")

    assert refused.returncode == 2
    assert b"not allowed with" in refused.stderr


# --- as Markdown ------------------------------------------------------------------------------------


async def test_markdown_keeps_what_texts_leave_open_inside_their_quotes(store: Path, show: Show) -> None:
    fence = "# My title\n\n```python\nprint(1)"
    async with conversation(store, say(fence), say("<!-- hidden")) as engine:
        await engine.run_turn("s-1", "Show *code*\r\n## Not a heading of ours")
        await engine.run_turn("s-1", "More")

    markdown = show("s-1", "--store", store, "--markdown")

    outside = [line for line in markdown.splitlines() if line and not line.startswith(">")]
    assert outside[0] == r"# Show \*code\* \#\# Not a heading of ours"
    assert [line for line in outside if line.startswith("## ")] == [
        "## User",
        "## Assistant",
        "## User",
        "## Assistant",
    ]
    assert "> # My title\n>\n> ```python\n> print(1)\n\n## User" in markdown


async def test_markdown_fences_tool_arguments_that_contain_fences(store: Path, show: Show) -> None:
    async with conversation(store, parts(ToolCallPart(0, "c1", "write", "```\n````\n"))) as engine:
        await engine.run_turn("s-1", "Write")

    markdown = show("s-1", "--store", store, "--markdown")

    assert "Calls `write`:\n\n`````\n```\n````\n\n`````\n" in markdown


async def test_markdown_marks_partial_answers(store: Path, show: Show) -> None:
    stopped = (Say((ThoughtPart("Hm."), TextPart("Once upon"))), Hang())
    async with conversation(store, stopped) as engine:
        await stop_midway(engine, "A story")

    markdown = show("s-1", "--store", store, "--markdown")

    assert "*Thought:*\n\n> Hm.\n\n*Answer:*\n\n> Once upon\n\n*(stopped)*\n" in markdown


# --- into a pipe ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_a_pipe_gets_utf8_whatever_the_locale(store: Path, form: tuple[str, ...]) -> None:
    async with conversation(store, say("Ω ✓ 東京")) as engine:
        await engine.run_turn("s-1", "Straße?")
    env = environment(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")

    shown = greenroom("show", "s-1", "--store", store, *form, env=env)

    assert shown.returncode == 0
    assert "Ω ✓ 東京" in shown.stdout.decode()


@pytest.mark.parametrize("form", [(), ("--json",)])
async def test_a_reader_that_leaves_is_no_error(store: Path, form: tuple[str, ...]) -> None:
    async with conversation(store, parts(TextPart("word " * 50_000))) as engine:
        await engine.run_turn("s-1", "Talk")

    assert errors_without_a_reader("show", "s-1", "--store", str(store), *form) == b""
