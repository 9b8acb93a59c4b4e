"""What does a tool call cost in a session, over a bare trio loop that awaits the same function?

Many sessions at once, each with ten calls in parallel of an async tool that does nothing but let others
run. `bare` is a trio nursery for each session; `runner` has the calls run and bounded as an engine does,
without sessions; `engine` is whole turns of agent sessions in a memory store: a scripted model asks for the
ten calls, and answers when it has their results; `turn` is the same turn without calls, for what of it is
not theirs.

Measured: user and system time of the process, per call, and calls per second. The variants take turns
within each round, and medians count. Below that, what it costs to check the arguments of one call.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import trio
from jsonschema import Draft202012Validator

from actors.cli.limits import tune_process
from actors.conversation import FinishPart, FinishReason, Role, ToolCallPart
from actors.engine import open_engine
from actors.models.base import ModelRequest
from actors.models.scripted import Say, Script, ScriptedModel, say
from actors.records import ChatMode, SessionStatus
from actors.session.protocol import NewSession
from actors.settings import EngineSettings
from actors.tools import Tool, ToolContext, ToolRunner, tool, wrong_arguments
from benchmarks.setting import Setting, cpu_seconds, options_of, pin_to_client_core, setting, show_setting

CALLS = 10
"""In parallel, in each session."""

BIAS = (
    "for the bare loop: it checks, bounds, keeps and publishes nothing, and cannot be stopped",
    "against the engine: its calls bear their whole turn, two model calls and its writes; see `turn`",
    "for the engine: nobody subscribes to its sessions, and its store is in memory",
    "for neither: the garbage collector is as rare for all as the commands make it",
)


async def do_nothing(_: Mapping[str, object], __: ToolContext) -> str:
    await trio.lowlevel.checkpoint()
    return "done"


NOTHING = Tool(
    name="nothing",
    description="does nothing",
    function=do_nothing,
    parameters={
        "type": "object",
        "properties": {"number": {"type": "integer", "minimum": 0}, "name": {"type": "string"}},
        "required": ["number"],
        "additionalProperties": False,
    },
)


@tool
async def typed(number: int, name: str = "") -> str:
    """Do nothing, with typed arguments."""
    return f"{number} {name}"


# --- the variants -----------------------------------------------------------------------------------


class Took(msgspec.Struct, frozen=True):
    cpu_seconds: float
    wall_seconds: float


async def timed(function: Callable[[], Awaitable[object]]) -> Took:
    cpu_before, began = cpu_seconds(), time.perf_counter()
    await function()
    return Took(cpu_seconds() - cpu_before, time.perf_counter() - began)


def _show_nobody(_: str) -> None:
    """Nobody watches."""


def _context(number: int) -> ToolContext:
    return ToolContext(session_id=f"s{number}", task_id="t", call_id="c", directory="", show=_show_nobody)


async def _parallel(
    sessions: int, call: Callable[[Mapping[str, object], ToolContext], Awaitable[object]]
) -> None:
    done = 0

    async def run_one(number: int, context: ToolContext) -> None:
        nonlocal done
        await call({"number": number}, context)
        done += 1

    async def run_session(number: int) -> None:
        context = _context(number)
        async with trio.open_nursery() as calls:
            for index in range(CALLS):
                calls.start_soon(run_one, index, context)

    async with trio.open_nursery() as nursery:
        for number in range(sessions):
            nursery.start_soon(run_session, number)
    assert done == sessions * CALLS


async def run_bare(sessions: int) -> Took:
    return await timed(lambda: _parallel(sessions, do_nothing))


async def run_runner(sessions: int) -> Took:
    async with trio.open_nursery() as nursery:
        runner = ToolRunner(nursery.start_soon)

        async def call(arguments: Mapping[str, object], context: ToolContext) -> None:
            await runner.run(NOTHING, arguments, context)

        took = await timed(lambda: _parallel(sessions, call))
    assert runner.statistics().calls == sessions * CALLS
    return took


def play(request: ModelRequest) -> Script:
    if request.messages[-1].role is not Role.USER or not request.tools:
        return say("done")
    calls = tuple(
        ToolCallPart(index, f"call {index}", NOTHING.name, f'{{"number": {index}}}')
        for index in range(CALLS)
    )
    return (Say((*calls, FinishPart(FinishReason.TOOL_CALLS))),)


async def _run_turns(sessions: int, mode: ChatMode, calls: int) -> Took:
    model = ScriptedModel(otherwise=play)
    limits = EngineSettings(max_concurrent=sessions, max_loaded=sessions, max_queue_size=sessions)
    async with open_engine(limits, model_for=lambda _: model, tools=[NOTHING]) as engine:
        for number in range(sessions):
            await engine.create_session(NewSession(mode=mode), session_id=f"s{number}")

        async def run_turn(number: int) -> None:
            outcome = await engine.run_turn(f"s{number}", "go")
            assert outcome.status is SessionStatus.COMPLETED, outcome

        async def run_turns() -> None:
            async with trio.open_nursery() as nursery:
                for number in range(sessions):
                    nursery.start_soon(run_turn, number)

        took = await timed(run_turns)
        assert (await engine.statistics()).tools.calls == calls
    return took


async def run_engine(sessions: int) -> Took:
    return await _run_turns(sessions, ChatMode.AGENT, sessions * CALLS)


async def run_turn_only(sessions: int) -> Took:
    return await _run_turns(sessions, ChatMode.CHAT, 0)


VARIANTS: dict[str, Callable[[int], Awaitable[Took]]] = {
    "bare": run_bare,
    "runner": run_runner,
    "engine": run_engine,
    "turn": run_turn_only,
}

# --- the report -------------------------------------------------------------------------------------


class Row(msgspec.Struct, frozen=True):
    """One variant: the medians of its rounds. `ratio` is over `bare` in the same round."""

    variant: str
    calls: int
    cpu_us: float
    calls_per_second: float
    ratio: float


class Check(msgspec.Struct, frozen=True):
    """One way to check the arguments of a call, in microseconds a call."""

    way: str
    cpu_us: float


class Report(Setting, frozen=True, kw_only=True):
    sessions: int
    rounds: int
    rows: list[Row]
    checks: list[Check]


def measure(sessions: int, rounds: int) -> list[Row]:
    took: dict[str, list[Took]] = {name: [] for name in VARIANTS}
    for number in range(rounds):
        for name, run in VARIANTS.items():
            print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr)
            took[name].append(trio.run(run, sessions))
    calls = sessions * CALLS
    return [
        Row(
            variant=name,
            calls=calls,
            cpu_us=statistics.median(each.cpu_seconds for each in rounds_of) / calls * 1e6,
            calls_per_second=calls / statistics.median(each.wall_seconds for each in rounds_of),
            ratio=statistics.median(
                each.cpu_seconds / bare.cpu_seconds
                for each, bare in zip(rounds_of, took["bare"], strict=True)
            ),
        )
        for name, rounds_of in took.items()
    ]


def measure_checks(times: int) -> list[Check]:
    arguments = '{"number": 5, "name": "a name of some length"}'
    validator: Any = Draft202012Validator(dict(NOTHING.parameters))
    ways: dict[str, Callable[[], object]] = {
        "msgspec.json.decode alone": lambda: msgspec.json.decode(arguments, type=dict[str, object]),
        "json.loads and jsonschema alone": lambda: list(validator.iter_errors(json.loads(arguments))),
        "wrong_arguments, a JSON schema": lambda: wrong_arguments(NOTHING, arguments),
        "wrong_arguments, a @tool": lambda: wrong_arguments(typed, arguments),
    }
    checks: list[Check] = []
    for way, check in ways.items():
        check()
        began = cpu_seconds()
        for _ in range(times):
            check()
        checks.append(Check(way, (cpu_seconds() - began) / times * 1e6))
    return checks


def _show(report: Report) -> None:
    show_setting(report)
    print(f"\n{report.sessions:,} sessions, {CALLS} parallel calls in each, {report.rounds} rounds")
    print(f"{'variant':<10}{'us/call':>9}{'calls/s':>10}{'ratio':>8}")
    for row in report.rows:
        print(f"{row.variant:<10}{row.cpu_us:>9.1f}{row.calls_per_second:>10,.0f}{row.ratio:>8.1f}")
    print(f"\n{'to check the arguments of a call':<36}{'us':>6}")
    for check in report.checks:
        print(f"{check.way:<36}{check.cpu_us:>6.1f}")


def main() -> None:
    options = options_of(__doc__).parse_args()
    pin_to_client_core()
    tune_process()
    where = setting(__doc__, BIAS)
    sessions, rounds, times = (20, 1, 100) if options.quick else (1000, 5, 20_000)
    report = Report(
        **msgspec.structs.asdict(where),
        sessions=sessions,
        rounds=rounds,
        rows=measure(sessions, rounds),
        checks=measure_checks(times),
    )
    if options.json:
        print(msgspec.json.encode(report).decode())
    else:
        _show(report)


if __name__ == "__main__":
    main()
