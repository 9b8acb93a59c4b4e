"""`greenroom chat`: what can be done to what was said."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.actors.cli.endpoint import HOLD, Endpoint
from tests.actors.cli.program import LIMIT_SECONDS, greenroom
from tests.actors.cli.stored import only_session_in, said_in, sessions_in, texts_in
from tests.actors.cli.terminal import CTRL_C, CTRL_D, terminal

PROMPT = "> "


def chat(store: Path, *lines: str) -> tuple[int, str, str]:
    """Pipe lines into a chat with the model that repeats; status, output, errors without the greeting."""
    done = greenroom("chat", "--store", store, typed="".join(f"{line}\n" for line in lines).encode())
    errors = done.stderr.decode().splitlines(keepends=True)
    return done.returncode, done.stdout.decode(), "".join(errors[2:])


def headings(output: str) -> list[str]:
    """Number and role of each listed message, and which of several it is."""
    lines = [line for line in output.splitlines() if " at 20" in line]
    return [line.split(" at ")[0] + line.partition(",")[2] for line in lines]


# --- history ----------------------------------------------------------------------------------------


def test_history_shows_the_visible_branch_under_its_numbers(store: Path) -> None:
    status, output, _ = chat(store, "one", "two", "/history")

    assert status == 0
    assert headings(output) == ["1 user", "2 assistant", "3 user", "4 assistant"]
    assert output.count("You said: two") == 2


def test_history_of_some_keeps_their_numbers_and_says_what_it_left_out(store: Path) -> None:
    status, output, _ = chat(store, "one", "two", "/history 1")

    assert status == 0
    assert headings(output) == ["4 assistant"]
    assert "(3 before these: /history 4 shows all)" in output


def test_control_characters_in_a_history_do_not_reach_the_terminal(store: Path) -> None:
    greenroom("chat", "--store", store, typed=b"\x1b]0;owned\x07\n")
    session_id = only_session_in(store).record.session_id
    with terminal("chat", session_id, "--store", store) as screen:
        screen.wait_for(PROMPT)
        screen.type("/history\r")
        screen.wait_for("\n]0;owned\n")
        screen.wait_for(PROMPT)
        screen.type("/sessions\r")
        screen.wait_for(": ]0;owned\n")
        assert "\x1b]0;" not in screen.seen


# --- retry ------------------------------------------------------------------------------------------


def test_retry_answers_the_last_question_again_beside_its_answer(store: Path, model: Endpoint) -> None:
    model.will_say("First.")
    model.will_say("Second.")

    done = greenroom(
        "chat", "--store", store, "--base-url", model.base_url, typed=b"Why?\n/retry\n/history\n"
    )

    assert done.returncode == 0
    assert texts_in(only_session_in(store)) == ["Why?", "Second."]
    assert headings(done.stdout.decode()) == ["1 user", "2 assistant 2 of 2"]
    assert [message["content"] for message in model.requests[1]["messages"]] == ["Why?"]


def test_retry_of_an_earlier_answer_leaves_what_followed_it_on_another_branch(store: Path) -> None:
    status, output, _ = chat(store, "one", "two", "/retry 2", "/branches")

    assert status == 0
    assert output.splitlines()[-2:] == [
        "  1  4 messages, from 2 (1 of 2) on: You said: one",
        "* 2  2 messages, from 2 (2 of 2) on: You said: one",
    ]


def test_branches_are_told_apart_by_the_words_with_which_each_goes_its_own_way(store: Path) -> None:
    _, output, _ = chat(
        store, "/title A talk", "one", "two", "/branches", "/edit 3", "deux", "/edit 1", "uno", "/branches"
    )

    lines = [line for line in output.splitlines() if " messages" in line]
    assert lines == [
        "* 1  4 messages",
        "  1  4 messages, from 1 (1 of 2) on: one; 3 is 1 of 2",
        "  2  4 messages, from 1 (1 of 2) on: one; 3 is 2 of 2",
        "* 3  2 messages, from 1 (2 of 2) on: uno",
    ]


def test_retry_stopped_before_its_first_word_is_answered_by_the_next_retry(
    store: Path, model: Endpoint
) -> None:
    model.will_say("First.")
    model.will_say({"role": "assistant"}, HOLD)
    model.will_say("Third.")
    with terminal("chat", "--store", store, "--base-url", model.base_url) as screen:
        screen.wait_for(PROMPT)
        screen.type("Why?\r")
        screen.wait_for("First.")
        screen.wait_for(PROMPT)
        model.asked.clear()
        screen.type("/retry\r")
        assert model.asked.wait(LIMIT_SECONDS)
        screen.type(CTRL_C)
        screen.wait_for("(stopped)")
        screen.wait_for(PROMPT)
        screen.type("/branches\r")
        screen.wait_for("* 2  2 messages")
        screen.wait_for(PROMPT)
        screen.type("/retry\r")
        screen.wait_for("Third.")
        screen.wait_for(PROMPT)

    assert texts_in(only_session_in(store)) == ["Why?", "Third."]


# --- edit and delete --------------------------------------------------------------------------------


def test_edit_asks_the_new_text_on_a_branch_of_its_own(store: Path) -> None:
    status, output, _ = chat(store, "one", "two", "/edit 1", "uno", "/switch 1", "drei")

    assert status == 0
    assert "You said: uno\n" in output
    assert texts_in(only_session_in(store)) == [
        "one",
        "You said: one",
        "two",
        "You said: two",
        "drei",
        "You said: drei",
    ]


def test_edit_in_place_changes_the_question_and_asks_nothing(store: Path) -> None:
    status, output, _ = chat(store, "one", "/edit!", "uno")

    assert (status, output) == (0, "You said: one\n")
    assert texts_in(only_session_in(store)) == ["uno", "You said: one"]


def test_edit_in_a_terminal_begins_with_the_old_text(store: Path) -> None:
    with terminal("chat", "--store", store) as screen:
        screen.wait_for(PROMPT)
        screen.type("tea\r")
        screen.wait_for("You said: tea\n")
        screen.wait_for(PROMPT)
        screen.type("/edit\r")
        screen.wait_for("new text> tea")
        screen.type(" and cake\r")
        screen.wait_for("You said: tea and cake\n")
        screen.wait_for(PROMPT)


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D, "\r"])
def test_an_edit_that_is_given_up_changes_nothing_and_the_chat_goes_on(store: Path, key: str) -> None:
    with terminal("chat", "--store", store) as screen:
        screen.wait_for(PROMPT)
        screen.type("tea\r")
        screen.wait_for("You said: tea\n")
        screen.wait_for(PROMPT)
        screen.type("/edit\r")
        screen.wait_for("new text> tea")
        screen.type("\x15" + key)  # Ctrl-U empties the line
        screen.wait_for("the question stays as it is")
        screen.wait_for(PROMPT)
        screen.type("more\r")
        screen.wait_for("You said: more\n")
        screen.wait_for(PROMPT)

    assert texts_in(only_session_in(store))[0] == "tea"


def test_the_new_text_of_a_refused_edit_is_not_sent_as_a_message(store: Path) -> None:
    status, output, errors = chat(store, "one", "/edit 2", "uno", "two")

    assert (status, output) == (1, "You said: one\nYou said: two\n")
    assert errors == "message 2 is an answer, not a question; /history shows which is which\n"


@pytest.mark.parametrize("command", ["/edit", "/edit!"])
def test_an_edit_with_its_text_in_the_same_line_is_shown_the_way(store: Path, command: str) -> None:
    status, output, errors = chat(store, "one", f"{command} Something else?", "uno", "two")

    assert (status, output) == (1, "You said: one\nYou said: two\n")
    assert errors == f"{command} takes a number: {command} [N], then the new text on the next line\n"


def test_help_says_in_a_pipe_where_an_edit_takes_its_text_from(store: Path) -> None:
    _, output, _ = chat(store, "/help")

    assert "/edit and /edit! take the new text from the next line, in a pipe too\n" in output


def test_delete_removes_a_question_with_its_answer_and_what_followed_stays(store: Path) -> None:
    status, _, errors = chat(store, "one", "two", "/delete 1")

    assert (status, errors) == (0, "deleted 2 messages\n")
    assert texts_in(only_session_in(store)) == ["two", "You said: two"]


# --- rerun ------------------------------------------------------------------------------------------


def test_rerun_asks_every_question_again_with_the_values_for_their_names(store: Path) -> None:
    status, output, _ = chat(store, "Hello {{name}}", "Bye {{name}}", '/rerun name="Ada L."')

    assert status == 0
    assert output.splitlines()[2:] == ["You said: Hello Ada L.", "You said: Bye Ada L."]
    assert texts_in(only_session_in(store))[0] == "Hello Ada L."


def test_rerun_in_a_terminal_shows_the_questions_with_their_answers(store: Path) -> None:
    with terminal("chat", "--store", store) as screen:
        for question in ("one", "two"):
            screen.wait_for(PROMPT)
            screen.type(f"{question}\r")
            screen.wait_for(f"You said: {question}\n")
        screen.wait_for(PROMPT)
        screen.type("/rerun\r")
        screen.wait_for("> one\nYou said: one\n> two\nYou said: two\n")
        screen.wait_for(PROMPT)


# --- export and title -------------------------------------------------------------------------------


def test_export_writes_markdown_in_order_and_not_over_a_file(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "my talk.md"

    status, _, errors = chat(store, "one", "/title A talk", f"/export {file}", f"/export {file}")

    assert status == 1
    assert errors == (f"written to {file}\n{file} exists already: name another file, or /export! {file}\n")
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# A talk\n")
    assert text.index("## User\n\n> one\n") < text.index("## Assistant\n\n> You said: one\n")


def test_export_over_a_file_replaces_it(store: Path, tmp_path: Path) -> None:
    file = tmp_path / "talk.md"
    file.write_text("old" * 1000, encoding="utf-8")

    status, _, _ = chat(store, "one", f"/export! {file}")

    assert status == 0
    assert "old" not in file.read_text(encoding="utf-8")


# --- bad input --------------------------------------------------------------------------------------


BAD_LINES = [
    ("/history x", "'x' is not a whole number above 0"),
    ("/history 0", "'0' is not a whole number above 0"),
    ("/retry 1", "message 1 is a question, not an answer; /history shows which is which"),
    ("/retry 99", "there is no message 99, the last one is 2; /history shows them"),
    ("/delete", "something is missing: /delete N"),
    ("/delete " + "9" * 5000, "is not a whole number above 0"),
    ("/switch 2", "there is no branch 2, the last one is 1; /branches lists them"),
    ("/branches 1", "/branches takes nothing behind it"),
    ("/rerun name", "'name' is not of the form name=value"),
    ('/rerun name="a', "a quotation mark has no other"),
    ("/title " + "x" * 201, "a title has at most 200 characters, not 201"),
    ("/export", "something is missing: /export FILE"),
    (
        "/export /no/such/folder/talk.md",
        "cannot write /no/such/folder/talk.md: No such file or directory",
    ),
    ("/export a\0b.md", "cannot write"),
    ("/quit now", "/quit takes nothing behind it"),
    ("/", "there is no command /; /help shows"),
    ("//hello there", "there is no command //hello; /help shows"),
]


def test_what_cannot_be_done_is_one_line_and_the_chat_goes_on(store: Path) -> None:
    status, output, errors = chat(store, "one", *(line for line, _ in BAD_LINES), "two")

    assert status == 1
    assert output == "You said: one\nYou said: two\n"
    said = errors.splitlines()
    assert len(said) == len(BAD_LINES)
    for (_, reason), line in zip(BAD_LINES, said, strict=True):
        assert reason in line


def test_before_the_first_question_there_is_nothing_to_work_on(store: Path) -> None:
    lines = ("/history", "/retry", "/edit\nnew", "/delete 1", "/rerun", "/export x.md", "/branches")

    status, output, errors = chat(store, *lines)

    assert (status, output) == (1, "")
    assert set(errors.splitlines()) == {
        "nothing has been said in this session yet",
        "there is no question yet",
    }
    assert sessions_in(store) == []


def test_a_space_before_a_slash_sends_the_line_as_it_is(store: Path) -> None:
    _, output, _ = chat(store, " /history")

    assert output == "You said:  /history\n"
    assert [role for role, _, _ in said_in(only_session_in(store))] == ["user", "assistant"]
