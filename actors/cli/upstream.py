"""`greenroom upstream`: the simulated model endpoint, as a process of its own."""

from __future__ import annotations

import argparse
import os
import signal
import sys

import msgspec
import trio

from actors.cli.arguments import Subparsers
from actors.cli.limits import raise_open_files_limit, tune_process
from actors.cli.status import ExitStatus
from actors.errors import EngineError
from actors.upstream.faults import Fault, fault_named
from actors.upstream.process import UpstreamProcess
from actors.upstream.server import Upstream
from actors.upstream.settings import UpstreamSettings

__all__ = ["add_parser", "run", "settings_from"]


def add_parser(subparsers: Subparsers) -> None:
    """Add the command `upstream` to `greenroom`."""
    parser = subparsers.add_parser(
        "upstream",
        help="run a simulated model endpoint",
        description="Run a simulated model endpoint (OpenAI Chat Completions) on a loopback address. "
        'It says random words; the line `call NAME {"a": 1}` in a message has it ask for that tool.',
    )
    defaults = UpstreamSettings()
    parser.add_argument(
        "--host", default=defaults.host, metavar="ADDRESS", help="loopback address (%(default)s)"
    )
    parser.add_argument(
        "--port", type=int, default=defaults.port, help="0 takes any free one (%(default)s)"
    )
    parser.add_argument(
        "--ttft",
        type=float,
        default=defaults.ttft_seconds,
        metavar="SECONDS",
        help="time to first token (%(default)s)",
    )
    parser.add_argument(
        "--tokens-per-second",
        type=float,
        default=defaults.tokens_per_second,
        metavar="N",
        help="of one stream; 0 streams without pauses (%(default)s)",
    )
    parser.add_argument(
        "--tokens",
        type=_token_range,
        default=defaults.tokens,
        metavar="N|MIN-MAX",
        help="tokens per answer (100)",
    )
    parser.add_argument(
        "--jitter",
        type=float,
        default=defaults.jitter,
        metavar="F",
        help="fraction of each wait (%(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=defaults.seed, metavar="N", help="of answers and faults (%(default)s)"
    )
    parser.add_argument(
        "--replay", metavar="DIR", help="answer with the recordings (.jsonl) of this folder"
    )
    parser.add_argument(
        "--fault",
        type=_fault_rate,
        action="append",
        default=[],
        metavar="NAME=RATE",
        help=f"share of requests that fail so; may be repeated; NAME is one of {', '.join(Fault)}",
    )
    parser.add_argument(
        "--requests-per-second",
        type=int,
        default=defaults.requests_per_second,
        metavar="N",
        help="more than these are refused with a 429; 0 refuses none (%(default)s)",
    )
    parser.add_argument("--max-seconds", type=float, metavar="S", help="end by itself after so long")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input does")
    ready_line = parser.add_mutually_exclusive_group()
    ready_line.add_argument("--json", action="store_true", help="print the ready line as JSON")
    ready_line.add_argument("--quiet", action="store_true", help="print no ready line")
    parser.set_defaults(run=run)


def settings_from(arguments: argparse.Namespace) -> UpstreamSettings:
    """The settings that parsed arguments ask for.

    Raises:
        EngineError: INVALID_ARGUMENT, naming the setting.
    """
    return UpstreamSettings(
        host=arguments.host,
        port=arguments.port,
        ttft_seconds=arguments.ttft,
        tokens_per_second=arguments.tokens_per_second,
        tokens=arguments.tokens,
        jitter=arguments.jitter,
        seed=arguments.seed,
        replay_dir=arguments.replay,
        faults=dict(arguments.fault),
        requests_per_second=arguments.requests_per_second,
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to end, and return the exit status.

    Raises:
        EngineError: INVALID_ARGUMENT, when a setting, a recording or the port cannot be used.
    """
    raise_open_files_limit()
    upstream = Upstream(settings_from(arguments))
    tune_process()
    return trio.run(_serve, upstream, arguments)


async def _serve(upstream: Upstream, arguments: argparse.Namespace) -> int:
    status: int = ExitStatus.OK
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            if arguments.max_seconds is not None:
                nursery.cancel_scope.deadline = trio.current_time() + arguments.max_seconds
            if arguments.exit_with_parent:
                nursery.start_soon(_end_with_input, nursery.cancel_scope)
            nursery.start_soon(upstream.serve)
            if not arguments.quiet:
                sys.stdout.write(_ready_line(upstream, as_json=arguments.json))
                sys.stdout.flush()
            async for number in signals:
                status = 128 + number
                nursery.cancel_scope.cancel()
    return status


async def _end_with_input(scope: trio.CancelScope) -> None:
    while await trio.to_thread.run_sync(os.read, sys.stdin.fileno(), 4096, abandon_on_cancel=True):
        pass
    scope.cancel()


def _ready_line(upstream: Upstream, *, as_json: bool) -> str:
    if not as_json:
        return f"ready at {upstream.base_url}\n"
    place = UpstreamProcess(base_url=upstream.base_url, port=upstream.port, pid=os.getpid())
    return msgspec.json.encode(place).decode() + "\n"


def _token_range(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    try:
        return int(low), int(high if dash else low)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor MIN-MAX") from None


def _fault_rate(text: str) -> tuple[Fault, float]:
    name, _, rate = text.partition("=")
    try:
        return fault_named(name), float(rate)
    except EngineError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=RATE, such as 429=0.05") from None
