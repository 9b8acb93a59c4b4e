"""`greenroom run`: many prompts through many sessions at once."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import trio
from rich.console import Console

from actors.cli.arguments import (
    Subparsers,
    add_logging_options,
    add_model_options,
    add_store_option,
    engine_settings,
    positive,
)
from actors.cli.limits import require_open_files, tune_collector
from actors.cli.prompts import Prompts, demo_prompts, read_prompts
from actors.cli.run_progress import show_progress
from actors.cli.run_summary import RunTally, print_summary
from actors.cli.status import ExitStatus
from actors.cli.turn_log import TurnLog, TurnRecord
from actors.engine import Engine, open_engine
from actors.errors import EngineError, ErrorCode
from actors.events import TaskOutcome
from actors.outcomes import stored_outcomes
from actors.records import RunRecord, SessionStatus
from actors.session.protocol import SessionSnapshot
from actors.settings import EngineSettings
from actors.upstream.process import open_upstream_process
from actors.upstream.settings import UpstreamSettings

__all__ = ["add_parser", "run"]

_DEMO_SESSIONS = 200
_DEMO_ENDPOINT = UpstreamSettings(ttft_seconds=0.3, tokens_per_second=30.0, tokens=(60, 180), jitter=0.2)


def add_parser(subparsers: Subparsers) -> None:
    """Add the command `run` to `greenroom`."""
    parser = subparsers.add_parser(
        "run",
        help="run many prompts through many sessions at once",
        description="Run prompts through many chat sessions at once, each one an actor that streams from a "
        "model endpoint. Exit status: 0 every turn completed, 1 some did not, 2 it could not begin, "
        "130 stopped by Ctrl-C.",
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
        help="turns that run at once (all sessions, at most 500)",
    )
    add_model_options(parser)
    add_store_option(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="write one JSON object per turn")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the store's last run where it stopped"
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="start a simulated endpoint, with sample prompts if none are given",
    )
    add_logging_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the prompts; the exit status."""
    _check(arguments)
    prompts = demo_prompts() if arguments.prompts is None else read_prompts(arguments.prompts)
    if arguments.output is not None:
        TurnLog.check(arguments.output)
    tune_collector()
    return trio.run(_run, arguments, prompts)


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
    if arguments.demo and arguments.sessions is None and not arguments.resume:
        arguments.sessions = _DEMO_SESSIONS


async def _run(arguments: argparse.Namespace, prompts: Prompts) -> int:
    max_concurrent = arguments.max_concurrent or min(arguments.sessions or len(prompts.records), 500)
    require_open_files(max_concurrent)
    async with contextlib.AsyncExitStack() as stack:
        if arguments.demo:
            endpoint = await stack.enter_async_context(open_upstream_process(_DEMO_ENDPOINT))
            arguments.base_url = endpoint.base_url
        settings = engine_settings(
            arguments, store=arguments.store, default_model="openai:default", max_concurrent=max_concurrent
        )
        engine = await stack.enter_async_context(open_engine(settings))
        plan = await _plan(engine, arguments, prompts, settings)
        engine.check_model(plan.run.model)
        log = None
        if arguments.output is not None:
            log = stack.enter_context(TurnLog(arguments.output, resume=arguments.resume))
        crew = _Crew(engine, plan, log)
        await crew.work(max_concurrent)
        summary = crew.tally.summary(
            run_id=plan.run.run_id, model=plan.run.model, store=arguments.store, events=crew.events()
        )
    # The engine is closed now, and what the table says is on disk.
    all_complete = summary.completed + summary.completed_before == summary.turns
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
    else:
        console = Console()
        print_summary(console, summary, crew.tally)
        hint = "" if all_complete else "; --resume goes on"
        console.print(f"Every conversation is in {arguments.store}{hint}", markup=False, highlight=False)
    return crew.status or (ExitStatus.OK if all_complete else ExitStatus.FAILED)


# --- which session is to say what -------------------------------------------------------------------


class _Plan(msgspec.Struct, frozen=True):
    run: RunRecord
    texts: tuple[tuple[str, ...], ...]
    resumed: bool


async def _plan(
    engine: Engine, arguments: argparse.Namespace, prompts: Prompts, settings: EngineSettings
) -> _Plan:
    if arguments.resume:
        run = _resumable(await engine.latest_run(), arguments, prompts)
        return _Plan(run, prompts.repeated(len(run.session_ids)), resumed=True)
    sessions = arguments.sessions or len(prompts.records)
    run = RunRecord(
        run_id=str(uuid.uuid4()),
        prompts_digest=prompts.digest,
        model=settings.model,
        created_at=datetime.now(UTC),
        session_ids=tuple(str(uuid.uuid4()) for _ in range(sessions)),
    )
    await engine.put_run(run)
    return _Plan(run, prompts.repeated(sessions), resumed=False)


def _resumable(run: RunRecord | None, arguments: argparse.Namespace, prompts: Prompts) -> RunRecord:
    if run is None:
        raise _usage(f"{arguments.store} holds no run to resume: leave out --resume")
    if run.prompts_digest != prompts.digest:
        raise _usage(
            f"these are not the prompts of the last run in {arguments.store}: resume with the same ones"
        )
    if arguments.model not in (None, run.model):
        raise _usage(f"the last run in {arguments.store} asks {run.model}: leave out --model")
    if arguments.sessions is not None and arguments.sessions != len(run.session_ids):
        raise _usage(
            f"the last run in {arguments.store} has {len(run.session_ids)} sessions, "
            f"not {arguments.sessions}: leave out --sessions"
        )
    return run


# --- doing it ---------------------------------------------------------------------------------------


class _Crew:
    """Takes sessions from the plan, as many at a time as may run, until none is left or a signal comes."""

    def __init__(self, engine: Engine, plan: _Plan, log: TurnLog | None) -> None:
        self.tally = RunTally(sessions=len(plan.texts), turns=sum(map(len, plan.texts)))
        self._engine = engine
        self._plan = plan
        self._log = log
        self._todo: Iterator[tuple[str, tuple[str, ...]]] = iter(
            zip(plan.run.session_ids, plan.texts, strict=True)
        )
        self._busy: dict[str, None] = {}
        self.status: int = ExitStatus.OK

    def events(self) -> int:
        """What was streamed so far: over HTTP event by event, in process by the turns that ended."""
        traffic = self._engine.traffic()
        return traffic.events if traffic.calls else self.tally.parts

    async def work(self, workers: int) -> None:
        """Return when every turn has ended, or when a signal has stopped those that ran."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._listen, nursery.cancel_scope)
            nursery.start_soon(show_progress, self.tally, self.events)
            async with trio.open_nursery() as sessions:
                for _ in range(min(workers, self.tally.sessions)):
                    sessions.start_soon(self._work)
            nursery.cancel_scope.cancel()

    async def _listen(
        self, everything: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Ctrl-C or SIGTERM stops in order; a second one no longer waits for that."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async with trio.open_nursery() as nursery:
                async for number in signals:
                    if self.status:
                        everything.cancel()
                    self.status = 128 + number
                    nursery.start_soon(self._stop)

    async def _stop(self) -> None:
        """Begin no more turns, abort those that run: each ends with its partial answer kept."""
        sys.stderr.write("stopping: what runs is aborted and saved (Ctrl-C again does not wait for that)\n")
        async with trio.open_nursery() as nursery:
            for session_id in tuple(self._busy):
                nursery.start_soon(self._abort, session_id)

    async def _abort(self, session_id: str) -> None:
        with contextlib.suppress(EngineError):  # a session that just failed has nothing to abort
            await self._engine.abort_turn(session_id)

    async def _work(self) -> None:
        for session_id, texts in self._todo:
            if self.status:
                return
            self._busy[session_id] = None
            self.tally.running += 1
            try:
                await self._run_session(session_id, texts)
            finally:
                self.tally.running -= 1
                del self._busy[session_id]

    async def _run_session(self, session_id: str, texts: tuple[str, ...]) -> None:
        try:
            done, unanswered = await self._open(session_id, texts)
            for turn_index in range(done, len(texts)):
                if self.status:
                    return
                resume = unanswered and turn_index == done
                outcome = await self._run_turn(session_id, None if resume else texts[turn_index])
                self._count(turn_index, outcome)
                if outcome.status is not SessionStatus.COMPLETED:
                    return  # the next question builds on this answer
            await self._engine.release_session(session_id)
        except EngineError as error:
            if error.code is not ErrorCode.ABORTED:
                self.tally.add_refusal(error.info)

    async def _run_turn(self, session_id: str, text: str | None) -> TaskOutcome:
        if text is None:
            task_id = await self._engine.resume_turn(session_id)
        else:
            task_id = await self._engine.submit_turn(session_id, text)
        if self.status:  # the signal came while the question was on its way
            await self._engine.abort_turn(session_id)
        return await self._engine.wait_turn(session_id, task_id)

    def _count(self, turn_index: int, outcome: TaskOutcome) -> None:
        self.tally.add(outcome)
        if self._log is not None:
            self._log.add(TurnRecord.of(turn_index, outcome))

    async def _open(self, session_id: str, texts: tuple[str, ...]) -> tuple[int, bool]:
        """Create or load the session: how many of its turns are complete, and is the next one asked?"""
        if self._plan.resumed:
            try:
                snapshot = await self._engine.snapshot(session_id)
            except EngineError as error:
                if error.code is not ErrorCode.SESSION_NOT_FOUND:
                    raise
            else:
                return self._recall(snapshot, texts)
        await self._engine.create_session(session_id=session_id, model=self._plan.run.model)
        return 0, False

    def _recall(self, snapshot: SessionSnapshot, texts: tuple[str, ...]) -> tuple[int, bool]:
        done, unanswered = 0, False
        for answer in stored_outcomes(snapshot.record.session_id, snapshot.messages):
            if answer.status is not SessionStatus.COMPLETED:
                unanswered = True
                break
            self.tally.completed_before += 1
            if self._log is not None and not self._log.has_completed(answer.session_id, done):
                self._log.add(TurnRecord.of(done, answer))
            done += 1
        assert done <= len(texts)
        return done, unanswered


def _usage(message: str) -> EngineError:
    return EngineError(ErrorCode.INVALID_ARGUMENT, message)
