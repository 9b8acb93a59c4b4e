"""A view shows one session at a time, and agrees with it."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.conversation import Role, Text, TextPart
from actors.engine import Engine, open_engine, start_engine
from actors.errors import EngineError, ErrorCode
from actors.events import AnswerStreamed, Event, Lagged, TaskFinished
from actors.facades import SessionRegistry, SessionView
from actors.models.base import ModelRequest
from actors.models.scripted import Fail, Gate, Hang, Say, Script, ScriptedModel, echo
from actors.records import SessionStatus
from actors.settings import EngineSettings
from actors.stores import MemoryStore, SqliteStore


class Room:
    def __init__(self, engine: Engine, model: ScriptedModel) -> None:
        self.engine = engine
        self.model = model
        self.registry = SessionRegistry(engine)

    async def create(self, *session_ids: str) -> None:
        for session_id in session_ids:
            await self.engine.create_session(session_id=session_id)


def _play(request: ModelRequest) -> Script:
    content = request.messages[-1].content
    match content:
        case Text("hang"):
            return (Say((TextPart("begun"),)), Hang())
        case Text("fail"):
            return (Fail(EngineError(ErrorCode.CONTEXT_LIMIT, "too long")),)
        case _:
            return echo(request)


@asynccontextmanager
async def open_room(settings: EngineSettings | None = None) -> AsyncGenerator[Room, None]:
    model = ScriptedModel(otherwise=_play)
    async with open_engine(settings, model_for=lambda _: model) as engine:
        yield Room(engine, model)


async def test_a_view_shows_the_session_that_it_is_bound_to() -> None:
    async with open_room() as room, SessionView(room.engine) as view:
        await room.create("a")
        assert (view.get_current_session_id(), await view.get_status()) == (None, "unbound")
        await view.bind_session("a")
        assert (view.get_current_session_id(), await view.get_status()) == ("a", SessionStatus.IDLE)
        outcome = await view.run_user_query("hello", (), "default")
        assert outcome.answer == "You said: hello"
        groups = await view.get_sessions()
        assert [group.role for group in groups] == [Role.USER, Role.ASSISTANT]
        assert groups == await room.registry.get_session_messages("a")
        assert await view.export_to_markdown() == await room.registry.export_to_markdown("a")
        view.unbind_session()
        assert (view.get_current_session_id(), await view.get_status()) == (None, "unbound")
        assert (await room.engine.snapshot("a")).record.status is SessionStatus.COMPLETED


async def test_what_a_query_ends_with_is_raised() -> None:
    async with open_room() as room, SessionView(room.engine) as view:
        await room.create("a")
        await view.bind_session("a")
        with pytest.raises(EngineError) as failure:
            await view.run_user_query("fail")
        assert failure.value.code is ErrorCode.CONTEXT_LIMIT
        with pytest.raises(EngineError) as refusal:
            await view.run_user_query("   ")
        assert refusal.value.code is ErrorCode.INVALID_ARGUMENT
        assert room.model.calls == 1


async def test_while_a_turn_runs_the_view_says_so_and_nothing_may_be_changed() -> None:
    async with open_room() as room, SessionView(room.engine) as view:
        await room.create("a")
        await view.bind_session("a")
        await view.run_user_query("hello")
        question, answer = (await view.get_sessions())[:2]
        task_id = await room.engine.submit_turn("a", "hang")
        await wait_all_tasks_blocked()
        assert await view.is_generating()
        assert (await view.get_sessions())[-1].execution_root is not None
        for permission in (
            await view.can_delete_message(question.id),
            await view.can_edit(question.id),
            await view.can_retry(answer.id),
        ):
            assert not permission.allowed
            assert "running" in permission.reason
        await view.abort()
        assert (await room.engine.wait_turn("a", task_id)).status is SessionStatus.ABORTED
        await wait_all_tasks_blocked()
        assert not await view.is_generating()


async def test_a_permission_says_what_the_operation_would() -> None:
    async with open_room() as room, SessionView(room.engine) as view:
        await room.create("a")
        await view.bind_session("a")
        await view.run_user_query("one")
        await view.run_user_query("two")
        messages = [group.id for group in await view.get_sessions()]
        for message_id in [*messages, "nobody"]:
            for permission, operation in (
                (await view.can_edit(message_id), functools.partial(view.edit_message, message_id, "new")),
                (await view.can_retry(message_id), functools.partial(view.retry_generation, message_id)),
            ):
                assert permission.allowed is await _works(operation), (message_id, permission)
        for message_id in [*messages, "nobody"]:
            permission = await view.can_delete_message(message_id)
            operation = functools.partial(view.delete_message, message_id)
            assert permission.allowed is await _works(operation), (message_id, permission)


async def _works(operation: Callable[[], Awaitable[object]]) -> bool:
    try:
        await operation()
    except EngineError:
        return False
    return True


async def test_the_last_binding_counts_when_an_earlier_one_takes_longer() -> None:
    async with open_room() as room, SessionView(room.engine) as view, trio.open_nursery() as nursery:
        await room.create("a", "b")
        await room.engine.release_session("a")

        async def bind_a(task_status: trio.TaskStatus[None]) -> None:
            task_status.started()
            await view.bind_session("a")

        await nursery.start(bind_a)  # it is in the midst of binding now
        await view.bind_session("b")
        await wait_all_tasks_blocked()
        assert view.get_current_session_id() == "b"
        await room.engine.run_turn("a", "to a")
        await room.engine.run_turn("b", "to b")
        await wait_all_tasks_blocked()
        assert [group.content for group in await view.get_sessions() if group.content] == ["to b"]


async def test_a_view_goes_on_when_its_session_was_unloaded_in_the_meantime() -> None:
    async with open_room() as room, SessionView(room.engine) as view:
        await room.create("a")
        await view.bind_session("a")
        await view.run_user_query("one")
        await room.engine.release_session("a")
        assert len(await view.get_sessions()) == 2
        await view.run_user_query("two")
        await wait_all_tasks_blocked()
        assert len(await view.get_sessions()) == 4


async def test_an_unknown_session_leaves_the_view_unbound() -> None:
    async with open_room() as room, SessionView(room.engine) as view:
        with pytest.raises(EngineError) as refusal:
            await view.bind_session("nobody")
        assert refusal.value.code is ErrorCode.SESSION_NOT_FOUND
        assert await view.get_status() == "unbound"
        assert not (await view.can_edit("x")).allowed


async def test_views_that_are_destroyed_leave_nothing_and_stop_no_turn() -> None:
    async with open_room() as room:
        await room.create("a")
        task_id = await room.engine.submit_turn("a", "hang")
        for _ in range(50):
            view = SessionView(room.engine)
            await view.bind_session("a")
            unsubscribe = view.on_event(print)
            view.destroy()
            unsubscribe()
            view.destroy()
            with pytest.raises(EngineError):
                await view.get_sessions()
        await wait_all_tasks_blocked()
        assert (await room.engine.snapshot("a")).record.status is SessionStatus.RUNNING
        assert await room.engine.abort_turn("a", task_id)
        for thread in handler_threads():
            await trio.to_thread.run_sync(thread.join, 30)
        assert handler_threads() == []


async def test_a_view_whose_session_was_unregistered_says_so_and_its_handlers_go_on_with_the_next() -> None:
    heard: SimpleQueue[Event | Lagged] = SimpleQueue()
    async with open_room() as room, SessionView(room.engine) as view:
        await room.create("a", "b")
        await view.bind_session("a")
        view.on_event(heard.put)
        await room.registry.unregister_session("a")

        with pytest.raises(EngineError) as refused:
            await view.get_status()
        await view.bind_session("b")
        await view.run_user_query("hello")

        assert refused.value.code is ErrorCode.SESSION_INVALID
        assert "bind" in refused.value.message
        event = await trio.to_thread.run_sync(functools.partial(heard.get, timeout=30))
        assert isinstance(event, Event)
        assert event.session_id == "b"
        assert await view.get_status() is SessionStatus.COMPLETED


def handler_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "greenroom handler"]


@pytest.mark.parametrize("on_disk", [False, True])
def test_handlers_in_threads_hear_everything_may_raise_block_and_call_back(
    tmp_path: Path, *, on_disk: bool
) -> None:
    store = SqliteStore.open(tmp_path / "s.db") if on_disk else MemoryStore()
    gate = threading.Event()
    heard: SimpleQueue[Event | Lagged] = SimpleQueue()
    with start_engine(store=store, model_for=lambda _: ScriptedModel(otherwise=_play)) as thread:
        engine = thread.engine
        thread.call(functools.partial(engine.create_session, session_id="a"))
        view = SessionView(engine)
        thread.call(view.bind_session, "a")

        def raising(_: object) -> None:
            raise ValueError("a bug in a handler")

        def blocking(_: object) -> None:
            gate.wait()

        def calling_back(event: Event | Lagged) -> None:
            if isinstance(event, Event) and isinstance(event.body, AnswerStreamed):
                thread.call(engine.abort_turn, "a")

        for handler in (raising, blocking, calling_back, heard.put):
            view.on_event(handler)
        with pytest.raises(EngineError) as stopped:
            thread.call(view.run_user_query, "hang")
        assert stopped.value.code is ErrorCode.ABORTED
        bodies: list[object] = []
        while not bodies or not isinstance(bodies[-1], TaskFinished):
            event = heard.get(timeout=30)
            assert isinstance(event, Event)
            bodies.append(event.body)
        gate.set()
        view.destroy()


def test_a_view_and_a_registry_work_from_asyncio() -> None:
    async def main() -> None:
        with start_engine(model_for=lambda _: ScriptedModel(otherwise=_play)) as thread:
            await thread.engine.create_session(session_id="a")
            view = SessionView(thread.engine)
            registry = SessionRegistry(thread.engine)
            await view.bind_session("a")
            await view.run_user_query("hello")
            assert len(await view.get_sessions()) == 2
            assert [known.session_id for known in await registry.get_all_sessions()] == ["a"]
            view.destroy()

    asyncio.run(main())


async def test_an_answer_that_runs_when_the_view_comes_is_shown_from_its_beginning() -> None:
    gate = Gate()
    model = ScriptedModel([(Say((TextPart("Hel"),)), gate, Say((TextPart("lo"),)))])
    async with open_engine(model_for=lambda _: model) as engine, SessionView(engine) as view:
        await engine.create_session(session_id="a")
        task_id = await engine.submit_turn("a", "hi")
        await wait_all_tasks_blocked()
        await view.bind_session("a")
        *_, answer = await view.get_sessions()
        assert answer.execution_root is not None
        assert answer.execution_root.data.output == "Hel"
        gate.open()
        await engine.wait_turn("a", task_id)
        await wait_all_tasks_blocked()
        *_, answer = await view.get_sessions()
        assert answer.execution_root is not None
        assert answer.execution_root.data.output == "Hello"
