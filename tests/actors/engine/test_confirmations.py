"""Turns that wait for a person: they hold no slot, survive everything, and go on when confirmed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.conversation import MessageState, Role, Text, ToolResult, ToolStatus
from actors.engine import Engine
from actors.errors import EngineError, ErrorCode
from actors.records import CallState, ChatMode, ConfirmationOutcome, SessionStatus
from actors.session.protocol import OnBusy
from actors.settings import EngineSettings
from actors.tools import Tool, ToolContext
from tests.actors.session.stage import Stage, code_of, open_stage

ONE_SLOT = EngineSettings(max_concurrent=1, max_queue_size=1)


class Toolbox:
    """A tool that needs a person's word, and one that never ends."""

    def __init__(self) -> None:
        self.runs = 0
        self.hanging = 0
        self.tools = (
            Tool(name="asked", description="", function=self.ask, needs_confirmation=True),
            Tool(name="endless", description="", function=self.hang),
        )

    async def ask(self, _: Mapping[str, object], context: ToolContext) -> str:
        self.runs += 1
        context.show("working")
        await trio.lowlevel.checkpoint()
        return f"done {self.runs}"

    async def hang(self, _: Mapping[str, object], context: ToolContext) -> str:
        context.show("for ever")
        self.hanging += 1
        try:
            await trio.sleep_forever()
        finally:
            self.hanging -= 1
        return ""


async def pending(engine: Engine, session_id: str) -> str:
    """The id of the one call that waits for a person."""
    task = (await engine.snapshot(session_id)).record.task
    assert task is not None
    (call,) = [call for call in task.calls if call.state is CallState.AWAITING_APPROVAL]
    return call.call.call_id


async def wait_for_a_person(stage: Stage, session_id: str, question: str = "use asked") -> str:
    task_id = await stage.ask(session_id, question)
    assert (await stage.engine.wait_turn(session_id, task_id)).status is SessionStatus.WAITING_CONFIRMATION
    return task_id


async def test_a_confirmed_turn_is_the_next_to_run_even_when_the_queue_is_full() -> None:
    async with open_stage(settings=ONE_SLOT, tools=Toolbox().tools) as stage:
        await stage.create("a", mode=ChatMode.AGENT)
        await stage.create("b", "c", "d")
        task_id = await wait_for_a_person(stage, "a")
        assert (await stage.engine.pool_status()).waiting == 1
        await stage.ask("b", "hang")
        await stage.ask("c", "hang")
        assert await code_of(stage.engine.submit_turn("d", "hello")) is ErrorCode.QUEUE_FULL

        assert await stage.engine.confirm_tool_call(
            "a", await pending(stage.engine, "a"), outcome=ConfirmationOutcome.APPROVED
        )
        await wait_all_tasks_blocked()
        status = await stage.engine.pool_status()
        assert (status.running, status.queued, status.waiting) == (1, 2, 0)
        await stage.engine.abort_turn("b")
        outcome = await stage.engine.wait_turn("a", task_id)

        assert (outcome.status, outcome.answer) == (SessionStatus.COMPLETED, "used: done 1")
        await wait_all_tasks_blocked()
        runtime = await stage.engine.runtime("c")
        assert runtime is not None
        assert runtime.status is SessionStatus.RUNNING


async def test_a_pending_call_survives_unloading_and_runs_once() -> None:
    box = Toolbox()
    async with open_stage(settings=EngineSettings(max_loaded=1), tools=box.tools) as stage:
        await stage.create("a", mode=ChatMode.AGENT)
        task_id = await wait_for_a_person(stage, "a")
        await stage.create("b")
        await wait_all_tasks_blocked()
        runtime = await stage.engine.runtime("a")
        assert runtime is not None
        assert (runtime.is_loaded, runtime.status) == (False, SessionStatus.WAITING_CONFIRMATION)

        call_id = await pending(stage.engine, "a")
        assert await stage.engine.confirm_tool_call("a", call_id, ConfirmationOutcome.APPROVED) == task_id
        outcome = await stage.engine.wait_turn("a", task_id)

        assert (outcome.status, outcome.answer) == (SessionStatus.COMPLETED, "used: done 1")
        assert box.runs == 1
        assert await code_of(stage.engine.confirm_tool_call("a", call_id, ConfirmationOutcome.DENIED)) in {
            ErrorCode.CONFLICT,
            ErrorCode.INVALID_ARGUMENT,
        }
        assert box.runs == 1


def _outcome(approved: bool) -> ConfirmationOutcome:
    return ConfirmationOutcome.APPROVED if approved else ConfirmationOutcome.DENIED


@pytest.mark.parametrize("approved", [True, False])
async def test_a_pending_call_survives_a_restart_of_the_engine(tmp_path: Path, approved: bool) -> None:
    box = Toolbox()
    settings = EngineSettings(store=str(tmp_path / "chats.db"))
    async with open_stage(settings=settings, tools=box.tools) as stage:
        await stage.create("a", mode=ChatMode.AGENT)
        task_id = await wait_for_a_person(stage, "a")
        before = await stage.engine.snapshot("a")

    async with open_stage(settings=settings, tools=box.tools) as stage:
        waiting = await stage.engine.wait_turn("a", task_id)
        assert waiting.status is SessionStatus.WAITING_CONFIRMATION
        (call,) = waiting.pending_calls
        after = await stage.engine.snapshot("a")
        assert after.messages == before.messages
        assert after.epoch > before.epoch
        assert after.seq >= before.seq
        await stage.engine.confirm_tool_call("a", call.call.call_id, _outcome(approved))
        outcome = await stage.engine.wait_turn("a", task_id)
        assert outcome.status is SessionStatus.COMPLETED
        results = [
            message.content
            for message in (await stage.engine.snapshot("a")).branch
            if isinstance(message.content, ToolResult)
        ]
        assert [result.status for result in results] == [
            ToolStatus.SUCCEEDED if approved else ToolStatus.CANCELLED
        ]
        assert box.runs == (1 if approved else 0)


async def test_two_sessions_with_questions_behind_a_person_may_both_be_unloaded() -> None:
    async with open_stage(settings=EngineSettings(max_loaded=1), tools=Toolbox().tools) as stage:
        await stage.create("a", "b", mode=ChatMode.AGENT)
        behind: dict[str, str] = {}
        tasks: dict[str, str] = {}
        for name in ("a", "b"):
            tasks[name] = await wait_for_a_person(stage, name)
            behind[name] = await stage.engine.submit_turn(name, "later", on_busy=OnBusy.QUEUE)
        await stage.create("c")
        await wait_all_tasks_blocked()
        assert (await stage.engine.pool_status()).loaded == 1

        for name in ("a", "b"):
            await stage.engine.confirm_tool_call(
                name, await pending(stage.engine, name), outcome=ConfirmationOutcome.APPROVED
            )
            assert (await stage.engine.wait_turn(name, tasks[name])).status is SessionStatus.COMPLETED
            assert (await stage.engine.wait_turn(name, behind[name])).answer == "You said: later"


async def test_a_rerun_that_waits_for_a_person_goes_on_with_the_next_question_after_unloading() -> None:
    async with open_stage(settings=EngineSettings(max_loaded=1), tools=Toolbox().tools) as stage:
        await stage.create("a", mode=ChatMode.AGENT)
        await stage.engine.run_turn("a", "one")
        task_id = await wait_for_a_person(stage, "a")
        await stage.engine.confirm_tool_call(
            "a", await pending(stage.engine, "a"), outcome=ConfirmationOutcome.APPROVED
        )
        await stage.engine.wait_turn("a", task_id)
        await stage.engine.run_turn("a", "three")

        rerun = await stage.engine.rerun("a")
        assert (await stage.engine.wait_turn("a", rerun)).status is SessionStatus.WAITING_CONFIRMATION
        await stage.create("b")
        await wait_all_tasks_blocked()
        await stage.engine.confirm_tool_call(
            "a", await pending(stage.engine, "a"), outcome=ConfirmationOutcome.APPROVED
        )

        assert (await stage.engine.wait_turn("a", rerun)).answer == "You said: three"
        texts = [
            message.content.text
            for message in (await stage.engine.snapshot("a")).branch
            if message.role is Role.USER and isinstance(message.content, Text)
        ]
        assert texts == ["one", "use asked", "three"]


@pytest.mark.parametrize("phase", ["waiting", "tool running", "confirmed, and queued"])
async def test_an_abort_ends_a_turn_with_tools_in_every_phase(phase: str) -> None:
    box = Toolbox()
    async with open_stage(settings=ONE_SLOT, tools=box.tools) as stage:
        await stage.create("a", mode=ChatMode.AGENT)
        await stage.create("b")
        if phase == "tool running":
            task_id = await stage.ask("a", "use endless")
            assert box.hanging == 1
        else:
            task_id = await wait_for_a_person(stage, "a")
        if phase == "confirmed, and queued":
            await stage.ask("b", "hang")
            await stage.engine.confirm_tool_call(
                "a", await pending(stage.engine, "a"), outcome=ConfirmationOutcome.APPROVED
            )

        with trio.fail_after(1):
            assert await stage.engine.abort_turn("a")
        outcome = await stage.engine.wait_turn("a", task_id)
        await stage.engine.abort_turn("b")
        await wait_all_tasks_blocked()

        assert outcome.status is SessionStatus.ABORTED
        assert (box.runs, box.hanging) == (0, 0)
        status = await stage.engine.pool_status()
        assert (status.running, status.queued, status.waiting) == (0, 0, 0)
        assert not await stage.engine.abort_turn("a"), "a second abort is harmless"
        branch = (await stage.engine.snapshot("a")).branch
        assert [message.role for message in branch].count(Role.TOOL) == 1
        assert branch[-1].state is MessageState.ABORTED
        await stage.engine.run_turn("a", "go on")
        sent = stage.model.requests[-1].messages
        assert [message.role for message in sent].count(Role.TOOL) == 1


async def test_the_same_request_said_twice_is_one_question_even_after_unloading() -> None:
    async with open_stage() as stage:
        await stage.create("s")

        first = await stage.engine.submit_turn("s", "hello", request_id="r")
        again = await stage.engine.submit_turn("s", "hello", request_id="r")
        await stage.engine.wait_turn("s", first)
        await stage.engine.release_session("s")
        later = await stage.engine.submit_turn("s", "hello", request_id="r")

        assert {first, again, later} == {first}
        assert len((await stage.engine.snapshot("s")).messages) == 2
        assert stage.model.calls == 1


async def test_of_many_answers_to_one_call_the_first_counts() -> None:
    box = Toolbox()
    answered: list[bool] = []

    async def answer(engine: Engine, call_id: str, approved: bool) -> None:
        try:
            await engine.confirm_tool_call("a", call_id, _outcome(approved))
        except EngineError as error:
            assert error.code is ErrorCode.CONFLICT  # noqa: PT017 - others are answered alike
        else:
            answered.append(approved)

    async with open_stage(tools=box.tools) as stage:
        await stage.create("a", mode=ChatMode.AGENT)
        task_id = await wait_for_a_person(stage, "a")
        call_id = await pending(stage.engine, "a")
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(answer, stage.engine, call_id, number % 2 == 0)
        await stage.engine.wait_turn("a", task_id)

        assert len(set(answered)) == 1
        assert len(answered) >= 1
        assert box.runs == (1 if answered[0] else 0)
