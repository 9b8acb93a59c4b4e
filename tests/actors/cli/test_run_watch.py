"""What a run says of providers that it waits for."""

from __future__ import annotations

import trio
import trio.testing

from actors.cli.run_watch import delay_line, watch_connections
from actors.errors import ErrorCode, ErrorInfo
from actors.governor import CircuitStatus, ConnectionStatus

COOLING = ConnectionStatus(connection="openai", running=0, waiting=7, cooling_seconds=4.6)


def test_a_line_says_who_is_waited_for_and_how_long() -> None:
    down = ConnectionStatus(
        connection="ollama",
        running=0,
        waiting=0,
        circuit=CircuitStatus.OPEN,
        open_seconds=0.2,
        last_error=ErrorInfo(ErrorCode.NETWORK_ERROR, "nobody\nlistens"),
    )

    assert delay_line(COOLING) == "openai is rate limited: next try in 5 s, 7 calls waiting"
    assert delay_line(down) == "ollama is down (nobody listens): it is tried again in 1 s"
    assert delay_line(ConnectionStatus(connection="openai", running=3, waiting=2)) == ""


async def test_each_connection_is_told_of_now_and_then_and_not_at_every_look(
    autojump_clock: trio.testing.MockClock,
) -> None:
    looks = 0
    warned: list[str] = []

    async def status() -> tuple[ConnectionStatus, ...]:
        nonlocal looks
        looks += 1
        await trio.lowlevel.checkpoint()
        return (COOLING, ConnectionStatus(connection="groq", running=1, waiting=0))

    with trio.move_on_after(25.2):
        await watch_connections(status, warned.append)

    assert autojump_clock.current_time() == 25.2
    assert looks == 50
    assert warned == [delay_line(COOLING)] * 3
