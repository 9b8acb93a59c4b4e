"""The crew of a run, where things go wrong that no endpoint can bring about."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import trio
import trio.testing

from actors.cli.prompts import Prompts
from actors.cli.run_crew import RunCrew
from actors.cli.run_notices import RunNotices
from actors.cli.run_plan import RunPlan, new_plan
from actors.cli.turn_log import TurnLog
from actors.conversation import Part, TextPart
from actors.engine import Engine, open_engine
from actors.models.base import Emit, ModelRequest
from actors.models.scripted import Hang, Say, ScriptedModel
from actors.records import SessionStatus
from actors.session.protocol import NewSession
from actors.stores import MemoryStore


class Poison:
    """A model whose answer to `poison` no session survives."""

    name = "scripted:poison"

    async def stream(self, request: ModelRequest, emit: Emit) -> None:
        if "poison" in str(request.messages[-1].content):
            emit((TextPart("half an ans"),))
            await trio.lowlevel.checkpoint()
            emit((cast("Part", object()),))
            await trio.sleep_forever()
        await ScriptedModel().stream(request, emit)


class Signals:
    """Takes what the crew wants to be told, and sends it when the test says so."""

    def __init__(self) -> None:
        self.receiver: Callable[[], object] | None = None

    def tell(self, receiver: Callable[[], object] | None) -> None:
        self.receiver = receiver

    def send(self) -> None:
        assert self.receiver is not None
        self.receiver()


def plan_of(*records: tuple[str, ...]) -> RunPlan:
    return new_plan(Prompts(records), sessions=None, model="scripted:echo")


async def work(engine: Engine, plan: RunPlan, output: Path, signals: Signals | None = None) -> RunCrew:
    with TurnLog(output) as log:
        crew = RunCrew(engine, plan, NewSession(model=plan.run.model), log, RunNotices(logged=True))
        await crew.work(10, (signals or Signals()).tell)
    return crew


def lines(path: Path) -> dict[str, dict[str, Any]]:
    """The turns of an output by prompt."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({line["prompt"] for line in found}) == len(found)
    return {line["prompt"]: line for line in found}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "turns"


@pytest.mark.parametrize(
    "_", range(10)
)  # the crash comes now before the crew waits for the turn, now after
async def test_a_session_that_crashes_fails_its_turn_and_no_other(output: Path, _: int) -> None:
    async with open_engine(store=MemoryStore(), model_for=lambda _: Poison()) as engine:
        crew = await work(engine, plan_of(("well", "still well"), ("poison", "never asked")), output)

    assert crew.tally.by_status == {SessionStatus.COMPLETED: 2, SessionStatus.FAILED: 1}
    assert {prompt: line["status"] for prompt, line in lines(output).items()} == {
        "well": "completed",
        "still well": "completed",
        "poison": "failed",
    }
    assert lines(output)["poison"]["error"]["code"] == "EXECUTION_FAILED"


async def test_a_session_that_cannot_be_created_is_a_failed_first_turn(output: Path) -> None:
    plan = plan_of(("one", "two"), ("three",))
    async with open_engine(store=MemoryStore()) as engine:
        await engine.create_session(session_id=plan.sessions[0].session_id)
        crew = await work(engine, plan, output)

    assert crew.tally.by_status == {SessionStatus.COMPLETED: 1, SessionStatus.FAILED: 1}
    assert lines(output)["one"]["error"]["code"] == "CONFLICT"
    assert lines(output)["three"]["status"] == "completed"


async def test_sessions_are_not_kept_in_memory_when_they_are_through(output: Path) -> None:
    async with open_engine(store=MemoryStore(), model_for=lambda _: Poison()) as engine:
        await work(engine, plan_of(("one",), ("poison",), ("two",)), output)

        assert (await engine.pool_status()).loaded == 0


async def test_a_signal_aborts_what_runs_and_begins_no_more_turns(output: Path) -> None:
    hanging = ScriptedModel(otherwise=lambda _: (Say((TextPart("half"),)), Hang()))
    signals = Signals()
    async with (
        open_engine(store=MemoryStore(), model_for=lambda _: hanging) as engine,
        trio.open_nursery() as nursery,
    ):
        plan = plan_of(*((f"question {number}",) for number in range(30)))
        nursery.start_soon(work, engine, plan, output, signals)
        await trio.testing.wait_all_tasks_blocked()
        signals.send()

    assert hanging.calls == 3, "as many as may run at once"
    assert {line["status"] for line in lines(output).values()} == {"aborted"}
