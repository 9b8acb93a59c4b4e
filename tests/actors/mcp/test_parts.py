"""The pure parts: names, words, the list of servers, the life of one, messages."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.connections import McpServer
from actors.mcp.environment import program_environment
from actors.mcp.naming import LONGEST_NAME, name_tools
from actors.mcp.protocol import (
    GetHealth,
    McpCommand,
    McpHealth,
    McpState,
    McpToolInfo,
    RegisterServer,
    ServersChanged,
    UnregisterServer,
)
from actors.mcp.remote_tool import Listing, RemoteTool
from actors.mcp.roster import Change, Roster
from actors.mcp.state import TRANSITIONS, Now, Offer, ServerState, Settled, backoff_seconds
from actors.mcp.wording import Redactor

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SERVER = McpServer(server_id="s", command="x")
names = st.text(min_size=1, max_size=90)


@given(names, st.lists(names, max_size=8))
def test_names_are_fit_for_models_unique_and_the_same_whatever_the_order(
    server_id: str, remote: list[str]
) -> None:
    tools = [RemoteTool(name=name) for name in remote]
    naming = name_tools(server_id, tools, lambda _: False)
    assert all(re.fullmatch(rf"[a-zA-Z0-9_-]{{1,{LONGEST_NAME}}}", name) for name in naming.tools)
    assert {tool.name for tool in naming.tools.values()} == set(remote)
    assert (
        name_tools(server_id, sorted(tools, key=lambda tool: tool.name), lambda _: False).tools
        == naming.tools
    )


@given(names, st.lists(names, max_size=8))
def test_names_of_others_are_left_alone(server_id: str, remote: list[str]) -> None:
    tools = [RemoteTool(name=name) for name in remote]
    taken = set(name_tools(server_id, tools, lambda _: False).tools)
    again = name_tools(server_id, tools, taken.__contains__)
    assert not taken & set(again.tools)
    assert len(again.remarks) >= len(set(remote))


def test_plain_names_are_prefixed_and_what_collides_is_reported() -> None:
    naming = name_tools(
        "my files", [RemoteTool(name="read.file"), RemoteTool(name="read_file")], lambda _: False
    )
    assert naming.tools["my_files_read_file"].name == "read_file"
    (other,) = [name for name in naming.tools if name != "my_files_read_file"]
    assert naming.remarks == (f"the tool 'read.file' is offered as {other}: my_files_read_file is taken",)


def test_secrets_are_taken_out_and_short_values_are_not() -> None:
    server = McpServer(
        server_id="s",
        url="https://user:hunter22@host/mcp?key=abcdef-1",
        environment={"TOKEN": "tok-123456", "DEBUG": "true"},
        headers={"Authorization": "Bearer k3y-of-ours"},
    )
    text = "true: tok-123456 Bearer k3y-of-ours k3y-of-ours hunter22 abcdef-1\n\x1b[31m!"
    assert Redactor(server)(text) == "true: *** *** *** *** *** [31m!"
    assert len(Redactor(server)("x" * 5000)) == 1000


def test_a_program_gets_no_key_of_ours() -> None:
    environment = {"PATH": "/bin", "HOME": "/h", "OPENAI_API_KEY": "k", "LD_PRELOAD": "x"}
    assert program_environment(environment) == {"PATH": "/bin", "HOME": "/h"}


def test_the_roster_says_what_is_to_be_done() -> None:
    a, b, c = (McpServer(server_id=one, command="x") for one in "abc")
    other_b = McpServer(server_id="b", command="y")
    roster = Roster([a])
    assert roster.replace_list([b, c]) == Change((), (b, c))
    assert roster.replace_list([b, c]) == Change()
    assert roster.put(other_b) == Change(("b",), (other_b,))
    assert roster.replace_list([c]) == Change()
    assert roster.remove("b") == Change(("b",))
    assert roster.replace_list([McpServer(server_id="c", command="x", enabled=False)]) == Change(("c",))
    assert list(roster) == [a]


@given(st.integers(min_value=1, max_value=10_000), st.floats(min_value=0, max_value=1))
def test_delays_grow_up_to_a_bound_and_chance_only_adds(failures: int, chance: float) -> None:
    least = backoff_seconds(failures, 0.0)
    assert 0.5 <= least <= 60
    assert least <= backoff_seconds(failures, chance) <= 1.5 * least
    assert least <= backoff_seconds(failures + 1, 0.0)


@given(st.lists(st.sampled_from(("connected", "lost", "hopeless", "retry", "late", "grace")), max_size=30))
def test_no_report_leads_anywhere_but_along_the_table(reports: list[str]) -> None:
    seconds = 0.0
    state = ServerState(SERVER, Now(NOW, seconds), lambda: 0.5)
    state.decide_connect(Now(NOW, seconds))
    settled = 0
    for report in reports:
        seconds += 1
        now, before = Now(NOW, seconds), state.state
        effects: list[object] = []
        if report == "connected" and before is McpState.CONNECTING:
            effects += state.decide_connected(state.attempt, Listing(), now)
            assert Offer(Listing()) in effects
        elif report in ("lost", "hopeless"):
            effects += state.decide_lost(state.attempt, "gone", now, hopeless=report == "hopeless")
        elif report == "retry" and before is McpState.WAITING:
            effects += state.decide_connect(now)
        elif report == "late":
            assert state.decide_lost(state.attempt - 1, "late", now) == []
            assert state.decide_listed(state.attempt - 1, Listing()) == []
            assert state.state is before
        elif report == "grace":
            state.decide_grace_over()
        settled += sum(isinstance(effect, Settled) for effect in effects)
        assert state.state is before or state.state in TRANSITIONS[before]
        assert (state.problem(seconds) == "") == (state.state is McpState.READY)
        health = state.health(seconds)
        assert (health.retry_in_seconds is not None) == (state.state is McpState.WAITING)
    assert settled <= 1
    assert state.settled == (settled == 1)


HEALTH = McpHealth(
    server_id="s",
    name="S",
    state=McpState.WAITING,
    since=NOW,
    tools=(McpToolInfo(name="s_a", remote_name="a"),),
    retry_in_seconds=1.5,
)


@pytest.mark.parametrize(
    "message",
    [ServersChanged((SERVER,)), RegisterServer(SERVER), UnregisterServer("s"), GetHealth(settled=True)],
)
def test_messages_are_data(message: McpCommand) -> None:
    assert msgspec.json.decode(msgspec.json.encode(message), type=McpCommand) == message
    with pytest.raises(AttributeError):
        setattr(message, message.__struct_fields__[0], None)


def test_health_is_data() -> None:
    assert msgspec.json.decode(msgspec.json.encode(HEALTH), type=McpHealth) == HEALTH
