from __future__ import annotations

import argparse
import os
import signal
import subprocess

import httpx
import msgspec
import pytest
import trio

from actors.cli.upstream import add_parser, settings_from
from actors.errors import EngineError, ErrorCode
from actors.upstream.faults import Fault
from actors.upstream.process import COMMAND, command_arguments, open_upstream_process
from actors.upstream.server import Upstream
from actors.upstream.settings import UpstreamSettings
from tests.actors.upstream.chat import QUICK, ask, events

# A process that does not end is a failure, not a hang.
LIMIT_SECONDS = 60


def parse(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    return parser.parse_args(["upstream", *options])


async def start(*options: str) -> trio.Process:
    pipe = subprocess.PIPE
    return await trio.lowlevel.open_process(
        [*COMMAND, *options], stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )


async def first_line(process: trio.Process) -> str:
    assert process.stdout is not None
    line = b""
    while not line.endswith(b"\n"):
        received = await process.stdout.receive_some()
        assert received, "the process ended before its ready line"
        line += received
    return line.decode()


async def output_of(pipe: trio.abc.ReceiveStream | None) -> bytes:
    assert pipe is not None
    return b"".join([data async for data in pipe])


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    "settings",
    [
        UpstreamSettings(),
        UpstreamSettings(
            host="::1",
            port=4711,
            ttft_seconds=0.125,
            tokens_per_second=1e-05,
            tokens=(5, 9),
            jitter=0.25,
            seed=7,
            replay_dir="some where",
            faults={Fault.RATE_LIMIT: 0.05, Fault.DISCONNECT: 0.01},
        ),
    ],
)
def test_options_carry_every_setting(settings: UpstreamSettings) -> None:
    assert settings_from(parse(*command_arguments(settings))) == settings


def test_no_options_are_the_default_settings_and_a_number_of_tokens_is_a_range() -> None:
    assert settings_from(parse()) == UpstreamSettings()
    assert settings_from(parse("--tokens", "7")).tokens == (7, 7)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--tokens", "many"], "'many' is neither a number nor MIN-MAX"),
        (["--fault", "flood=0.1"], "unknown fault 'flood'; known are 429"),
        (["--fault", "429"], "'429' is not NAME=RATE"),
        (["--json", "--quiet"], "not allowed with argument"),
    ],
)
def test_bad_option_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*options)

    assert caught.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--host", "0.0.0.0"], "host: 0.0.0.0 is not a loopback address"),  # noqa: S104 - it is refused
        (["--replay", "/nowhere"], "/nowhere: No such file or directory"),
    ],
)
async def test_bad_setting_is_one_line_and_status_2(options: list[str], complaint: str) -> None:
    with trio.fail_after(LIMIT_SECONDS):
        process = await start(*options)

        assert await output_of(process.stdout) == b""
        errors = await output_of(process.stderr)
        assert await process.wait() == 2
    assert errors.startswith(f"greenroom: {complaint}".encode())
    assert errors.count(b"\n") == 1


async def test_process_serves_and_is_gone_after_the_block() -> None:
    with trio.fail_after(LIMIT_SECONDS):
        async with (
            open_upstream_process(QUICK) as process,
            httpx.AsyncClient(base_url=process.base_url) as client,
        ):
            assert (await events(client, ask()))[-1] == b"[DONE]"
            assert is_running(process.pid)

    assert not is_running(process.pid)


async def test_process_is_gone_after_cancellation() -> None:
    pid = 0
    with trio.fail_after(LIMIT_SECONDS), trio.CancelScope() as scope:
        async with open_upstream_process(QUICK) as process:
            pid = process.pid
            scope.cancel()
            await trio.sleep_forever()

    assert pid
    assert not is_running(pid)


async def test_port_in_use_is_one_line_and_status_2(upstream: Upstream) -> None:
    with trio.fail_after(LIMIT_SECONDS):
        process = await start("--port", str(upstream.port))
        errors = await output_of(process.stderr)

        assert await process.wait() == 2
    assert errors.startswith(f"greenroom: port {upstream.port} of 127.0.0.1 is in use".encode())
    assert errors.count(b"\n") == 1


async def test_process_that_cannot_start_says_why(upstream: Upstream) -> None:
    settings = msgspec.structs.replace(QUICK, port=upstream.port)

    with trio.fail_after(LIMIT_SECONDS), pytest.raises(EngineError, match="is in use") as caught:
        async with open_upstream_process(settings):
            pass

    assert caught.value.code is ErrorCode.EXECUTION_FAILED


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_signal_ends_it_in_order(number: signal.Signals, status: int) -> None:
    with trio.fail_after(LIMIT_SECONDS):
        process = await start("--tokens-per-second", "0.001", "--ttft", "0")
        base_url = (await first_line(process)).removeprefix("ready at ").rstrip()
        async with (
            httpx.AsyncClient(base_url=base_url) as client,
            client.stream("POST", "/chat/completions", json=ask()) as response,
        ):
            assert response.status_code == 200
            process.send_signal(number)
            assert await process.wait() == status

        assert await output_of(process.stderr) == b""


async def test_end_of_input_ends_it_when_asked() -> None:
    with trio.fail_after(LIMIT_SECONDS):
        process = await start("--exit-with-parent")
        await first_line(process)
        assert process.stdin is not None
        await process.stdin.aclose()

        assert await process.wait() == 0


async def test_time_limit_ends_it_and_quiet_prints_nothing() -> None:
    with trio.fail_after(LIMIT_SECONDS):
        process = await start("--max-seconds", "0", "--quiet")

        assert await process.wait() == 0
        assert await output_of(process.stdout) == b""
