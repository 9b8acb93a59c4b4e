"""`greenroom run`: many prompts through many sessions at once."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path

import msgspec
import trio

from actors.cli.arguments import (
    Subparsers,
    add_logging_options,
    add_model_options,
    add_store_option,
    engine_settings,
    positive,
)
from actors.cli.call_options import add_call_options, call_settings
from actors.cli.limits import require_open_files, tune_process
from actors.cli.prompts import Prompts, demo_prompts, read_prompts
from actors.cli.run_crew import RunCrew
from actors.cli.run_notices import RunNotices
from actors.cli.run_plan import RunPlan, new_plan, resumed_plan
from actors.cli.run_signals import RunSignals
from actors.cli.run_summary import summary_text
from actors.cli.screen import write_text
from actors.cli.status import ExitStatus
from actors.cli.stored_session import reading_store
from actors.cli.turn_log import TurnLog
from actors.engine import open_engine
from actors.errors import EngineError, ErrorCode
from actors.session.protocol import NewSession
from actors.settings import EngineSettings
from actors.upstream.process import open_upstream_process
from actors.upstream.settings import UpstreamSettings

__all__ = ["add_parser", "run"]

_DEFAULT_MODEL = "openai:default"
_MOST_AT_ONCE_BY_DEFAULT = 500
_DEMO_SESSIONS = 200
_DEMO_ENDPOINT = UpstreamSettings(ttft_seconds=0.3, tokens_per_second=30.0, tokens=(60, 180), jitter=0.2)


def add_parser(subparsers: Subparsers) -> None:
    """Add the command `run` to `greenroom`."""
    parser = subparsers.add_parser(
        "run",
        help="run many prompts through many sessions at once",
        description="Run prompts through many chat sessions at once, each one an actor that streams from a "
        "model endpoint. A session whose turn fails stops there, because its next question builds on that "
        "answer, and the others go on; --resume asks again. Ctrl-C stops in order, a second one at once. "
        "Exit status: 0 every turn completed, 1 some did not, 2 it could not begin, 130 stopped by Ctrl-C, "
        "143 by SIGTERM.",
    )
    parser.add_argument(
        "prompts",
        nargs="?",
        metavar="PROMPTS",
        help='JSON lines with "turns" or "prompt", or plain text, one prompt a line; - is standard input',
    )
    parser.add_argument("--sessions", type=positive, metavar="N", help="so many sessions; records repeat")
    parser.add_argument(
        "--max-concurrent",
        type=positive,
        metavar="N",
        help=f"turns that run at once (all sessions, at most {_MOST_AT_ONCE_BY_DEFAULT})",
    )
    add_model_options(parser, without=f"{_DEFAULT_MODEL} with --base-url or --demo")
    add_call_options(parser)
    add_store_option(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write one JSON object per turn that ended, in place of what the file has; with --resume, "
        "go on in it",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the store's last run where it stopped"
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help=f"start a simulated endpoint; without PROMPTS, {_DEMO_SESSIONS} sessions with sample prompts",
    )
    add_logging_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the prompts; the exit status. Takes over SIGINT and SIGTERM for the rest of the process.

    Everything that can be refused is refused before anything is written.
    """
    _check(arguments)
    prompts = demo_prompts() if arguments.prompts is None else read_prompts(arguments.prompts)
    settings = engine_settings(arguments, store=arguments.store, default_model=_DEFAULT_MODEL)
    plan = _plan(arguments, prompts, settings.model)
    new_session = NewSession(
        model=plan.run.model, settings=call_settings(arguments, settings, plan.run.model)
    )
    if arguments.output is not None:
        TurnLog.check(arguments.output)
    max_concurrent = min(arguments.max_concurrent or _MOST_AT_ONCE_BY_DEFAULT, len(plan.sessions))
    require_open_files(max_concurrent)
    settings = msgspec.structs.replace(
        settings,
        model=plan.run.model,
        max_concurrent=max_concurrent,
        max_loaded=max(settings.max_loaded, max_concurrent),  # it unloads them itself
    )
    tune_process()
    signals = RunSignals()
    crew = trio.run(_run, arguments, plan, new_session, settings, signals)
    if crew is None:
        sys.stderr.write("stopped before the first turn began\n")
        signals.ignore()
        return signals.status
    # The engine is closed now, and what the table says is on disk.
    summary = crew.tally.summary(
        run_id=plan.run.run_id,
        model=plan.run.model,
        store=arguments.store,
        events=crew.events(),
        calls=crew.calls(),
    )
    all_well = summary.completed + summary.completed_before == summary.turns and crew.output_is_whole
    try:
        if arguments.json:
            write_text(msgspec.json.encode(summary).decode() + "\n")
        else:
            write_text(summary_text(summary, crew.tally))
    except EngineError as error:  # the run is done, so that this is no matter of wrong usage
        sys.stderr.write(f"greenroom: {error.message}\n")
        all_well = False
    signals.ignore()
    return signals.status or (ExitStatus.OK if all_well else ExitStatus.FAILED)


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what does not go together, and fill in what follows from the rest."""
    if arguments.prompts is None and not arguments.demo:
        raise _usage("name a file of prompts, or - for standard input; or try --demo")
    if arguments.demo and arguments.base_url:
        raise _usage("--demo starts an endpoint of its own: leave out --base-url")
    if arguments.model is None and not (arguments.base_url or arguments.demo or arguments.resume):
        raise _usage(
            "name a model with --model PROVIDER:MODEL, or an endpoint with --base-url, or try --demo"
        )
    if str(arguments.output) == "-":
        raise _usage(
            "--output takes the name of a file; for the summary on standard output there is --json"
        )
    if arguments.output is not None:
        for path, what in ((arguments.prompts, "the prompts"), (arguments.store, "the store")):
            if path is not None and os.path.realpath(path) == os.path.realpath(arguments.output):
                raise _usage(f"--output {arguments.output} would overwrite {what}: name another file")
    if arguments.demo and arguments.prompts is None and arguments.sessions is None and not arguments.resume:
        arguments.sessions = _DEMO_SESSIONS


def _plan(arguments: argparse.Namespace, prompts: Prompts, model: str) -> RunPlan:
    if not arguments.resume:
        return new_plan(prompts, sessions=arguments.sessions, model=model)
    with reading_store(arguments.store) as store:
        run = store.latest_run()
    if run is None:
        raise _usage(f"{arguments.store} holds no run to resume: leave out --resume")
    return resumed_plan(
        run, prompts, store=arguments.store, model=arguments.model, sessions=arguments.sessions
    )


async def _run(
    arguments: argparse.Namespace,
    plan: RunPlan,
    new_session: NewSession,
    settings: EngineSettings,
    signals: RunSignals,
) -> RunCrew | None:
    """Do the work; None if a signal came before it could begin."""
    worked = None
    with trio.CancelScope() as scope:
        signals.tell(scope.cancel)
        async with contextlib.AsyncExitStack() as stack:
            if arguments.demo:
                endpoint = await stack.enter_async_context(open_upstream_process(_DEMO_ENDPOINT))
                settings = msgspec.structs.replace(settings, base_url=endpoint.base_url)
            engine = await stack.enter_async_context(open_engine(settings))
            log = None
            if arguments.output is not None:
                goes_on = frozenset(plan.run.session_ids) if arguments.resume else None
                log = stack.enter_context(TurnLog(arguments.output, goes_on_with=goes_on))
            if not arguments.resume:
                await engine.put_run(plan.run)
            crew = RunCrew(engine, plan, new_session, log, RunNotices(logged=arguments.verbose > 0))
            await crew.work(settings.max_concurrent, signals.tell)
            worked = crew
    return worked


def _usage(message: str) -> EngineError:
    return EngineError(ErrorCode.INVALID_ARGUMENT, message)
