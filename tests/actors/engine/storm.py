"""A storm of commands over an engine with little room; decided by a seed, twice the same.

python -m tests.actors.engine.storm --seeds 500
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Mapping
from typing import cast

import msgspec
import trio

from actors.conversation import (
    FinishPart,
    FinishReason,
    Message,
    MessageState,
    Role,
    Text,
    TextPart,
    ToolCallPart,
    ToolCallRequest,
    ToolResult,
)
from actors.engine import Engine, open_engine
from actors.errors import EngineError, ErrorCode
from actors.models.base import ModelRequest
from actors.models.scripted import Delay, Fail, Say, Script, ScriptedModel
from actors.records import ChatMode, ConfirmationOutcome, SessionStatus, WorkMode
from actors.session.protocol import NewSession, OnBusy, SessionChanges
from actors.settings import EngineSettings
from actors.stores import MemoryStore
from actors.tools import Tool, ToolContext
from runtime.testing import open_seeded_system, run_seeded
from tests.actors.engine.follower import Follower

__all__ = ["StormReport", "run_storm"]

SESSIONS = 4
ACTORS_OF_THE_STORM = 6
COMMANDS_EACH = 25
SLOTS = 2
PLACES = 2
LOADED = 2
PARALLEL = 2
EXPECTED = frozenset(
    {
        ErrorCode.ABORTED,
        ErrorCode.CONFLICT,
        ErrorCode.INVALID_ARGUMENT,
        ErrorCode.QUEUE_FULL,
        ErrorCode.SESSION_BUSY,
        ErrorCode.SESSION_NOT_FOUND,
    }
)
"""What a caller may hear who does not know what the others do."""
ENDS = frozenset(
    {
        SessionStatus.ABORTED,
        SessionStatus.COMPLETED,
        SessionStatus.FAILED,
        SessionStatus.MAX_TURNS_REACHED,
    }
)


class StormReport(msgspec.Struct, frozen=True):
    """What one storm was like. Two of one seed are equal."""

    asked: int
    refused: int
    turns: int
    aborted: int
    tools_run: int
    confirmations: int
    calls_stopped: int
    evictions: int
    events: int


class Storm:
    """The ledger of one storm, and its dice."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.seen: Counter[str] = Counter()
        self.acknowledged: dict[str, tuple[str, str]] = {}
        """Which text in which session a task id was given for."""
        self.model = ScriptedModel(otherwise=self.answer)
        self.tools = [
            Tool(name="free", description="", function=self.use),
            Tool(name="asked", description="", function=self.use, needs_confirmation=True),
            Tool(name="reads", description="", function=self.use, read_only=True),
            Tool(name="one", description="", function=self.use_alone, group="pair"),
            Tool(
                name="other",
                description="",
                function=self.use_alone,
                group="pair",
                needs_confirmation=True,
            ),
        ]
        self.broken: list[str] = []
        """Promises that models and tools saw broken: what they raise is but a failed turn."""
        self._at_work: Counter[str] = Counter()
        self._of_the_pair: Counter[str] = Counter()
        self._questions = 0

    def answer(self, request: ModelRequest) -> Script:
        try:
            _check_sendable(request.messages)
        except AssertionError as error:
            self.broken.append(str(error))
        if "plan mode" in request.system_prompt and [tool.name for tool in request.tools] != ["reads"]:
            self.broken.append(f"plan mode offers {request.tools}")
        pause = Delay(self.dice.choice([0.0, 0.01, 0.3]))
        match self.dice.randrange(8):
            case 0:
                error = EngineError(ErrorCode.NETWORK_ERROR, "the line is dead")
                return (Say((TextPart("half"),)), pause, Fail(error))
            case 1 | 2 | 3:
                calls = tuple(
                    ToolCallPart(
                        index,
                        f"{self.model.calls}.{index}",
                        self.dice.choice([*(tool.name for tool in self.tools), "unheard-of"]),
                        "{}",
                    )
                    for index in range(self.dice.randrange(1, 5))
                )
                return (
                    Say((TextPart("one moment"),)),
                    pause,
                    Say((*calls, FinishPart(FinishReason.TOOL_CALLS))),
                )
            case _:
                return (
                    Say((TextPart("word "),)),
                    pause,
                    Say((TextPart("end"), FinishPart(FinishReason.STOP))),
                )

    async def use(self, _: Mapping[str, object], context: ToolContext) -> str:
        self.seen["tools_run"] += 1
        self._at_work[context.session_id] += 1
        try:
            if self._at_work[context.session_id] > PARALLEL:
                self.broken.append("more calls at a time than the session allows")
            context.show("working")
            await trio.sleep(self.dice.choice([0.0, 0.02, 0.2]))
        finally:
            self._at_work[context.session_id] -= 1
        return "done"

    async def use_alone(self, arguments: Mapping[str, object], context: ToolContext) -> str:
        self._of_the_pair[context.session_id] += 1
        try:
            if self._of_the_pair[context.session_id] > 1:
                self.broken.append("two of a group at a time")
            return await self.use(arguments, context)
        finally:
            self._of_the_pair[context.session_id] -= 1

    def question(self) -> str:
        self._questions += 1
        return f"question {self._questions}"

    async def ask(self, call: Awaitable[object]) -> object | None:
        """The answer, or None when it was one of the refusals that are to be expected."""
        self.seen["asked"] += 1
        try:
            return await call
        except EngineError as error:
            if error.code not in EXPECTED:
                raise
            self.seen["refused"] += 1
            return None


def run_storm(seed: int) -> StormReport:
    """One storm, in a run of its own.

    Raises:
        AssertionError: what the engine promises did not hold. It names the seed.
    """
    level = logging.getLogger("greenroom").level
    logging.getLogger("greenroom").setLevel(logging.CRITICAL)
    try:
        return run_seeded(_storm, seed, seed=seed)
    finally:
        logging.getLogger("greenroom").setLevel(level)


async def _storm(seed: int) -> StormReport:
    storm = Storm(seed)
    store = MemoryStore()
    settings = EngineSettings(
        max_concurrent=SLOTS, max_queue_size=PLACES, max_loaded=LOADED, persist_throttle_seconds=0.05
    )
    session_ids = [f"s{number}" for number in range(SESSIONS)]
    async with (
        open_seeded_system() as system,
        open_engine(
            settings, store=store, model_for=lambda _: storm.model, tools=storm.tools, system=system
        ) as engine,
        trio.open_nursery() as following,
    ):
        for session_id in session_ids:
            new = NewSession(mode=ChatMode.AGENT, max_parallel_calls=PARALLEL)
            await engine.create_session(new, session_id=session_id)
        followers = {
            session_id: Follower(storm.dice, engine, session_id)
            for session_id in session_ids[: SESSIONS // 2]
        }
        for follower in followers.values():
            following.start_soon(follower.run)
        with trio.fail_after(36_000):
            async with trio.open_nursery() as nursery:
                for _ in range(ACTORS_OF_THE_STORM):
                    nursery.start_soon(_rage, storm, engine, session_ids)
            await _let_it_calm_down(engine, session_ids)
            await trio.sleep(10)
            await _check_at_rest(storm, engine)
            for session_id in session_ids:
                await _check_session(storm, engine, store, session_id, followers.get(session_id))
        evictions = (await engine.registry_statistics()).evictions
        following.cancel_scope.cancel()
    return StormReport(
        asked=storm.seen["asked"],
        refused=storm.seen["refused"],
        turns=len(storm.acknowledged),
        aborted=storm.seen["aborted"],
        tools_run=storm.seen["tools_run"],
        confirmations=storm.seen["confirmations"],
        calls_stopped=storm.seen["calls_stopped"],
        evictions=evictions,
        events=sum(follower.events for follower in followers.values()),
    )


async def _rage(storm: Storm, engine: Engine, session_ids: list[str]) -> None:
    dice = storm.dice
    for _ in range(COMMANDS_EACH):
        await trio.sleep(dice.choice([0.0, 0.005, 0.1, 1.0]))
        with trio.move_on_after(dice.choice([0.0, 0.05, 60.0])):  # a cancelled wait takes nothing back
            await _strike(storm, engine, dice.choice(session_ids))


async def _strike(storm: Storm, engine: Engine, session_id: str) -> None:
    dice = storm.dice
    match dice.randrange(17):
        case 0 | 1 | 2 | 3:
            await _submit(storm, engine, session_id)
        case 4:
            if await storm.ask(engine.abort_turn(session_id)):
                storm.seen["aborted"] += 1
        case 5 | 6:
            await _confirm(storm, engine, session_id)
        case 7:
            await storm.ask(engine.release_session(session_id))
        case 8:
            await _change_a_message(storm, engine, session_id)
        case 9:
            await storm.ask(engine.set_active_session(dice.choice([None, session_id])))
        case 10:
            await storm.ask(engine.resume_turn(session_id))
        case 11:
            keep = dice.random() < 0.5
            await storm.ask(engine.unregister_session(session_id, force=not keep, keep_in_background=keep))
        case 12:
            await storm.ask(engine.clean_up_idle(0.0))
        case 13 | 14:
            await _stop_calls(storm, engine, session_id)
        case 15:
            changes = SessionChanges(work_mode=dice.choice([WorkMode.PLAN, WorkMode.ACT, WorkMode.ACT]))
            await storm.ask(engine.update_session(session_id, changes))
        case _:
            status = await engine.pool_status()
            assert status.running <= SLOTS
            assert status.queued <= PLACES + SESSIONS, "only who was admitted before goes beyond the limit"


async def _submit(storm: Storm, engine: Engine, session_id: str) -> None:
    text = storm.question()
    on_busy = storm.dice.choice([OnBusy.REJECT, OnBusy.REJECT, *OnBusy])
    priority = storm.dice.choice([0, 0, 10])
    task_id = await storm.ask(engine.submit_turn(session_id, text, on_busy=on_busy, priority=priority))
    if task_id is None:
        return
    storm.acknowledged[text] = (session_id, str(task_id))
    if storm.dice.random() < 0.5:
        await storm.ask(engine.wait_turn(session_id, str(task_id)))


async def _confirm(storm: Storm, engine: Engine, session_id: str) -> None:
    task = (await engine.snapshot(session_id)).record.task
    for call in () if task is None else task.calls:
        outcome = storm.dice.choice(list(ConfirmationOutcome))
        if await storm.ask(engine.confirm_tool_call(session_id, call.call.call_id, outcome)):
            storm.seen["confirmations"] += 1


async def _stop_calls(storm: Storm, engine: Engine, session_id: str) -> None:
    task = (await engine.snapshot(session_id)).record.task
    calls = [] if task is None else [call.call.call_id for call in task.calls]
    chosen = None if storm.dice.random() < 0.3 else storm.dice.sample(calls, min(1, len(calls)))
    stopped = await engine.cancel_tool_calls(session_id, chosen)
    storm.seen["calls_stopped"] += len(stopped)


async def _change_a_message(storm: Storm, engine: Engine, session_id: str) -> None:
    messages = (await engine.snapshot(session_id)).messages
    if not messages:
        return
    message_id = storm.dice.choice(messages).message_id
    match storm.dice.randrange(3):
        case 0:
            await storm.ask(engine.retry_answer(session_id, message_id))
        case 1:
            await storm.ask(engine.switch_branch(session_id, message_id))
        case _:
            await storm.ask(engine.rerun(session_id))


async def _let_it_calm_down(engine: Engine, session_ids: list[str]) -> None:
    for session_id in session_ids:
        await engine.abort_turn(session_id)
        task = (await engine.snapshot(session_id)).record.task
        if task is not None:
            await engine.wait_turn(session_id, task.task_id)


async def _check_at_rest(storm: Storm, engine: Engine) -> None:
    assert not storm.broken, storm.broken
    status = await engine.pool_status()
    assert (status.running, status.queued, status.waiting) == (0, 0, 0), status
    assert (status.available, status.queue_available) == (SLOTS, PLACES), status
    assert status.loaded <= LOADED, status
    assert storm.model.running == 0


async def _check_session(
    storm: Storm, engine: Engine, store: MemoryStore, session_id: str, follower: Follower | None
) -> None:
    snapshot = await engine.snapshot(session_id)
    await trio.sleep(10)  # what was loaded for this has told its subscribers so
    assert snapshot.record.task is None
    assert snapshot.record.status is not SessionStatus.RUNNING
    assert snapshot.record.queued == ()
    if follower is not None:
        follower.agree_with(await engine.snapshot(session_id))
    stored = store.read(session_id)
    assert {message.message_id: message for message in stored.messages} == {
        message.message_id: message for message in snapshot.messages
    }
    assert all(message.state is not MessageState.STREAMING for message in stored.messages)
    asked = Counter(
        (message.content.text, message.task_id)
        for message in stored.messages
        if message.role is Role.USER and isinstance(message.content, Text)
    )
    for text, (where, task_id) in storm.acknowledged.items():
        if where == session_id:
            assert asked[text, task_id] == 1, f"{text} of {task_id} is stored {asked[text, task_id]} times"
            with trio.fail_after(60):
                outcome = await engine.wait_turn(session_id, task_id)
            assert outcome.status in ENDS, outcome


def _check_sendable(messages: tuple[Message, ...]) -> None:
    """Every tool call is followed by its one result before somebody speaks again."""
    open_calls: set[str] = set()
    for message in messages:
        match message.content:
            case ToolCallRequest(calls):
                assert not open_calls, f"no result of {open_calls}"
                open_calls = {call.call_id for call in calls}
            case ToolResult(call_id=call_id):
                open_calls.remove(call_id)
            case _:
                assert not open_calls, f"no result of {open_calls}"
    assert not open_calls, f"no result of {open_calls}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.actors.engine.storm", description=__doc__)
    parser.add_argument("--seeds", type=int, default=500, help="how many storms (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: %(default)s)")
    arguments = parser.parse_args()
    started = time.perf_counter()
    total: Counter[str] = Counter()
    failed: list[int] = []
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        try:
            report = run_storm(seed)
        except Exception as error:  # noqa: BLE001 - reported with its seed, and the next one follows
            failed.append(seed)
            sys.stdout.write(f"\nseed {seed}: {_reason(error)}\n")
        else:
            total.update({field: getattr(report, field) for field in report.__struct_fields__})
    seconds = time.perf_counter() - started
    counts = ", ".join(f"{total[name]:,} {name.replace('_', ' ')}" for name in total)
    seeds = f"seeds {arguments.first}-{arguments.first + arguments.seeds - 1}"
    failures = f"{len(failed)} failed {failed}" if failed else "none failed"
    sys.stdout.write(f"{seeds}: {failures}; {counts}; {seconds:.0f} s\n")
    return 1 if failed else 0


def _reason(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return _reason(group.exceptions[0])
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
