"""What is refused leaves no trace: nothing stored, no slot taken, no model asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pykka
import pytest
from trio.testing import wait_all_tasks_blocked

from actors.access import LOCAL, AccessRequest
from actors.conversation import Attachment
from actors.engine import Engine
from actors.errors import ErrorCode
from actors.records import ConfirmationOutcome, StoredSession
from actors.session.protocol import NewSession, SessionChanges
from actors.session.refusals import LONGEST_TEXT
from actors.settings import EngineSettings
from actors.stores import MemoryStore
from actors.subscription import TakeEvents
from tests.actors.session.stage import Stage, open_stage, refusal_of

Command: TypeAlias = Callable[[Engine], Awaitable[object]]

WRONG: dict[str, tuple[Command, ErrorCode, tuple[str, ...]]] = {
    "unknown session": (
        lambda engine: engine.submit_turn("nobody", "hello"),
        ErrorCode.SESSION_NOT_FOUND,
        ("nobody",),
    ),
    "unknown session, deleted": (
        lambda engine: engine.delete_session("nobody"),
        ErrorCode.SESSION_NOT_FOUND,
        ("nobody",),
    ),
    "unknown session, registered": (
        lambda engine: engine.register_session("nobody"),
        ErrorCode.SESSION_NOT_FOUND,
        ("nobody",),
    ),
    "unknown session, active": (
        lambda engine: engine.set_active_session("nobody"),
        ErrorCode.SESSION_NOT_FOUND,
        ("nobody",),
    ),
    "unknown task": (
        lambda engine: engine.wait_turn("s", "no-task"),
        ErrorCode.INVALID_ARGUMENT,
        ("s", "no-task"),
    ),
    "unknown message to edit": (
        lambda engine: engine.edit_message("s", "no-message", "text"),
        ErrorCode.INVALID_ARGUMENT,
        ("s", "no-message"),
    ),
    "unknown message to retry": (
        lambda engine: engine.retry_answer("s", "no-message"),
        ErrorCode.INVALID_ARGUMENT,
        ("s", "no-message"),
    ),
    "unknown message to delete": (
        lambda engine: engine.delete_message("s", "no-message"),
        ErrorCode.INVALID_ARGUMENT,
        ("s", "no-message"),
    ),
    "unknown branch": (
        lambda engine: engine.switch_branch("s", "no-message"),
        ErrorCode.INVALID_ARGUMENT,
        ("s", "no-message"),
    ),
    "unknown tool call": (
        lambda engine: engine.confirm_tool_call("s", "no-call", ConfirmationOutcome.APPROVED),
        ErrorCode.INVALID_ARGUMENT,
        ("no-call",),
    ),
    "nothing to resume": (
        lambda engine: engine.resume_turn("s"),
        ErrorCode.INVALID_ARGUMENT,
        ("s",),
    ),
    "empty text": (lambda engine: engine.submit_turn("s", " \n"), ErrorCode.INVALID_ARGUMENT, ("empty",)),
    "oversized text": (
        lambda engine: engine.submit_turn("s", "x" * (LONGEST_TEXT + 1)),
        ErrorCode.INVALID_ARGUMENT,
        (f"{LONGEST_TEXT + 1:,}", f"{LONGEST_TEXT:,}"),
    ),
    "oversized attachment": (
        lambda engine: engine.submit_turn("s", "x", attachments=[Attachment("a", "x" * LONGEST_TEXT)]),
        ErrorCode.INVALID_ARGUMENT,
        (f"{LONGEST_TEXT + 1:,}", f"{LONGEST_TEXT:,}"),
    ),
    "text that is no Unicode": (
        lambda engine: engine.submit_turn("s", "\ud83d"),
        ErrorCode.INVALID_ARGUMENT,
        ("Unicode",),
    ),
    "request id that is no Unicode": (
        lambda engine: engine.submit_turn("s", "hello", request_id="\ud83d"),
        ErrorCode.INVALID_ARGUMENT,
        ("request id", "200", "\\ud83d"),
    ),
    "oversized request id": (
        lambda engine: engine.resume_turn("s", request_id="r" * 201),
        ErrorCode.INVALID_ARGUMENT,
        ("request id", "200"),
    ),
    "owner who is no Unicode": (
        lambda engine: engine.create_session(NewSession(owner_id="\ud83d"), session_id="new"),
        ErrorCode.INVALID_ARGUMENT,
        ("Unicode",),
    ),
    "value for the system prompt that is no Unicode": (
        lambda engine: engine.rerun("prompted", {"name": "\ud83d"}),
        ErrorCode.INVALID_ARGUMENT,
        ("Unicode",),
    ),
    "unknown agent": (
        lambda engine: engine.submit_turn("s", "hello", executor_id="nobody"),
        ErrorCode.EXECUTOR_NOT_FOUND,
        ("nobody",),
    ),
    "unknown model": (
        lambda engine: engine.submit_turn("no-model", "hello"),
        ErrorCode.EXECUTOR_NOT_FOUND,
        ("nobody:knows",),
    ),
    "busy": (lambda engine: engine.submit_turn("busy", "hello"), ErrorCode.SESSION_BUSY, ("busy", "task")),
    "busy, to be changed": (
        lambda engine: engine.update_session("busy", SessionChanges(title="other")),
        ErrorCode.SESSION_BUSY,
        ("busy", "task"),
    ),
    "busy, to be unregistered": (
        lambda engine: engine.unregister_session("busy"),
        ErrorCode.SESSION_BUSY,
        ("busy", "running"),
    ),
    "stale version": (
        lambda engine: engine.update_session("s", SessionChanges(title="other"), expected_version=77),
        ErrorCode.CONFLICT,
        ("77", "version"),
    ),
    "no turns at all": (
        lambda engine: engine.update_session("s", SessionChanges(max_turns=0)),
        ErrorCode.INVALID_ARGUMENT,
        ("0", "1"),
    ),
    "limit of zero": (
        lambda engine: engine.set_max_concurrent(0),
        ErrorCode.INVALID_ARGUMENT,
        ("0", "1"),
    ),
    "cleanup without pause": (
        lambda engine: engine.start_auto_cleanup(0.0),
        ErrorCode.INVALID_ARGUMENT,
        ("0",),
    ),
    "full queue": (
        lambda engine: engine.submit_turn("s", "hello"),
        ErrorCode.QUEUE_FULL,
        ("1",),
    ),
    "id that is taken": (
        lambda engine: engine.create_session(session_id="s"),
        ErrorCode.CONFLICT,
        ("s",),
    ),
    "negative page": (
        lambda engine: engine.page("s", skip=-1),
        ErrorCode.INVALID_ARGUMENT,
        ("-1", "0"),
    ),
}


async def everything_of(stage: Stage, store: MemoryStore) -> tuple[object, ...]:
    stored: dict[str, StoredSession] = {
        summary.session_id: store.read(summary.session_id) for summary in store.list_sessions()
    }
    return stored, await stage.engine.pool_status(), stage.model.calls


@pytest.mark.parametrize("case", WRONG)
async def test_a_wrong_command_is_refused_with_its_reason_and_leaves_no_trace(case: str) -> None:
    command, code, named = WRONG[case]
    store = MemoryStore()
    async with open_stage(
        store=store, settings=EngineSettings(max_concurrent=1, max_queue_size=1)
    ) as stage:
        await stage.create("s", "busy", "queued")
        await stage.engine.create_session(session_id="no-model", model="nobody:knows")
        await stage.engine.create_session(session_id="prompted", system_prompt="You are {{name}}.")
        await stage.engine.run_turn("prompted", "before")
        await stage.engine.run_turn("s", "before")
        await stage.ask("busy", "hang")
        if case == "full queue":
            await stage.ask("queued", "hang")
        before = await everything_of(stage, store)

        refusal = await refusal_of(command(stage.engine))

        assert refusal.code is code, refusal.message
        for name in named:
            assert name in refusal.message
        assert await everything_of(stage, store) == before


OTHER = "other"
"""Owns the sessions of this name."""

COMMANDS: dict[str, Command] = {
    "CreateSession": lambda engine: engine.create_session(NewSession(), principal=OTHER),
    "SubmitTurn": lambda engine: engine.submit_turn("s", "hello", principal=OTHER),
    "ResumeTurn": lambda engine: engine.resume_turn("s", principal=OTHER),
    "RetryAnswer": lambda engine: engine.retry_answer("s", "m", principal=OTHER),
    "EditMessage": lambda engine: engine.edit_message("s", "m", "text", principal=OTHER),
    "Rerun": lambda engine: engine.rerun("s", principal=OTHER),
    "ConfirmToolCall": lambda engine: engine.confirm_tool_call(
        "s", "c", outcome=ConfirmationOutcome.APPROVED, principal=OTHER
    ),
    "WaitTurn": lambda engine: engine.wait_turn("s", "t", principal=OTHER),
    "AbortTurn": lambda engine: engine.abort_turn("s", principal=OTHER),
    "DeleteMessage": lambda engine: engine.delete_message("s", "m", principal=OTHER),
    "SwitchBranch": lambda engine: engine.switch_branch("s", "m", principal=OTHER),
    "UpdateSession": lambda engine: engine.update_session("s", SessionChanges(title="x"), principal=OTHER),
    "MarkRead": lambda engine: engine.mark_read("s", principal=OTHER),
    "GetSnapshot": lambda engine: engine.snapshot("s", principal=OTHER),
    "GetPage": lambda engine: engine.page("s", principal=OTHER),
    "Subscribe": lambda engine: engine.events("s", principal=OTHER).__aenter__(),
    "RegisterSession": lambda engine: engine.register_session("s", principal=OTHER),
    "UnregisterSession": lambda engine: engine.unregister_session("s", force=True, principal=OTHER),
    "DeleteSession": lambda engine: engine.delete_session("s", principal=OTHER),
    "ReleaseSession": lambda engine: engine.release_session("s", principal=OTHER),
    "GetRuntime": lambda engine: engine.runtime("s", principal=OTHER),
    "SetActiveSession": lambda engine: engine.set_active_session("s", principal=OTHER),
    "SubscribeAll": lambda engine: engine.global_events(principal=OTHER).__aenter__(),
    "SetMaxConcurrent": lambda engine: engine.set_max_concurrent(9, principal=OTHER),
    "StartAutoCleanup": lambda engine: engine.start_auto_cleanup(principal=OTHER),
    "StopAutoCleanup": lambda engine: engine.stop_auto_cleanup(principal=OTHER),
    "CleanUpIdle": lambda engine: engine.clean_up_idle(0, principal=OTHER),
    "GetPoolStatus": lambda engine: engine.pool_status(principal=OTHER),
    "GetActive": lambda engine: engine.active_session(principal=OTHER),
    "GetStatistics": lambda engine: engine.registry_statistics(principal=OTHER),
    "ReadSession": lambda engine: engine.read_session("s", principal=OTHER),
}


@pytest.mark.parametrize("action", COMMANDS)
@pytest.mark.parametrize("loaded", [True, False], ids=["loaded", "unloaded"])
async def test_who_may_not_is_refused_every_command_before_any_effect(action: str, loaded: bool) -> None:
    store = MemoryStore()
    asked: list[str] = []

    def authorize(request: AccessRequest) -> bool:
        if request.principal == OTHER:
            asked.append(request.action)
        return request.principal == LOCAL

    async with open_stage(store=store, authorize=authorize) as stage:
        await stage.create("s")
        await stage.engine.run_turn("s", "before")
        if not loaded:
            await stage.engine.release_session("s")
        messages = store.read("s").messages
        sessions = len(store.list_sessions())
        calls = stage.model.calls

        refusal = await refusal_of(COMMANDS[action](stage.engine))

        assert refusal.code is ErrorCode.FORBIDDEN
        assert OTHER in refusal.message
        assert action in refusal.message
        assert set(asked) == {action}
        assert store.read("s").messages == messages
        assert len(store.list_sessions()) == sessions
        assert stage.model.calls == calls
        status = await stage.engine.pool_status()
        assert (status.running, status.queued, status.max_concurrent) == (0, 0, 3)


async def test_who_may_not_subscribe_hears_nothing_when_the_session_is_loaded_again_either() -> None:
    def authorize(request: AccessRequest) -> bool:
        return request.principal == LOCAL

    async with open_stage(authorize=authorize) as stage:
        engine = stage.engine
        await stage.create("s")
        subscriber = engine.spawn_subscriber("curious")
        refusal = await refusal_of(engine.subscribe("s", "curious", principal=OTHER))
        await engine.release_session("s")
        await engine.run_turn("s", "secret")
        await wait_all_tasks_blocked()
        taken = subscriber.ask(TakeEvents(), block=False)
        await engine.delete_session("s")
        await wait_all_tasks_blocked()

        assert refusal.code is ErrorCode.FORBIDDEN
        subscriber.stop(block=False)
        with pytest.raises(pykka.ActorDeadError):
            await taken


async def test_a_hook_that_raises_has_not_said_yes() -> None:
    def authorize(request: AccessRequest) -> bool:
        raise RuntimeError(request.action)

    async with open_stage(authorize=authorize) as stage:
        assert (await refusal_of(stage.engine.create_session())).code is ErrorCode.FORBIDDEN


async def test_sessions_of_another_owner_are_neither_listed_nor_read() -> None:
    def authorize(request: AccessRequest) -> bool:
        return request.owner_id in (None, request.principal)

    async with open_stage(authorize=authorize) as stage:
        engine = stage.engine
        for owner in ("alice", "bob"):
            await engine.create_session(
                NewSession(owner_id=owner), session_id=f"{owner}'s", principal=owner
            )
            await engine.run_turn(f"{owner}'s", "hello", principal=owner)
        await engine.release_session("bob's", principal="bob")

        for owner, other in (("alice", "bob"), ("bob", "alice")):
            listed = await engine.list_sessions(principal=owner)
            assert [summary.session_id for summary in listed] == [f"{owner}'s"]
            known = await engine.runtimes(principal=owner)
            assert {runtime.session_id for runtime in known} <= {f"{owner}'s"}
            for refused in (
                engine.snapshot(f"{other}'s", principal=owner),
                engine.read_session(f"{other}'s", principal=owner),
                engine.submit_turn(f"{other}'s", "hello", principal=owner),
                engine.delete_session(f"{other}'s", principal=owner),
            ):
                assert (await refusal_of(refused)).code is ErrorCode.FORBIDDEN
        assert stage.model.calls == 2
