"""Foreign code that the engine calls: whatever it raises ends nothing but what it was asked."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from actors.access import AccessRequest
from actors.engine import open_engine, start_engine
from actors.errors import ErrorCode
from actors.events import Event, Lagged
from actors.facades import SessionView
from actors.models.base import LanguageModel
from actors.models.scripted import ScriptedModel
from actors.records import SessionStatus
from actors.session.protocol import NewSession
from actors.settings import EngineSettings
from tests.actors.session.stage import code_of


class Quit(BaseException):
    """No `Exception`, as a cancellation in asyncio is none."""


@pytest.mark.parametrize("raised", [ValueError, SystemExit, Quit])
async def test_a_permission_that_raises_anything_is_a_no_and_ends_nothing(
    raised: type[BaseException],
) -> None:
    def authorize(request: AccessRequest) -> bool:
        if request.principal == "bad":
            raise raised
        return True

    async with open_engine(authorize=authorize) as engine:
        await engine.create_session(session_id="s")
        for _ in range(10):
            assert await code_of(engine.pool_status(principal="bad")) is ErrorCode.FORBIDDEN
            assert await code_of(engine.submit_turn("s", "x", principal="bad")) is ErrorCode.FORBIDDEN
            assert await code_of(engine.read_session("s", principal="bad")) is ErrorCode.FORBIDDEN
        assert (await engine.run_turn("s", "hello")).status is SessionStatus.COMPLETED


async def test_a_search_for_models_that_fails_refuses_the_question_and_not_the_session() -> None:
    def model_for(name: str) -> LanguageModel:
        if name == "no:model":
            raise KeyError(name)
        return ScriptedModel()

    async with open_engine(model_for=model_for) as engine:
        await engine.create_session(session_id="s", model="no:model")
        for _ in range(5):
            assert await code_of(engine.submit_turn("s", "hello")) is ErrorCode.EXECUTOR_NOT_FOUND
        assert (await engine.registry_statistics()).crashes == 0


def test_a_handler_that_wants_to_exit_is_handed_the_next_event_nevertheless() -> None:
    handed: list[Event | Lagged] = []
    second = threading.Event()

    def handler(event: Event | Lagged) -> None:
        handed.append(event)
        if len(handed) == 1:
            sys.exit("no more")
        second.set()

    with start_engine() as thread:
        session_id = thread.call(thread.engine.create_session).record.session_id
        view = SessionView(thread.engine)
        thread.call(view.bind_session, session_id)
        view.on_event(handler)
        thread.call(view.run_user_query, "hello")
        assert second.wait(10)
        view.destroy()


@pytest.mark.parametrize(
    "new", [NewSession(title="x" * 201), NewSession(system_prompt="\ud800"), NewSession(max_turns=0)]
)
async def test_what_no_session_may_begin_with_makes_no_chat_file_either(
    tmp_path: Path, new: NewSession
) -> None:
    async with open_engine(EngineSettings(project_roots=(str(tmp_path),))) as engine:
        assert await code_of(engine.create_chat_file(str(tmp_path), new)) is ErrorCode.INVALID_ARGUMENT
    assert list(tmp_path.iterdir()) == []
