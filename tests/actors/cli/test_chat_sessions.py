"""`greenroom chat` with several sessions, of which some answer in the background."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from pathlib import Path

from tests.actors.cli.endpoint import HOLD, Endpoint
from tests.actors.cli.program import COMMAND, LIMIT_SECONDS, environment, greenroom
from tests.actors.cli.stored import only_session_in, said_in, sessions_in, texts_in
from tests.actors.cli.terminal import CTRL_C, CTRL_D, Terminal, terminal

PROMPT = "> "


def press_enter_until(screen: Terminal, text: str) -> None:
    """What happens in the background is told at the next prompt."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while text not in screen.wait_for(PROMPT):
        assert time.monotonic() < deadline, f"{text!r} did not come; shown is {screen.seen!r}"
        screen.type("\r")


# --- from one session to another --------------------------------------------------------------------


def test_each_session_has_its_own_conversation_and_they_are_gone_to_by_number(store: Path) -> None:
    typed = b"one\n/new Second talk\ntwo\n/go 1\nthree\n/sessions\n"

    done = greenroom("chat", "--store", store, typed=typed)

    first, second = sessions_in(store)
    assert done.returncode == 0
    assert texts_in(first) == ["one", "You said: one", "three", "You said: three"]
    assert texts_in(second) == ["two", "You said: two"]
    assert second.record.title == "Second talk"
    assert done.stdout.decode().splitlines()[3:] == [
        f"* 1  {first.record.session_id[:8]}, completed: one",
        f"  2  {second.record.session_id[:8]}, completed: Second talk",
    ]


def test_a_new_session_leaves_nothing_until_something_is_said_in_it(store: Path) -> None:
    done = greenroom("chat", "--store", store, typed=b"one\n/new\n/new\n/sessions\n")

    assert len(sessions_in(store)) == 1
    assert done.stdout.decode().splitlines()[2].endswith(", nothing said yet")
    assert len(done.stdout.splitlines()) == 3


def test_a_session_of_the_store_is_gone_to_by_the_beginning_of_its_id(store: Path) -> None:
    greenroom("chat", "--store", store, typed=b"long ago\n")
    old = only_session_in(store).record.session_id

    done = greenroom(
        "chat", "--store", store, typed=f"/sessions\n/go {old[:6]}\nmore\n/sessions\n".encode()
    )

    assert done.returncode == 0
    assert f"1 more in {store}: /go ID takes the beginning of an id" in done.stderr.decode()
    assert done.stdout.decode().splitlines()[-1] == f"* 2  {old[:8]}, completed: long ago"
    assert texts_in(only_session_in(store))[2:] == ["more", "You said: more"]


def test_a_session_that_there_is_not_is_refused_and_the_chat_stays_where_it_is(store: Path) -> None:
    done = greenroom("chat", "--store", store, typed=b"one\n/go 7\n/go zz\n/stop 7\n/stop\ntwo\n")

    assert done.returncode == 1
    errors = done.stderr.decode().splitlines()[2:]
    assert errors[0] == "this chat has no session 7, it has 1; /sessions lists them"
    assert errors[1].startswith("there is no session 'zz' in ")
    assert errors[2] == "this chat has no session 7, it has 1; /sessions lists them"
    assert errors[3].startswith("nothing is being answered in session ")
    assert len(errors) == 4
    assert texts_in(only_session_in(store))[2:] == ["two", "You said: two"]


# --- in the background ------------------------------------------------------------------------------


def test_a_session_answers_in_the_background_while_another_is_talked_to(
    store: Path, model: Endpoint
) -> None:
    go_on = threading.Event()
    model.will_say("It was a ", go_on, "long story.")
    model.will_say("Quick.")
    with terminal("chat", "--store", store, "--base-url", model.base_url) as screen:
        screen.wait_for("session ")
        slow = screen.wait_for(" with")[:8]
        screen.wait_for(PROMPT)
        screen.type("/bg Tell me a story\r")
        screen.wait_for(f"session {slow} answers in the background")
        screen.wait_for(f"[1/3 running | 0 queued | Running: {slow}...]")
        screen.wait_for(PROMPT)
        assert model.asked.wait(LIMIT_SECONDS)
        screen.type("/new\r")
        screen.wait_for("2> ")
        screen.type("And you?\r")
        screen.wait_for("Quick.\n")
        screen.wait_for(f"[1/3 running | 0 queued | Running: {slow}...]")
        go_on.set()
        press_enter_until(
            screen, f"Session {slow} finished: /go 1 shows it\n[0/3 running | 0 queued | 1 unread]"
        )
        screen.type("/sessions\r")
        screen.wait_for(f"  1  {slow}, completed, 1 unread: Tell me a story\n")
        screen.wait_for("2> ")
        screen.type("/go 1\r")
        screen.wait_for("2 assistant")
        screen.wait_for("It was a long story.\n")
        assert "unread" not in screen.wait_for("1> ")
        screen.type(CTRL_D)
        assert screen.wait_for_end() == 0


def test_wait_shows_what_was_said_so_far_and_the_rest_as_it_comes(store: Path, model: Endpoint) -> None:
    go_on = threading.Event()
    model.will_say("It was a ", go_on, "long story.")
    with terminal("chat", "--store", store, "--base-url", model.base_url) as screen:
        screen.wait_for(PROMPT)
        screen.type("/bg Tell me a story\r")
        screen.wait_for(PROMPT)
        screen.type("/wait\r")
        screen.wait_for("It was a ")
        go_on.set()
        screen.wait_for("long story.\n")
        screen.wait_for(PROMPT)
        screen.type("/wait\r")
        screen.wait_for("nothing is being answered in this session")
        screen.wait_for(PROMPT)

        assert screen.seen.count("It was a long story.") == 1
        assert "finished" not in screen.seen


def test_a_question_to_a_session_that_still_answers_is_refused_with_the_ways_out(
    store: Path, model: Endpoint
) -> None:
    model.will_say("Once upon a time", HOLD)
    with terminal("chat", "--store", store, "--base-url", model.base_url) as screen:
        screen.wait_for(PROMPT)
        screen.type("/bg Tell me a story\r")
        for line in ("And another", "/retry", "/delete 1", "/title A talk", "/bg And another"):
            screen.wait_for(PROMPT)
            screen.type(f"{line}\r")
            screen.wait_for("this session is still answering: /wait shows the answer, /stop stops it")
        screen.wait_for(PROMPT)
        screen.type("/stop\r")
        screen.wait_for(" stopped\n")
        assert screen.wait_for(PROMPT) == ""

    assert [state for _, _, state in said_in(only_session_in(store))] == ["complete", "aborted"]


def test_a_background_failure_says_why(store: Path, model: Endpoint) -> None:
    model.will_say(401)
    with terminal("chat", "--store", store, "--base-url", model.base_url) as screen:
        screen.wait_for(PROMPT)
        screen.type("/bg Why?\r")
        press_enter_until(screen, " failed: ")


def test_ctrl_c_stops_the_answer_that_is_shown_and_not_the_one_in_the_background(
    store: Path, model: Endpoint
) -> None:
    go_on = threading.Event()
    model.will_say("Slow, ", go_on, "but sure.")
    model.will_say("Once upon a time", HOLD)
    with terminal("chat", "--store", store, "--base-url", model.base_url) as screen:
        screen.wait_for(PROMPT)
        screen.type("/bg One\r")
        screen.wait_for(PROMPT)
        assert model.asked.wait(LIMIT_SECONDS)
        screen.type("/new\r")
        screen.wait_for("2> ")
        screen.type("Two\r")
        screen.wait_for("Once upon a time")
        screen.type(CTRL_C)
        screen.wait_for("(stopped)")
        go_on.set()
        press_enter_until(screen, " finished: /go 1 shows it")

    first, second = sessions_in(store)
    assert texts_in(first) == ["One", "Slow, but sure."]
    assert said_in(second)[-1] == ("assistant", "Once upon a time", "aborted")


def test_a_question_that_must_wait_for_a_place_says_so_and_is_answered(
    store: Path, model: Endpoint
) -> None:
    go_on = threading.Event()
    for _ in range(3):
        model.will_say(go_on, "Done.")
    model.will_say("At last.")
    with terminal("chat", "--store", store, "--base-url", model.base_url) as screen:
        for number in range(1, 4):
            screen.wait_for(PROMPT)
            screen.type(f"/bg {number}\r")
            screen.wait_for(PROMPT)
            screen.type("/new\r")
        screen.wait_for("4> ")
        screen.type("Is there room?\r")
        screen.wait_for("(waiting for another answer to end; Ctrl-C gives up)")
        go_on.set()
        screen.wait_for("At last.\n")


def test_leaving_a_terminal_stops_what_is_unfinished_and_keeps_it(store: Path, model: Endpoint) -> None:
    model.will_say("Once upon a time", HOLD)
    with terminal("chat", "--store", store, "--base-url", model.base_url) as screen:
        screen.wait_for(PROMPT)
        screen.type("/bg Tell me a story\r")
        screen.wait_for(PROMPT)
        screen.type("/wait\r")
        screen.wait_for("Once upon a time")
        screen.type(CTRL_C)
        screen.wait_for("(stopped)")
        screen.wait_for(PROMPT)
        model.will_say("Once more", HOLD)
        model.asked.clear()
        screen.type("/bg Another\r")
        assert model.asked.wait(LIMIT_SECONDS)
        screen.wait_for(PROMPT)
        screen.type("/quit\r")
        screen.wait_for("(1 unfinished in the background: stopped, and /retry goes on)")
        assert screen.wait_for_end() == 0

    assert only_session_in(store).record.status == "aborted"


# --- in scripts -------------------------------------------------------------------------------------


def test_a_script_gets_all_its_answers_also_those_it_did_not_wait_for(store: Path) -> None:
    done = greenroom("chat", "--store", store, typed=b"/bg one\n/new\n/bg two\n/go 1\n/wait\n")

    assert done.returncode == 0
    assert done.stdout == b"You said: one\nYou said: two\n"
    assert [texts_in(session)[-1] for session in sessions_in(store)] == ["You said: one", "You said: two"]


def test_a_background_turn_that_fails_makes_the_status_of_a_script_1(store: Path, model: Endpoint) -> None:
    model.will_say(401)

    done = greenroom("chat", "--store", store, "--base-url", model.base_url, typed=b"/bg one\n")

    assert done.returncode == 1
    assert b"failed: " in done.stderr


def test_a_script_is_shown_what_was_answered_meanwhile_where_it_goes(store: Path, model: Endpoint) -> None:
    go_on = threading.Event()
    model.will_say(go_on, "It was a long story.")
    with subprocess.Popen(
        [*COMMAND, "chat", "--store", str(store), "--base-url", model.base_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(),
        text=True,
        bufsize=1,
    ) as script:
        assert script.stdin is not None
        assert script.stdout is not None
        script.stdin.write("/bg Tell me a story\n/new Small\n")
        deadline = time.monotonic() + LIMIT_SECONDS
        while script.stdout.readline() != "Small\n":
            assert time.monotonic() < deadline
            script.stdin.write("/title\n")
        go_on.set()
        while " finished: /go 1 shows it" not in script.stdout.readline():
            assert time.monotonic() < deadline
            script.stdin.write("/title\n")

        rest, _ = script.communicate("/go 1\n/sessions\n/wait\n", timeout=LIMIT_SECONDS)

    shown = [line for line in rest.splitlines() if line != "Small"]
    first, second = sessions_in(store)
    assert shown == [
        f"session {first.record.session_id} with openai:default",
        "It was a long story.",
        f"* 1  {first.record.session_id[:8]}, completed: Tell me a story",
        f"  2  {second.record.session_id[:8]}, idle: Small",
        "nothing is being answered in this session",
    ]


def test_a_stop_is_confirmed_when_the_answer_has_ended_and_a_script_does_not_wait_for_it_again(
    store: Path, model: Endpoint
) -> None:
    model.will_say("Once upon a time", HOLD)

    done = greenroom(
        "chat", "--store", store, "--base-url", model.base_url, typed=b"/bg Tell me a story\n/stop\n/stop\n"
    )

    (stored,) = sessions_in(store)
    number = stored.record.session_id[:8]
    assert done.returncode == 1
    assert stored.record.status == "aborted"
    assert done.stderr.decode().splitlines()[1:] == [
        f"session {number} answers in the background",
        f"session {number} stopped",
        f"nothing is being answered in session {number}",
        "(stopped)",
    ]


def test_ctrl_c_ends_a_script_that_waits_for_the_background(store: Path, model: Endpoint) -> None:
    model.will_say("Once upon", HOLD)
    with subprocess.Popen(
        [*COMMAND, "chat", "--store", str(store), "--base-url", model.base_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    ) as script:
        assert script.stdin is not None
        script.stdin.write(b"/bg Tell me a story\n")
        script.stdin.close()
        assert model.asked.wait(LIMIT_SECONDS)

        script.send_signal(signal.SIGINT)

        assert script.wait(LIMIT_SECONDS) == 130
    assert only_session_in(store).record.status == "aborted"


def test_a_question_of_the_background_that_was_deleted_has_no_answer_to_show(store: Path) -> None:
    with terminal("chat", "--store", store) as screen:
        screen.wait_for(PROMPT)
        screen.type("/bg one\r")
        press_enter_until(screen, "finished: /wait shows it")
        screen.type("/delete 1\r")
        screen.wait_for("deleted 2 messages")
        screen.wait_for(PROMPT)
        screen.type("/wait\r")
        screen.wait_for("nothing is being answered in this session")
        screen.wait_for(PROMPT)
        screen.type(CTRL_D)
        assert screen.wait_for_end() == 0
        assert "INVALID_ARGUMENT" not in screen.seen
