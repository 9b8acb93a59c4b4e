"""The engine in a thread of its own, for hosts that run asyncio or nothing at all."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from actors.engine import open_engine, start_engine
from actors.errors import EngineError, ErrorCode
from actors.events import Event, TaskFinished
from actors.models.scripted import ScriptedModel
from actors.records import SessionStatus
from actors.settings import EngineSettings
from actors.stores import MemoryStore
from tests.actors.session.stage import bodies_until, play


def test_plain_threads_share_an_engine() -> None:
    model = ScriptedModel()
    answers: list[str] = []
    with start_engine(EngineSettings(max_queue_size=100), model_for=lambda _: model) as thread:

        def work(number: int) -> None:
            session = thread.call(thread.engine.create_session)
            session_id = session.record.session_id
            answers.append(thread.call(thread.engine.run_turn, session_id, f"number {number}").answer)

        workers = [threading.Thread(target=work, args=(number,)) for number in range(20)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    assert sorted(answers) == sorted(f"You said: number {number}" for number in range(20))
    assert model.highest_running <= 3


def test_asyncio_talks_to_an_engine_directly() -> None:
    model = ScriptedModel(otherwise=play)

    async def host() -> None:
        with start_engine(model_for=lambda _: model) as thread:
            engine = thread.engine
            await engine.create_session(session_id="s")
            async with engine.events("s") as subscription:
                outcome = await engine.run_turn("s", "hello")
                seen = await bodies_until(subscription, TaskFinished)
            assert seen[-1] == TaskFinished(outcome)

            async with engine.events("s") as subscription:
                for _ in range(3):
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(anext(subscription), timeout=0)
                await engine.submit_turn("s", "begin")
                first = await anext(subscription)
                assert isinstance(first, Event)
                assert subscription.snapshot is not None
                assert first.seq == subscription.snapshot.seq + 1
                assert await engine.abort_turn("s")
            with pytest.raises(EngineError) as missing:
                await engine.snapshot("nobody")
            assert missing.value.code is ErrorCode.SESSION_NOT_FOUND

    asyncio.run(host())


def test_stopping_keeps_what_runs_and_may_be_done_twice() -> None:
    store = MemoryStore()
    model = ScriptedModel(otherwise=play)
    thread = start_engine(store=store, model_for=lambda _: model)
    thread.call(lambda: thread.engine.create_session(session_id="s"))
    thread.call(thread.engine.submit_turn, "s", "hang")

    thread.stop()
    thread.stop()

    assert store.read("s").record.status is SessionStatus.ABORTED
    assert model.running == 0
    assert not any(t.name == "greenroom-runtime" and t.is_alive() for t in threading.enumerate())


def test_a_wrong_setting_leaves_no_thread_behind() -> None:
    with pytest.raises(EngineError):
        start_engine(EngineSettings(max_concurrent=0), store=MemoryStore())

    assert not any(thread.name == "greenroom-runtime" for thread in threading.enumerate())


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_concurrent": 0},
        {"max_queue_size": -1},
        {"persist_throttle_seconds": -0.1},
        {"tool_threads": 0},
        {"tool_processes": 0},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_setting_out_of_range_is_refused_by_its_name(wrong: dict[str, float]) -> None:
    with pytest.raises(EngineError, match=next(iter(wrong))) as caught:
        EngineSettings(**wrong)  # pyright: ignore[reportArgumentType] - the names are right, the values wrong

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


async def test_a_model_that_no_turn_could_use_is_refused_before_there_is_a_store(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"

    with pytest.raises(EngineError):
        async with open_engine(EngineSettings(store=str(path), model="nobody:knows")):
            pass

    assert not path.exists()


@pytest.mark.parametrize("session_id", ["", "\ud800", "a\nb", "x" * 201])
async def test_a_session_id_that_cannot_be_kept_is_refused(session_id: str) -> None:
    async with open_engine() as engine:
        for refused in (engine.create_session(session_id=session_id), engine.snapshot(session_id)):
            with pytest.raises(EngineError) as caught:
                await refused

            assert caught.value.code is ErrorCode.INVALID_ARGUMENT


async def test_a_closed_engine_says_so_to_every_caller() -> None:
    async with open_engine() as engine:
        pass

    for refused in (engine.create_session(), engine.list_sessions(), engine.pool_status()):
        with pytest.raises(EngineError, match="closed") as caught:
            await refused

        assert not caught.value.retryable
