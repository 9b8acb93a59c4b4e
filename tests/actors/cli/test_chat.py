"""`greenroom chat`, in a terminal and at the end of pipes."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from actors.cli.chat.commands import COMMANDS
from actors.conversation import Text
from actors.engine import open_engine
from actors.settings import EngineSettings
from actors.stores import SqliteStore
from tests.actors.cli.endpoint import CUT, HOLD, Endpoint
from tests.actors.cli.program import COMMAND, LIMIT_SECONDS, environment, greenroom
from tests.actors.cli.stored import only_session_in, said_in, sessions_in
from tests.actors.cli.terminal import CTRL_C, CTRL_D, terminal

PROMPT = "> "


# --- in a terminal ----------------------------------------------------------------------------------


def test_a_question_is_answered_and_ctrl_d_ends_the_chat(store: Path) -> None:
    with terminal("chat", "--store", store) as screen:
        screen.wait_for(PROMPT)
        screen.type("hello\r")
        screen.wait_for("You said: hello\n")
        screen.wait_for(PROMPT)
        screen.type(CTRL_D)

        assert screen.wait_for_end() == 0

    assert said_in(only_session_in(store)) == [
        ("user", "hello", "complete"),
        ("assistant", "You said: hello", "complete"),
    ]


def test_ctrl_c_stops_a_streaming_answer_and_the_chat_goes_on(store: Path, model: Endpoint) -> None:
    model.will_say("Once upon ", "a time", HOLD)
    model.will_say("And then they lived.")
    with terminal("chat", "--store", store, "--base-url", model.base_url) as screen:
        screen.wait_for(PROMPT)
        screen.type("Tell me a story\r")
        screen.wait_for("Once upon a time")
        screen.type(CTRL_C)
        screen.wait_for("(stopped)")
        screen.wait_for(PROMPT)
        assert model.client_left.wait(LIMIT_SECONDS)
        screen.type("Go on\r")
        screen.wait_for("And then they lived.")
        screen.wait_for(PROMPT)
        screen.type("/quit\r")

        assert screen.wait_for_end() == 0

    assert said_in(only_session_in(store)) == [
        ("user", "Tell me a story", "complete"),
        ("assistant", "Once upon a time", "aborted"),
        ("user", "Go on", "complete"),
        ("assistant", "And then they lived.", "complete"),
    ]


def test_ctrl_c_before_the_first_word_stops_the_turn_as_well(store: Path, model: Endpoint) -> None:
    model.will_say({"role": "assistant"}, HOLD)
    with terminal("chat", "--store", store, "--base-url", model.base_url) as screen:
        screen.wait_for(PROMPT)
        screen.type("Anybody there?\r")
        assert model.asked.wait(LIMIT_SECONDS)
        screen.type(CTRL_C)
        screen.wait_for("(stopped)")
        screen.wait_for(PROMPT)
        screen.type(CTRL_D)

        assert screen.wait_for_end() == 0

    assert only_session_in(store).record.status == "aborted"


def test_impatient_ctrl_c_stops_one_turn_once(store: Path, model: Endpoint) -> None:
    model.will_say("Once upon a time", HOLD)
    with terminal("chat", "--store", store, "--base-url", model.base_url) as screen:
        screen.wait_for(PROMPT)
        screen.type("Tell me a story\r")
        screen.wait_for("Once upon a time")
        screen.type(CTRL_C * 3)
        screen.wait_for("(stopped)")
        screen.wait_for(PROMPT)
        screen.type(CTRL_D)

        assert screen.wait_for_end() == 0
        assert screen.seen.count("(stopped)") == 1
        assert "Traceback" not in screen.seen


def test_ctrl_c_at_the_prompt_ends_the_chat(store: Path) -> None:
    with terminal("chat", "--store", store) as screen:
        screen.wait_for(PROMPT)
        screen.type("half a quest")
        screen.wait_for("half a quest")
        screen.type(CTRL_C)

        assert screen.wait_for_end() == 0
        assert "Traceback" not in screen.seen


def test_a_chat_without_a_message_leaves_no_session(store: Path) -> None:
    with terminal("chat", "--store", store) as screen:
        screen.wait_for(PROMPT)
        screen.type(CTRL_D)
        assert screen.wait_for_end() == 0

    assert sessions_in(store) == []


def test_a_failed_turn_says_why_and_retry_answers_the_question(store: Path, model: Endpoint) -> None:
    model.will_say("Half an ans", CUT)
    model.will_say("A whole answer.")
    with terminal("chat", "--store", store, "--base-url", model.base_url) as screen:
        screen.wait_for(PROMPT)
        screen.type("Why?\r")
        screen.wait_for("Half an ans")
        screen.wait_for("failed: NETWORK_ERROR: ")
        screen.wait_for("(worth a retry: /retry)")
        screen.wait_for(PROMPT)
        screen.type("/retry\r")
        screen.wait_for("A whole answer.")
        screen.wait_for(PROMPT)
        screen.type(CTRL_D)
        assert screen.wait_for_end() == 0

    assert said_in(only_session_in(store)) == [
        ("user", "Why?", "complete"),
        ("assistant", "A whole answer.", "complete"),
    ]


def test_a_failure_that_a_retry_does_not_mend_says_so(store: Path, model: Endpoint) -> None:
    model.will_say(401)
    with terminal("chat", "--store", store, "--base-url", model.base_url) as screen:
        screen.wait_for(PROMPT)
        screen.type("Why?\r")
        screen.wait_for("failed: FORBIDDEN: ")
        screen.wait_for("(a retry would fail again)")
        screen.wait_for(PROMPT)


def test_thoughts_are_dimmed_and_tool_calls_are_one_line(store: Path, model: Endpoint) -> None:
    call = {"index": 0, "id": "c1", "function": {"name": "search", "arguments": '{"q":\n "tea"}'}}
    model.will_say({"reasoning_content": "Let me see"}, "Here you are", {"tool_calls": [call]})
    with terminal("chat", "--store", store, "--base-url", model.base_url, term="xterm") as screen:
        screen.wait_for(PROMPT)
        screen.type("Tea?\r")
        screen.wait_for("\x1b[2mLet me see\x1b[0m\nHere you are\n")
        screen.wait_for('calls search({"q": "tea"})')
        screen.wait_for(PROMPT)


def test_control_characters_of_an_answer_do_not_reach_the_terminal(store: Path, model: Endpoint) -> None:
    model.will_say("\x1b]0;owned\x07tit\x08le\x9b2J\r\n\tand\x7f a tab", "\x1b", "[31m.")
    with terminal("chat", "--store", store, "--base-url", model.base_url) as screen:
        screen.wait_for(PROMPT)
        screen.type("Go\r")
        screen.wait_for("]0;ownedtitle2J\n\tand a tab[31m.\n")


def test_help_shows_the_commands_and_an_unknown_one_is_not_sent(store: Path) -> None:
    with terminal("chat", "--store", store) as screen:
        screen.wait_for(PROMPT)
        screen.type("/help\r")
        for command in (*COMMANDS, "Ctrl-C"):
            screen.wait_for(f"\n{command}")
        screen.wait_for(PROMPT)
        for nonsense in ("/nonsense", "/rerty 3"):
            screen.type(f"{nonsense}\r")
            screen.wait_for(f"there is no command {nonsense.split()[0]}")
            screen.wait_for(PROMPT)
        screen.type("/etc/hosts is a file\r")
        screen.wait_for("You said: /etc/hosts is a file")


def test_a_new_chat_without_a_model_says_who_answers(store: Path) -> None:
    with terminal("chat", "--store", store) as screen:
        assert "scripted:echo repeats what you say; --model PROVIDER:MODEL" in screen.wait_for(PROMPT)


def test_the_help_says_what_the_model_is_when_none_is_named() -> None:
    said = " ".join(greenroom("chat", "--help").stdout.decode().split())

    assert "(scripted:echo; openai:default with --base-url)" in said


# --- a session goes on ------------------------------------------------------------------------------


def test_a_session_goes_on_by_the_beginning_of_its_id(store: Path, model: Endpoint) -> None:
    model.will_say("I am fine.")
    model.will_say("As I said.")
    first = greenroom("chat", "--store", store, "--base-url", model.base_url, typed=b"How are you?\n")
    session_id = only_session_in(store).record.session_id

    second = greenroom(
        "chat", session_id[:6], "--store", store, "--base-url", model.base_url, typed=b"Sure?\n"
    )

    assert (first.stdout, second.stdout) == (b"I am fine.\n", b"As I said.\n")
    assert [message["content"] for message in model.requests[1]["messages"]] == [
        "How are you?",
        "I am fine.",
        "Sure?",
    ]


def test_an_unanswered_question_is_pointed_out_and_answered_on_retry(store: Path, model: Endpoint) -> None:
    model.will_say(500)
    options = ("--store", store, "--base-url", model.base_url, "--attempts", "1")
    greenroom("chat", *options, typed=b"Why?\n")
    session_id = only_session_in(store).record.session_id
    model.will_say("Because.")

    again = greenroom("chat", session_id, "--store", store, "--base-url", model.base_url, typed=b"/retry\n")

    assert b"the last question has no complete answer; /retry answers it" in again.stderr
    assert again.stdout == b"Because.\n"


def test_an_unknown_session_is_refused_and_nothing_is_made(store: Path, tmp_path: Path) -> None:
    SqliteStore.open(store).close()

    unknown = greenroom("chat", "zzz", "--store", store, typed=b"hello\n")
    nowhere = greenroom("chat", "zzz", "--store", tmp_path / "none.db", typed=b"hello\n")

    assert (unknown.returncode, nowhere.returncode) == (2, 2)
    assert unknown.stderr.decode() == (
        f"greenroom: there is no session 'zzz' in {store}; "
        f"`greenroom sessions --store {store}` lists them\n"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chats.db"]


async def test_a_session_keeps_its_model(store: Path) -> None:
    async with open_engine(EngineSettings(store=str(store))) as engine:
        await engine.create_session(session_id="s-1", model="scripted:echo")

    refused = greenroom("chat", "s-1", "--store", store, "--model", "ollama:qwen3:8b")

    assert refused.returncode == 2
    assert b"keeps its model, scripted:echo" in refused.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--model", "nobody:x"), "there is no provider 'nobody'"),
        (("--model", "openai:gpt-5-mini"), "OPENAI_API_KEY"),
    ],
)
def test_a_model_that_cannot_answer_is_refused_in_one_line_before_a_store_is_made(
    store: Path, options: tuple[str, ...], reason: str
) -> None:
    refused = greenroom("chat", "--store", store, *options, typed=b"hello\n")

    assert refused.returncode == 2
    assert reason in refused.stderr.decode()
    assert refused.stderr.count(b"\n") == 1
    assert not store.exists()


# --- at the end of pipes ----------------------------------------------------------------------------


def test_each_piped_line_is_a_message_and_only_answers_are_written(store: Path) -> None:
    chat = greenroom("chat", "--store", store, typed="first\n\n  zweite: Ω\nlast".encode())

    assert chat.returncode == 0
    assert chat.stdout.decode() == "You said: first\nYou said:   zweite: Ω\nYou said: last\n"


def test_a_failed_turn_makes_the_status_1_and_the_rest_is_answered(store: Path, model: Endpoint) -> None:
    model.will_say(400)
    model.will_say("Fine.")

    chat = greenroom("chat", "--store", store, "--base-url", model.base_url, typed=b"one\ntwo\n")

    assert chat.returncode == 1
    assert chat.stdout == b"Fine.\n"
    assert b"failed: " in chat.stderr


def test_piped_thoughts_are_kept_out_of_the_answer_and_in_the_store(store: Path, model: Endpoint) -> None:
    model.will_say({"reasoning_content": "Hm."}, "Yes.")

    chat = greenroom("chat", "--store", store, "--base-url", model.base_url, typed=b"Well?\n")

    assert chat.stdout == b"Yes.\n"
    assert only_session_in(store).messages[1].content == Text("Yes.", thought="Hm.")


def test_ctrl_c_ends_a_piped_chat_with_its_partial_answer_kept(store: Path, model: Endpoint) -> None:
    model.will_say("Once upon", HOLD)
    with subprocess.Popen(
        [*COMMAND, "chat", "--store", str(store), "--base-url", model.base_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as chat:
        assert chat.stdin is not None
        assert chat.stdout is not None
        chat.stdin.write(b"Tell me a story\nand another\n")
        chat.stdin.flush()
        assert chat.stdout.read(len("Once upon")) == b"Once upon"

        chat.send_signal(signal.SIGINT)

        assert chat.wait(LIMIT_SECONDS) == 130
    assert said_in(only_session_in(store)) == [
        ("user", "Tell me a story", "complete"),
        ("assistant", "Once upon", "aborted"),
    ]


def test_piped_bytes_that_are_no_text_do_not_end_the_chat(store: Path) -> None:
    chat = greenroom("chat", "--store", store, typed=b"caf\xe9\nnext\n")

    assert chat.returncode == 0
    assert chat.stdout.decode() == "You said: caf\N{REPLACEMENT CHARACTER}\nYou said: next\n"


def test_pipes_carry_utf8_whatever_the_locale(store: Path) -> None:
    env = environment(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")

    chat = greenroom("chat", "--store", store, typed="Ω ✓\n".encode(), env=env)

    assert chat.stdout.decode() == "You said: Ω ✓\n"


def test_a_reader_that_leaves_ends_the_chat_quietly(store: Path) -> None:
    with subprocess.Popen(
        [*COMMAND, "chat", "--store", str(store)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as chat:
        assert chat.stdout is not None
        chat.stdout.close()
        _, errors = chat.communicate(b"hello\n", timeout=LIMIT_SECONDS)

    assert chat.returncode != 0
    assert b"Error" not in errors
