"""Stopping a turn: in every phase it is acknowledged at once, and nothing late comes after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.conversation import MessageState, Role, TextPart
from actors.engine import open_engine
from actors.errors import EngineError, ErrorCode
from actors.events import AnswerStreamed, TaskFinished
from actors.models.base import Emit, ModelRequest
from actors.records import SessionStatus
from actors.settings import EngineSettings
from tests.actors.persistence.difficult_stores import GatedStore
from tests.actors.session.stage import Stage, open_stage


async def queued(stage: Stage, _: GatedStore) -> str:
    await stage.create("other")
    await stage.ask("other", "hang")
    return await stage.ask("s", "begin")


async def before_the_first_part(stage: Stage, _: GatedStore) -> str:
    return await stage.ask("s", "hang")


async def streaming(stage: Stage, _: GatedStore) -> str:
    return await stage.ask("s", "begin")


@pytest.mark.parametrize(
    ("phase", "kept"), [(queued, ""), (before_the_first_part, ""), (streaming, "begun")]
)
async def test_an_abort_is_acknowledged_at_once_and_nothing_comes_after_it(
    phase: Callable[[Stage, GatedStore], Awaitable[str]], kept: str
) -> None:
    store = GatedStore()
    async with open_stage(store=store, settings=EngineSettings(max_concurrent=1)) as stage:
        await stage.create("s")
        task_id = await phase(stage, store)
        store.hold()  # the acknowledgement waits for no disk

        with trio.fail_after(1):
            assert await stage.engine.abort_turn("s") is True
        await wait_all_tasks_blocked()
        assert stage.model.running == (1 if phase is queued else 0)
        assert await stage.engine.abort_turn("s") is False, "a second abort is harmless"

        store.let_go()
        outcome = await stage.engine.wait_turn("s", task_id)
        assert (outcome.status, outcome.answer) == (SessionStatus.ABORTED, kept)
        assert outcome.error is not None
        assert outcome.error.code is ErrorCode.ABORTED
        if phase is queued:
            await stage.engine.release_session("other")
        status = await stage.engine.pool_status()
        assert (status.running, status.queued) == (0, 0)
        answer = (await stage.engine.read_session("s")).messages[-1]
        assert (answer.role, answer.state) == (Role.ASSISTANT, MessageState.ABORTED)
        assert (await stage.engine.run_turn("s", "go on")).status is SessionStatus.COMPLETED


async def test_a_turn_that_is_aborted_while_its_question_is_stored_never_starts() -> None:
    store = GatedStore()
    task_ids: list[str] = []
    async with open_stage(store=store) as stage:
        await stage.create("s")
        store.hold()

        async def ask() -> None:
            task_ids.append(await stage.engine.submit_turn("s", "hang"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            with trio.fail_after(1):
                assert await stage.engine.abort_turn("s") is True
            store.let_go()

        outcome = await stage.engine.wait_turn("s", task_ids[0])
        assert outcome.status is SessionStatus.ABORTED
        assert stage.model.calls == 0
        assert (await stage.engine.pool_status()).running == 0


async def test_an_abort_while_the_end_is_stored_is_too_late() -> None:
    store = GatedStore()
    async with open_stage(store=store) as stage:
        await stage.create("s")
        task_id = await stage.ask("s", "begin")
        store.hold()
        await stage.engine.abort_turn("s")

        with trio.fail_after(1):
            assert await stage.engine.abort_turn("s", task_id) is False

        store.let_go()
        assert (await stage.engine.wait_turn("s", task_id)).status is SessionStatus.ABORTED


async def test_an_abort_after_the_end_or_of_another_task_changes_nothing() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        outcome = await stage.engine.run_turn("s", "hello")

        assert await stage.engine.abort_turn("s") is False
        assert await stage.engine.abort_turn("s", outcome.task_id) is False
        running = await stage.ask("s", "hang")
        assert await stage.engine.abort_turn("s", outcome.task_id) is False
        assert stage.model.running == 1
        assert await stage.engine.abort_turn("s", running) is True


async def test_subscribers_see_an_aborted_turn_end_once_and_nothing_after_it() -> None:
    async with open_stage() as stage:
        await stage.create("s")
        await stage.ask("s", "begin")
        async with stage.engine.events("s") as subscription:
            await stage.engine.abort_turn("s")
            await wait_all_tasks_blocked()
            await stage.engine.close()
            with trio.fail_after(1):
                bodies = [getattr(item, "body", None) async for item in subscription]

    assert [body for body in bodies if isinstance(body, AnswerStreamed)] == []
    assert isinstance(bodies[-1], TaskFinished)
    assert len([body for body in bodies if isinstance(body, TaskFinished)]) == 1


class StubbornModel:
    """Goes on talking when it is cancelled, as a badly written adapter might."""

    name = "scripted:stubborn"

    async def stream(self, request: ModelRequest, emit: Emit) -> None:
        emit((TextPart("said in time"),))
        try:
            await trio.sleep_forever()
        finally:
            emit((TextPart(f", and too late about {len(request.messages)} messages"),))


@pytest.mark.parametrize("how", ["abort", "release"])
async def test_what_a_model_says_after_it_was_stopped_is_dropped(how: str) -> None:
    model = StubbornModel()
    async with open_engine(model_for=lambda _: model) as engine:
        await engine.create_session(session_id="s")
        task_id = await engine.submit_turn("s", "hello")
        await wait_all_tasks_blocked()

        if how == "abort":
            await engine.abort_turn("s")
        else:
            await engine.release_session("s")

        assert (await engine.wait_turn("s", task_id)).answer == "said in time"


class DeafModel:
    """Hears of no cancellation until it is let go, as one that works in a thread might."""

    name = "scripted:deaf"

    def __init__(self) -> None:
        self.let_go = [trio.Event(), trio.Event()]
        self.calls = 0
        self.running = 0

    async def stream(self, request: ModelRequest, emit: Emit) -> None:  # noqa: ARG002 - the contract
        let_go = self.let_go[self.calls]
        self.calls += 1
        self.running += 1
        emit((TextPart("one"),))
        try:
            with trio.CancelScope(shield=self.calls == 1):
                await let_go.wait()
        finally:
            self.running -= 1


async def test_a_stopped_call_that_ends_late_leaves_the_next_one_streaming_and_stoppable() -> None:
    model = DeafModel()
    async with open_engine(model_for=lambda _: model) as engine:
        await engine.create_session(session_id="s")
        await engine.submit_turn("s", "first")
        await wait_all_tasks_blocked()
        await engine.abort_turn("s")
        await wait_all_tasks_blocked()
        second = await engine.submit_turn("s", "second")
        await wait_all_tasks_blocked()

        model.let_go[0].set()
        await wait_all_tasks_blocked()
        await engine.abort_turn("s")
        outcome = await engine.wait_turn("s", second)
        await wait_all_tasks_blocked()

        assert outcome.answer == "one"
        assert model.running == 0, "the second call was stopped, though the first one ended after it began"


async def test_fifty_turns_that_are_aborted_while_they_ask_for_slots_leave_all_slots_free() -> None:
    refusals: set[ErrorCode] = set()

    async def ask_and_abort(stage: Stage, session_id: str) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.engine.abort_turn, session_id)
            try:
                await stage.engine.submit_turn(session_id, "hang")
            except EngineError as error:
                refusals.add(error.code)
        await stage.engine.abort_turn(session_id)

    async with open_stage() as stage:
        names = [f"s{number}" for number in range(50)]
        await stage.create(*names)
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(ask_and_abort, stage, name)
        await wait_all_tasks_blocked()

        status = await stage.engine.pool_status()
        assert (status.running, status.queued) == (0, 0)
        assert stage.model.running == 0
        assert refusals <= {ErrorCode.ABORTED, ErrorCode.QUEUE_FULL}
