"""`greenroom chat` with tools, and the questions about their calls."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from actors.conversation import SystemControl
from tests.actors.cli.asked_calls import call, calls, results_in, user_tools
from tests.actors.cli.endpoint import HOLD, Endpoint
from tests.actors.cli.program import LIMIT_SECONDS, greenroom
from tests.actors.cli.stored import only_session_in
from tests.actors.cli.terminal import CTRL_C, CTRL_D, terminal

PROMPT = "> "
MCP_TESTS = Path(__file__).parents[1] / "mcp"
ASKED = "[a]ll tools in this session\n? "


def deployment(model: Endpoint, *targets: str) -> None:
    """Have the model ask for a deployment to each of these."""
    asked = (
        call("deploy", {"target": target}, call_id=f"c{index}", index=index)
        for index, target in enumerate(targets)
    )
    model.will_say(calls(*asked))


# --- in a terminal ----------------------------------------------------------------------------------


def test_a_call_is_shown_and_runs_when_the_user_says_yes(
    store: Path, model: Endpoint, tmp_path: Path
) -> None:
    model.will_say("Well, ", calls(call("deploy", {"target": "prod"})))
    model.will_say("It is up.")
    options = ("--store", store, "--base-url", model.base_url, "--tools", "mytools")
    with terminal("chat", *options, cwd=user_tools(tmp_path)) as screen:
        screen.wait_for("tools: deploy, uptime, hang\n")
        screen.wait_for(PROMPT)
        screen.type("Deploy!\r")
        screen.wait_for('Well, \ndeploy wants to run, with\n  {\n    "target": "prod"\n  }\n')
        screen.wait_for(ASKED)
        screen.type("yes\r")
        screen.wait_for('calls deploy({"target": "prod"})\n')
        screen.wait_for("  building\n  copying\n")
        screen.wait_for("deploy succeeded: prod is up (and 1 line more)\n")
        screen.wait_for("It is up.\n")
        screen.wait_for(PROMPT)
        screen.type(CTRL_D)
        assert screen.wait_for_end() == 0

    assert results_in(only_session_in(store)) == [("deploy", "succeeded", "prod is up\nall well")]


def test_what_is_no_answer_is_asked_again_and_no_tells_the_model(
    store: Path, model: Endpoint, tmp_path: Path
) -> None:
    deployment(model, "prod")
    model.will_say("Then not.")
    options = ("--store", store, "--base-url", model.base_url, "--tools", "mytools")
    with terminal("chat", *options, cwd=user_tools(tmp_path)) as screen:
        screen.wait_for(PROMPT)
        screen.type("Deploy!\r")
        screen.wait_for(ASKED)
        screen.type("\r")
        screen.wait_for(ASKED)
        screen.type("perhaps\r")
        screen.wait_for(ASKED)
        screen.type("N\r")
        screen.wait_for("deploy cancelled: A person has denied this call.\nThen not.\n")

    assert model.requests[1]["messages"][-1]["content"] == "A person has denied this call."


def test_this_tool_always_asks_no_more_about_it_and_of_others_it_does(
    store: Path, model: Endpoint, tmp_path: Path
) -> None:
    deployment(model, "one", "two")
    deployment(model, "three")
    model.will_say("Three are up.")
    options = ("--store", store, "--base-url", model.base_url, "--tools", "mytools")
    with terminal("chat", *options, cwd=user_tools(tmp_path)) as screen:
        screen.wait_for(PROMPT)
        screen.type("Deploy!\r")
        screen.wait_for("(1 of 2) deploy wants to run")
        screen.wait_for(ASKED)
        screen.type("t\r")
        shown = screen.wait_for("Three are up.\n")
        assert "wants to run" not in shown
        assert '#2 calls deploy({"target": "two"})' in shown
        screen.wait_for(PROMPT)
        screen.type("/tools\r")
        screen.wait_for("deploy  mytools  changes     runs  Put the site on a server.\n")

    assert [output.split()[0] for _, _, output in results_in(only_session_in(store))] == [
        "one",
        "two",
        "three",
    ]


def test_ctrl_c_at_the_question_stops_the_turn(store: Path, model: Endpoint, tmp_path: Path) -> None:
    deployment(model, "prod")
    model.will_say("Something else.")
    options = ("--store", store, "--base-url", model.base_url, "--tools", "mytools")
    with terminal("chat", *options, cwd=user_tools(tmp_path)) as screen:
        screen.wait_for(PROMPT)
        screen.type("Deploy!\r")
        screen.wait_for(ASKED)
        screen.type(CTRL_C)
        screen.wait_for("(stopped)")
        screen.wait_for(PROMPT)
        screen.type("And now?\r")
        screen.wait_for("Something else.")
        screen.wait_for(PROMPT)
        screen.type(CTRL_D)
        assert screen.wait_for_end() == 0

    assert [status for _, status, _ in results_in(only_session_in(store))] == ["cancelled"]


def test_ctrl_c_stops_a_turn_whose_tool_hangs(store: Path, model: Endpoint, tmp_path: Path) -> None:
    model.will_say(calls(call("hang")))
    options = ("--store", store, "--base-url", model.base_url, "--tools", "mytools:hang")
    with terminal("chat", *options, cwd=user_tools(tmp_path)) as screen:
        screen.wait_for(PROMPT)
        screen.type("Wait\r")
        screen.wait_for("calls hang({})\n")
        screen.type(CTRL_C)
        screen.wait_for("(stopped)")
        screen.wait_for(PROMPT)

    assert only_session_in(store).record.status == "aborted"


def test_a_tool_that_hangs_in_the_background_is_cancelled_and_the_turn_goes_on(
    store: Path, model: Endpoint, tmp_path: Path
) -> None:
    model.will_say(calls(call("hang")))
    model.will_say("It did not come back.")
    options = ("--store", store, "--base-url", model.base_url, "--tools", "mytools")
    with terminal("chat", *options, cwd=user_tools(tmp_path)) as screen:
        screen.wait_for(PROMPT)
        screen.type("/bg Wait\r")
        assert model.asked.wait(LIMIT_SECONDS)
        screen.wait_for(PROMPT)
        while "stopped 1 tool call in session" not in screen.seen:
            screen.type("/cancel\r")  # it may not have begun yet
            screen.wait_for("/cancel")
            screen.wait_for(PROMPT)
        screen.type("/wait\r")
        screen.wait_for("It did not come back.\n")


def test_a_session_in_the_background_waits_until_the_user_comes_back(
    store: Path, model: Endpoint, tmp_path: Path
) -> None:
    deployment(model, "prod")
    model.will_say("It is up.")
    options = ("--store", store, "--base-url", model.base_url, "--tools", "mytools")
    with terminal("chat", *options, cwd=user_tools(tmp_path)) as screen:
        screen.wait_for(PROMPT)
        screen.type("/bg Deploy!\r")
        screen.wait_for(PROMPT)
        screen.type("/new\r")
        screen.wait_for("2> ")
        while "waits for your decision: /go 1, then /wait asks" not in screen.seen:
            screen.type("\r")
            screen.wait_for("2> ")
        screen.type("\r")
        screen.wait_for(" | 1 waiting for your decision]")
        screen.wait_for("2> ")
        screen.type("/sessions\r")
        screen.wait_for("waiting_confirmation")
        screen.wait_for("2> ")
        screen.type("/go 1\r")
        screen.wait_for("a tool call waits for your decision: /wait asks, /stop stops the turn")
        screen.wait_for("1> ")
        screen.type("/wait\r")
        screen.wait_for(ASKED)
        screen.type("a\r")
        screen.wait_for("deploy succeeded")
        screen.wait_for("It is up.\n")


def test_a_waiting_call_outlives_the_program(store: Path, model: Endpoint, tmp_path: Path) -> None:
    deployment(model, "prod")
    model.will_say("It is up.")
    options = ("--store", store, "--base-url", model.base_url, "--tools", "mytools")
    with terminal("chat", *options, cwd=user_tools(tmp_path)) as screen:
        screen.wait_for(PROMPT)
        screen.type("Deploy!\r")
        screen.wait_for(ASKED)  # and the program is killed
    session_id = only_session_in(store).record.session_id

    done = greenroom("chat", session_id, *options, typed=b"/wait\ny\n", cwd=tmp_path)

    assert "a tool call waits for your decision: /wait asks" in done.stderr.decode()
    assert done.stdout.decode() == "It is up.\n"
    assert done.returncode == 0


# --- at the end of pipes ----------------------------------------------------------------------------


def test_a_piped_line_answers_and_standard_output_has_only_answers(
    store: Path, model: Endpoint, tmp_path: Path
) -> None:
    deployment(model, "one", "two")
    model.will_say("One is up.")
    options = ("--store", store, "--base-url", model.base_url, "--tools", "mytools")

    done = greenroom("chat", *options, typed=b"Deploy!\ny\nn\n", cwd=user_tools(tmp_path))

    assert done.stdout.decode() == "One is up.\n"
    assert "#1 deploy succeeded: one is up" in done.stderr.decode()
    assert [status for _, status, _ in results_in(only_session_in(store))] == ["succeeded", "cancelled"]
    assert done.returncode == 0


def test_the_end_of_the_input_is_a_no(store: Path, model: Endpoint, tmp_path: Path) -> None:
    deployment(model, "prod")
    model.will_say("Then not.")
    options = ("--store", store, "--base-url", model.base_url, "--tools", "mytools")

    done = greenroom("chat", *options, typed=b"Deploy!\n", cwd=user_tools(tmp_path))

    assert "(the input has ended: deploy is denied)" in done.stderr.decode()
    assert done.stdout.decode() == "Then not.\n"


def test_a_piped_line_that_is_no_answer_denies_and_makes_the_status_1(
    store: Path, model: Endpoint, tmp_path: Path
) -> None:
    deployment(model, "prod")
    model.will_say("Then not.")
    options = ("--store", store, "--base-url", model.base_url, "--tools", "mytools")

    done = greenroom("chat", *options, typed=b"Deploy!\nGo on\n", cwd=user_tools(tmp_path))

    assert "'Go on' is no answer to that: deploy is denied" in done.stderr.decode()
    assert done.returncode == 1
    assert len(model.requests) == 2


def test_long_arguments_are_cut_and_shown_whole_on_request(
    store: Path, model: Endpoint, tmp_path: Path
) -> None:
    deployment(model, "x" * 1000)
    model.will_say("Then not.")
    options = ("--store", store, "--base-url", model.base_url, "--tools", "mytools")

    done = greenroom("chat", *options, typed=b"Deploy!\ns\nn\n", cwd=user_tools(tmp_path))

    told = done.stderr.decode()
    assert "characters more)" in told
    assert "[s]how the whole call" in told
    assert "x" * 1000 in told


def test_a_model_that_calls_tools_for_ever_is_stopped_and_that_is_said(
    store: Path, model: Endpoint, tmp_path: Path
) -> None:
    for _ in range(20):
        model.will_say(calls(call("uptime")))
    options = ("--store", store, "--base-url", model.base_url, "--tools", "mytools")

    done = greenroom("chat", *options, typed=b"Go\n", cwd=user_tools(tmp_path))

    assert done.stderr.decode().endswith("(stopped at the limit of model calls)\n")
    assert done.returncode == 1
    session = only_session_in(store)
    shown = greenroom("show", session.record.session_id, "--store", store).stdout.decode()
    assert shown.endswith("(stopped at the limit of model calls)\n")


# --- rules, modes and listings ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "status"), [("auto", "succeeded"), ("deny", "cancelled")], ids=["auto", "deny"]
)
def test_rules_decide_without_a_question(
    store: Path, model: Endpoint, tmp_path: Path, rule: str, status: str
) -> None:
    deployment(model, "prod")
    model.will_say("Well.")
    options = ("--store", store, "--base-url", model.base_url, "--tools", "mytools", "--approve", rule)

    done = greenroom("chat", *options, typed=b"Deploy!\n", cwd=user_tools(tmp_path))

    assert "wants to run" not in done.stderr.decode()
    assert [one for _, one, _ in results_in(only_session_in(store))] == [status]


def test_plan_mode_offers_only_what_changes_nothing_until_act(
    store: Path, model: Endpoint, tmp_path: Path
) -> None:
    model.will_say("First this, then that.")
    model.will_say("Done.")
    options = ("--store", store, "--base-url", model.base_url, "--tools", "mytools", "--plan")

    done = greenroom("chat", *options, typed=b"/tools\nHow?\n/act\nDo it\n", cwd=user_tools(tmp_path))

    assert done.returncode == 0
    offered = [[tool["function"]["name"] for tool in request["tools"]] for request in model.requests]
    assert offered == [["uptime"], ["deploy", "hang", "uptime"]]
    assert "plan mode" in model.requests[0]["messages"][0]["content"]
    listed = done.stdout.decode().splitlines()
    assert listed[0].split()[:7] == ["deploy", "mytools", "changes", "not", "in", "plan", "mode"]
    assert listed[2].split()[:5] == ["uptime", "mytools", "reads", "only", "runs"]
    notes = [
        message.content
        for message in only_session_in(store).messages
        if isinstance(message.content, SystemControl)
    ]
    assert notes == [SystemControl("work_mode", "plan", "act")]


def test_a_stored_session_takes_the_tools_of_the_command_line(
    store: Path, model: Endpoint, tmp_path: Path
) -> None:
    model.will_say("Hello.")
    model.will_say(calls(call("uptime")))
    model.will_say("For three days.")
    options = ("--store", store, "--base-url", model.base_url)
    greenroom("chat", *options, typed=b"Hello\n")
    session_id = only_session_in(store).record.session_id

    done = greenroom(
        "chat", session_id, *options, "--tools", "mytools", typed=b"Since when?\n", cwd=user_tools(tmp_path)
    )

    assert done.stdout.decode() == "For three days.\n"
    assert "tools" not in model.requests[0]
    assert only_session_in(store).record.mode == "agent"


def test_modes_and_rules_that_there_are_not_are_refused(store: Path) -> None:
    done = greenroom("chat", "--store", store, typed=b"/approve maybe\n/tools\n/cancel\n/approve\n")

    errors = done.stderr.decode().splitlines()
    assert "there is no mode 'maybe'; there are default, auto, always_ask, deny" in errors
    assert any(error.startswith("no tool runs in session ") for error in errors)
    assert (
        "the model has no tools; --workspace, --tools and --mcp-config give it some" in done.stdout.decode()
    )
    assert "default: you are asked about the tools that want it" in done.stdout.decode()
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--tools", "nowhere"), "nowhere cannot be imported: ModuleNotFoundError"),
        (("--tools", "mytools.py"), "name it as in an import: mytools"),
        (("--tools", "empty"), "there are no tools in it; make one of a function with @tool"),
        (("--tools", "broken"), "broken cannot be imported: SystemExit: 3"),
        (("--tools", "mytools:plain"), "this is no tool; put @tool of actors.tools above it"),
        (("--tools", "mytools:other"), "there is no such tool; mytools has: deploy, uptime, hang"),
        (("--tools", "mytools", "--tools", "mytools:deploy"), "there are two tools named 'deploy'"),
        (("--workspace", "nowhere"), "--workspace nowhere: there is no such folder"),
        (("--mcp-config", "nowhere.json"), "nowhere.json cannot be read: No such file or directory"),
        (("--approve", "maybe"), "invalid choice: 'maybe'"),
    ],
)
def test_tools_that_cannot_be_had_are_refused_in_one_line_before_a_store_is_made(
    store: Path, tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    user_tools(tmp_path)
    (tmp_path / "empty.py").write_text("x = 1\n")
    (tmp_path / "broken.py").write_text("raise SystemExit(3)\n")

    done = greenroom("chat", "--store", store, *options, typed=b"hello\n", cwd=tmp_path)

    assert done.returncode == 2
    assert reason in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert not store.exists()


# --- MCP servers ------------------------------------------------------------------------------------


def test_tools_of_mcp_servers_are_used_and_how_the_servers_are_is_told(
    store: Path, model: Endpoint, tmp_path: Path
) -> None:
    servers = {
        "broken": {"command": str(tmp_path / "nothing")},
        "sums": {"command": sys.executable, "args": [str(MCP_TESTS / "honest_server.py")]},
    }
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": servers}))
    model.will_say(calls(call("sums_add", {"a": 20, "b": 22})))
    model.will_say("42.")
    model.will_say(calls(call("sums_pid")))
    model.will_say("Then not.")
    options = ("--store", store, "--base-url", model.base_url, "--mcp-config", tmp_path / "mcp.json")

    done = greenroom("chat", *options, typed=b"How much?\n/tools\nWho?\nn\n")

    told = done.stderr.decode()
    assert "MCP server broken: not there (there is no program " in told
    assert "MCP server sums: ready, " in told
    assert "sums_add succeeded: 42" in told
    assert "sums_pid wants to run" in told
    shown = done.stdout.decode().splitlines()
    assert shown[0] == "42."
    assert shown[1].split()[:6] == ["sums_add", "MCP", "sums", "reads", "only", "runs"]
    assert shown[-1] == "Then not."
    assert done.returncode == 0


def test_ctrl_c_does_not_wait_for_a_server_that_hangs(store: Path, tmp_path: Path) -> None:
    slow = {"command": sys.executable, "args": [str(MCP_TESTS / "crooked_server.py"), "hang"]}
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": {"slow": slow}}))
    with terminal("chat", "--store", store, "--mcp-config", tmp_path / "mcp.json") as screen:
        screen.wait_for("waiting for the MCP servers (Ctrl-C does not wait)\n")
        screen.type(CTRL_C)
        screen.wait_for("MCP server slow: connecting\n")
        screen.wait_for(PROMPT)
        screen.type("hello\r")
        screen.wait_for("You said: hello\n")
        screen.wait_for(PROMPT)
        screen.type(CTRL_D)
        assert screen.wait_for_end() == 0


# --- files ------------------------------------------------------------------------------------------


def test_a_workspace_has_tools_and_its_files_are_referred_to(
    store: Path, model: Endpoint, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("one\ntwo\nthree\n")
    model.will_say(calls(call("read", {"path": "notes.txt"})))
    model.will_say("Three lines.")
    options = ("--store", store, "--base-url", model.base_url, "--workspace", tmp_path)

    done = greenroom("chat", *options, typed=b"What is in @notes.txt:2-3 and @none.txt?\n")

    assert done.stdout.decode() == "Three lines.\n"
    told = done.stderr.decode()
    assert "(with notes.txt:2-3 (9 bytes, read at " in told
    assert "(not sent: none.txt: there is no such file" in told
    assert "two\nthree" in model.requests[0]["messages"][0]["content"]
    assert done.returncode == 0
    (name, status, output) = results_in(only_session_in(store))[0]
    assert (name, status) == ("read", "succeeded")
    assert "three" in output


PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def test_a_file_that_is_named_without_a_workspace_is_sent_as_text_and_that_is_said(
    store: Path, model: Endpoint, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("secret\n")
    model.will_say("Well.")

    done = greenroom(
        "chat",
        "--store",
        store,
        "--base-url",
        model.base_url,
        typed=b"See @notes.txt and @nobody and @" + b"x" * 300 + b"/a.txt\n",
        cwd=tmp_path,
    )

    told = done.stderr.decode()
    assert "(@notes.txt is sent as text: start with --workspace to send the file)" in told
    assert "@nobody" not in told


def test_images_and_files_go_with_the_next_question_only(
    store: Path, model: Endpoint, tmp_path: Path
) -> None:
    (tmp_path / "picture").write_bytes(PNG)
    (tmp_path / "notes.txt").write_text("a note")
    model.will_say("A square.")
    model.will_say("Nothing.")
    options = ("--store", store, "--base-url", model.base_url)

    done = greenroom(
        "chat", *options, typed=b"/image picture\n/file notes.txt\nWhat is this?\nAnd now?\n", cwd=tmp_path
    )

    assert "with the next question: image picture (image/png, 108 bytes)" in done.stderr.decode()
    (first, *_, last) = model.requests[1]["messages"]
    assert [part["type"] for part in first["content"]] == ["image_url", "text"]
    assert "a note" in str(first["content"])
    assert last["content"] == "And now?"
    shown = greenroom("show", only_session_in(store).record.session_id, "--store", store).stdout.decode()
    assert "with the file notes.txt\nwith the image picture (image/png, 108 bytes)\n" in shown


def test_files_that_cannot_be_sent_are_refused_and_what_was_chosen_can_be_dropped(
    store: Path, tmp_path: Path
) -> None:
    (tmp_path / "picture").write_bytes(PNG)
    (tmp_path / "empty").write_bytes(b"")
    typed = (
        "/image none",
        "/image .",
        "/image empty",
        "/image mytools.py",
        "/file picture",
        "/drop",
        "/image picture",
        "/drop",
        "hi",
    )

    done = greenroom("chat", "--store", store, typed="\n".join(typed).encode(), cwd=user_tools(tmp_path))

    assert done.stderr.decode().splitlines()[2:] == [
        "cannot read none: No such file or directory",
        ". is a folder; name a file in it",
        "empty is empty",
        "mytools.py is no PNG, JPEG, GIF or WebP image; convert it, or send a text with /file",
        "picture is no UTF-8 text; an image goes with /image",
        "nothing goes with the next question yet; /image and /file add something",
        "with the next question: image picture (image/png, 108 bytes)",
        "nothing goes with the next question",
    ]
    assert done.returncode == 1
    assert done.stdout.decode() == "You said: hi\n"


# --- how the model is asked -------------------------------------------------------------------------


def test_settings_of_the_command_line_are_in_the_request(store: Path, model: Endpoint) -> None:
    model.will_say("Fine.")
    options = ("--store", store, "--base-url", model.base_url, "--temperature", "0.2", "--max-tokens", "50")

    done = greenroom("chat", *options, "--option", 'reasoning_effort="low"', typed=b"hi\n")

    assert done.returncode == 0
    request = model.requests[0]
    assert (request["temperature"], request["max_tokens"], request["reasoning_effort"]) == (
        0.2,
        50,
        "low",
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--option", "effort"), "'effort' is not NAME=JSON, such as top_p=0.9"),
        (("--option", "user=me"), "'me', the value of user, is not JSON; a text has double quotes"),
        (("--option", "nonsense=1"), "openai-chat has no option 'nonsense'"),
        (("--option", "top_p=0.5", "--option", "top_p=0.6"), "--option top_p is given twice"),
        (("--temperature", "9"), "temperature must be 0 to 2, not 9.0"),
        (("--max-tokens", "0"), "--max-tokens is at least 1, not 0"),
    ],
)
@pytest.mark.parametrize("command", ["chat", "run"])
def test_settings_that_cannot_be_sent_are_refused_in_one_line(
    store: Path, tmp_path: Path, command: str, options: tuple[str, ...], reason: str
) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("hello\n")
    arguments = (prompts,) if command == "run" else ()

    done = greenroom(
        command,
        *arguments,
        "--store",
        store,
        "--base-url",
        "http://127.0.0.1:9/v1",
        *options,
        typed=b"hi\n",
    )

    assert done.returncode == 2
    assert reason in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert not store.exists()


def test_a_model_that_is_rate_limited_is_waited_for_and_the_user_is_told(
    store: Path, model: Endpoint
) -> None:
    model.will_say(429)
    model.will_say("Here I am.")

    done = greenroom("chat", "--store", store, "--base-url", model.base_url, typed=b"hi\n")

    assert done.stdout.decode() == "Here I am.\n"
    assert "(openai is rate limited; next try in " in done.stderr.decode()


def test_ctrl_c_stops_an_answer_between_two_tool_calls(
    store: Path, model: Endpoint, tmp_path: Path
) -> None:
    model.will_say("One moment.", calls(call("uptime")))
    model.will_say("It has been ", HOLD)
    options = ("--store", store, "--base-url", model.base_url, "--tools", "mytools")
    with terminal("chat", *options, cwd=user_tools(tmp_path)) as screen:
        screen.wait_for(PROMPT)
        screen.type("Since when?\r")
        screen.wait_for("One moment.\ncalls uptime({})\nuptime succeeded: 3 days\nIt has been ")
        screen.type(CTRL_C)
        screen.wait_for("(stopped)")
        screen.wait_for(PROMPT)
