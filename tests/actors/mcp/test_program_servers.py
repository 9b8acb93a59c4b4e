"""Servers that are programs: honest ones, and those that misbehave."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
import structlog
import trio

from actors.connections import McpServer
from actors.errors import EngineError, ErrorCode
from actors.mcp.protocol import McpState
from tests.actors.mcp.world import crooked, honest, is_running, open_world, until_noted


def _pids(file: Path, word: str = "pid") -> list[int]:
    return [int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith(word)]


async def test_tools_of_a_server_are_offered_by_safe_names_with_their_schemas_and_hints() -> None:
    async with open_world([honest()]) as world:
        health = await world.health()
        assert health.state is McpState.READY
        assert [tool.name for tool in health.tools] == ["s_add", "s_grow", "s_pid", "s_refuse", "s_things"]
        add, pid = world.tool("s_add"), world.tool("s_pid")
        assert add.description == "Add two numbers."
        assert add.parameters["required"] == ["a", "b"]
        assert (add.read_only, add.needs_confirmation, add.origin) == (True, False, "s")
        assert (pid.read_only, pid.needs_confirmation) == (False, True)
        assert await world.call("s_add", {"a": 20, "b": 22}) == "42"


async def test_what_is_no_text_in_a_result_is_described() -> None:
    async with open_world([honest()]) as world:
        await world.healths()
        assert (await world.call("s_things")).splitlines() == [
            "look:",
            "[image, image/png, 5 bytes: not shown]",
            "[audio, audio/wav, 5 bytes: not shown]",
            "[resource file:///notes.txt notes: what was said]",
            "[resource file:///a.txt, text/plain]",
            "inside",
            "[resource file:///b.bin, 5 bytes: not shown]",
        ]


async def test_a_result_that_is_an_error_is_a_failed_call_with_its_text() -> None:
    async with open_world([crooked("well")]) as world:
        await world.healths()
        with pytest.raises(EngineError, match=r"^that did not work$"):
            await world.call("s_fail")
        health = await world.health()
        assert (health.calls, health.failures) == (1, 1)


async def test_a_hundred_sessions_share_one_process(tmp_path: Path) -> None:
    async with open_world([crooked("well", tmp_path / "notes")]) as world:
        await world.healths()
        answers: set[str] = set()

        async def session(number: int) -> None:
            answers.add(await world.call("s_echo", {"text": f"from {number}"}))

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(session, number)
        assert answers == {f"from {number}" for number in range(100)}
        assert (await world.health()).calls == 100
    assert len(_pids(tmp_path / "notes")) == 1


async def test_progress_is_shown_while_the_call_runs() -> None:
    shown: list[str] = []
    async with open_world([crooked("well")]) as world:
        await world.healths()
        assert await world.call("s_steps", show=shown.append) == "done"
    assert shown == ["step 1 (1/2)\n", "step 2 (2/2)\n"]


@pytest.mark.parametrize("server", [crooked("growing"), honest()], ids=["older protocol", "newer protocol"])
async def test_tools_that_come_later_are_offered_too(server: McpServer) -> None:
    async with open_world([server]) as world:
        await world.healths()
        before = {tool.name for tool in world.tools}
        await world.call("s_steps" if "s_steps" in before else "s_grow")
        await world.until(lambda health: any(tool.name == "s_fresh" for tool in health.tools))
        assert {tool.name for tool in world.tools} == {*before, "s_fresh"}


async def test_a_listing_in_pages_is_read_to_its_end() -> None:
    async with open_world([crooked("pages")]) as world:
        health = await world.health()
        assert len(health.tools) == 5
        assert health.remarks == ()


async def test_a_listing_without_an_end_is_cut_and_said_so() -> None:
    async with open_world([crooked("endless")]) as world:
        health = await world.health()
        assert health.state is McpState.READY
        assert len(health.tools) == 100
        assert health.remarks == ("it lists tools without an end: the first 100 are taken",)


async def test_names_that_cannot_be_are_made_possible_and_reported() -> None:
    async with open_world([crooked("duplicates")]) as world:
        health = await world.health()
        names = [tool.name for tool in health.tools]
        assert len(names) == len(set(names)) == 5
        assert {"s_a_b", "s_same"} <= set(names)
        assert all(len(name) <= 64 for name in names)
        assert len(health.remarks) == 4


async def test_a_cancelled_call_is_cancelled_at_the_server(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with open_world([crooked("well", notes)]) as world:
        await world.healths()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.call, "s_wait")
            await until_noted(notes, "waiting")
            nursery.cancel_scope.cancel()
        await until_noted(notes, "cancelled")
        assert await world.call("s_echo", {"text": "still there"}) == "still there"
        assert (await world.health()).state is McpState.READY


async def test_a_call_that_takes_too_long_fails_and_the_server_goes_on(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with open_world([crooked("well", notes, seconds=4.0)]) as world:
        await world.healths()
        with pytest.raises(EngineError, match=r"s did not answer within 4 seconds; the call was cancelled"):
            await world.call("s_wait")
        assert await world.call("s_echo", {"text": "still there"}) == "still there"
        assert "cancelled" in notes.read_text()


async def test_a_server_that_dies_during_a_call_fails_it_and_is_brought_back(tmp_path: Path) -> None:
    async with open_world([crooked("well", tmp_path / "notes")]) as world:
        await world.healths()
        with pytest.raises(
            EngineError, match="lost during the call: the program was ended by SIGKILL"
        ) as info:
            await world.call("s_die")
        assert "not known" in info.value.message
        await world.until(lambda health: health.healthy)
        assert await world.call("s_echo", {"text": "back"}) == "back"
    assert len(_pids(tmp_path / "notes")) == 2


async def test_tools_of_a_lost_server_stay_for_a_while_and_say_why_they_cannot_be_called() -> None:
    async with open_world([crooked("well")], reconnects=False) as world:
        await world.healths()
        with pytest.raises(EngineError, match="lost during the call"):
            await world.call("s_die")
        said = r"The MCP server s is not connected \(last error: .*SIGKILL\); tries again in [0-9]+ s"
        with pytest.raises(EngineError, match=said):
            await world.call("s_echo")
        find_problem = world.tool("s_echo").find_problem
        assert find_problem is not None
        assert "is not connected" in find_problem()


async def test_a_killed_server_fails_all_calls_under_way_and_is_brought_back(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with open_world([crooked("well", notes)]) as world:
        await world.healths()
        errors: list[EngineError] = []

        async def waiting() -> None:
            try:
                await world.call("s_wait")
            except EngineError as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(waiting)
            await until_noted(notes, "waiting", times=10)
            os.kill(_pids(notes)[0], signal.SIGKILL)
        assert {error.code for error in errors} == {ErrorCode.NETWORK_ERROR}
        assert len(errors) == 10
        health = await world.until(lambda health: health.healthy)
        assert health.failures == 10
        assert "SIGKILL" in health.last_error
        assert await world.call("s_echo", {"text": "back"}) == "back"


async def test_a_program_that_ends_at_its_start_is_reported_with_its_last_words_and_without_secrets() -> (
    None
):
    server = crooked("exit")
    secret = McpServer(
        server_id="s",
        command=server.command,
        arguments=server.arguments,
        environment={"SECRET_KEY": "s3cr3t-key"},
    )
    with structlog.testing.capture_logs() as logs:
        async with open_world([secret]) as world:
            health = await world.health()
    assert health.state is McpState.WAITING
    assert health.last_error == "the program ended with status 1: no key in ***"
    assert health.retry_in_seconds is not None
    assert "s3cr3t" not in f"{logs}{health}{secret!r}"


async def test_a_program_that_is_not_there_is_named() -> None:
    async with open_world([McpServer(server_id="s", command="no-such-program")]) as world:
        health = await world.health()
        assert health.last_error == (
            "there is no program no-such-program: install it, or name it by its whole path"
        )


async def test_a_server_that_hangs_at_its_start_is_given_up(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with open_world([crooked("hang", notes, seconds=2.0)]) as world:
        health = await world.health()
        assert health.last_error == "it was not ready within 2 seconds"
    assert not any(map(is_running, _pids(notes) if notes.exists() else ()))


async def test_one_that_needs_neither_program_nor_url_is_not_tried_again() -> None:
    async with open_world([McpServer(server_id="s")]) as world:
        health = await world.health()
        assert health.state is McpState.BROKEN
        assert health.last_error == "it needs a command or a url, and not both"


@pytest.mark.parametrize("way", ["flood", "garbage"])
async def test_noise_does_not_matter_and_the_log_of_it_is_bounded(
    way: str, capfd: pytest.CaptureFixture[str]
) -> None:
    async with open_world([crooked(way)]) as world:
        assert (await world.health()).state is McpState.READY
        assert await world.call("s_echo", {"text": "heard"}) == "heard"
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


async def test_a_line_without_an_end_ends_the_connection() -> None:
    async with open_world([crooked("long-line")]) as world:
        health = await world.health()
        assert health.state is McpState.WAITING
        assert "sent a line of more than" in health.last_error


@pytest.mark.parametrize("way", ["family", "stubborn"])
async def test_nothing_is_left_of_a_server_when_it_is_ended(way: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with open_world([crooked(way, notes)]) as world:
        await world.healths()
        assert all(map(is_running, [*_pids(notes), *_pids(notes, "child")]))
    assert not any(map(is_running, [*_pids(notes), *_pids(notes, "child")]))


async def test_nothing_is_left_of_a_server_that_died_but_its_successor(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    async with open_world([crooked("family", notes)]) as world:
        await world.healths()
        with pytest.raises(EngineError, match="lost during the call"):
            await world.call("s_die")  # its child holds the pipes open
        await world.until(lambda health: health.healthy)
    assert not any(map(is_running, _pids(notes, "child")))


async def test_no_thread_is_left_but_those_that_trio_keeps(tmp_path: Path) -> None:
    async with open_world([crooked("well", tmp_path / "notes")]) as world:
        await world.healths()
        await world.call("s_echo", {"text": "x"})
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    assert all(thread.name.startswith("Trio thread") and thread.daemon for thread in others), others


async def test_a_program_gets_a_harmless_environment_and_its_own() -> None:
    server = crooked("well")
    server = McpServer(
        server_id="s", command=server.command, arguments=server.arguments, environment={"MINE": "given"}
    )
    environment = {**os.environ, "OPENAI_API_KEY": "sk-not-for-you"}
    async with open_world([server], environment=environment) as world:
        await world.healths()
        seen = await world.call("s_echo")
    assert '"MINE": "given"' in seen
    assert "PATH" in seen
    assert "sk-not-for-you" not in seen
