"""The composition root: from settings to a running engine, and the thin face that callers use."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import pykka
import trio

from actors.errors import EngineError, ErrorCode
from actors.events import TaskOutcome
from actors.models.base import LanguageModel
from actors.models.http import HttpPool
from actors.models.traffic import TrafficStatistics
from actors.persistence.actor import PersistenceActor
from actors.persistence.protocol import Flush, GetLatestRun, ListSessions, PutRun, ReadSession
from actors.records import RunRecord, SessionSummary, StoredSession
from actors.registry.actor import RegistryActor
from actors.registry.protocol import (
    REGISTRY_NAME,
    CloseAll,
    Deliver,
    GetPoolStatus,
    PoolStatus,
    ReleaseSession,
    SetMaxConcurrent,
)
from actors.session.actor import SessionActor
from actors.session.protocol import (
    AbortTurn,
    CreateSession,
    GetSnapshot,
    NewSession,
    ResumeTurn,
    SessionCommand,
    SessionSnapshot,
    SubmitTurn,
    Subscribe,
    WaitTurn,
    session_name,
)
from actors.settings import EngineSettings
from actors.stores.base import Store
from actors.stores.memory import MemoryStore
from actors.stores.sqlite import SqliteStore
from actors.subscription import SubscriberActor, Subscription
from runtime import (
    ActorRef,
    ActorSystem,
    SystemClosedError,
    SystemThread,
    get_logger,
    open_system,
    start_system,
)

__all__ = ["Engine", "EngineThread", "ModelFor", "open_engine", "start_engine"]

R = TypeVar("R")

ModelFor = Callable[[str], LanguageModel]
"""Finds the model that `provider:model` names, or raises `EngineError`. Called often: it should cache."""

_log = get_logger("engine")

EVENTS_KEPT_PER_SUBSCRIBER = 1000

_LONGEST_SESSION_ID = 200


class Engine:
    """Many chat sessions. Made by `open_engine` or `start_engine`.

    Every method sends a message and waits for its answer, in trio and in asyncio alike, in any thread; from
    synchronous code use `EngineThread.call`. Cancelling a wait takes nothing back. All raise `EngineError`.
    """

    def __init__(
        self,
        system: ActorSystem,
        registry: ActorRef[RegistryActor],
        persistence: ActorRef[PersistenceActor],
        http: HttpPool,
        default_model: str,
    ) -> None:
        self._system = system
        self._registry = registry
        self._persistence = persistence
        self._http = http
        self._default_model = default_model
        self._closed = False

    # --- sessions -----------------------------------------------------------------------------------

    async def create_session(
        self, *, session_id: str | None = None, title: str = "", model: str = "", system_prompt: str = ""
    ) -> SessionSnapshot:
        """Make a session; it is durable when this returns. `CONFLICT` if the id is taken."""
        new = NewSession(title=title, model=model or self._default_model, system_prompt=system_prompt)
        if session_id is None:
            session_id = str(uuid.uuid4())
        snapshot: SessionSnapshot = await self._deliver(session_id, CreateSession(new))
        return snapshot

    async def submit_turn(self, session_id: str, text: str, *, priority: int = 0) -> str:
        """Ask a question and return its task id as soon as it is durable; the answer streams on.

        `SESSION_BUSY` while another turn is unfinished, `QUEUE_FULL` when no slot and no place is free:
        then nothing is stored.
        """
        task_id: str = await self._deliver(session_id, SubmitTurn(text=text, priority=priority))
        return task_id

    async def resume_turn(self, session_id: str, *, priority: int = 0) -> str:
        """Have the last question answered that has no complete answer. Else as `submit_turn`."""
        task_id: str = await self._deliver(session_id, ResumeTurn(priority=priority))
        return task_id

    async def wait_turn(self, session_id: str, task_id: str) -> TaskOutcome:
        """The outcome of a turn when it has ended and is durable, also if that was long ago."""
        outcome: TaskOutcome = await self._deliver(session_id, WaitTurn(task_id))
        return outcome

    async def run_turn(self, session_id: str, text: str, *, priority: int = 0) -> TaskOutcome:
        """`submit_turn`, then `wait_turn`. A failed or aborted turn is an outcome, not an exception."""
        task_id = await self.submit_turn(session_id, text, priority=priority)
        return await self.wait_turn(session_id, task_id)

    async def abort_turn(self, session_id: str, task_id: str | None = None) -> bool:
        """Stop the unfinished turn, or only that one. What was streamed is kept. False: there was none."""
        aborted: bool = await self._deliver(session_id, AbortTurn(task_id))
        return aborted

    async def snapshot(self, session_id: str) -> SessionSnapshot:
        """The session as it is now, with its visible branch."""
        snapshot: SessionSnapshot = await self._deliver(session_id, GetSnapshot())
        return snapshot

    async def release_session(self, session_id: str) -> None:
        """Unload a session, aborting its turn if one is unfinished.

        It stays in the store, and the next command loads it again.
        """
        await self._ask_registry(ReleaseSession(_checked(session_id)))

    @asynccontextmanager
    async def events(self, session_id: str) -> AsyncGenerator[Subscription, None]:
        """Follow a session: its snapshot, then every event after it.

        A reader that is a thousand events behind gets `Lagged` in place of what it missed. The events end
        when the session is unloaded or fails.
        """
        name = f"subscriber/{uuid.uuid4()}"
        try:
            subscriber = self._system.spawn_named(name, SubscriberActor, limit=EVENTS_KEPT_PER_SUBSCRIBER)
        except SystemClosedError:
            raise _closed_error() from None
        try:
            snapshot: SessionSnapshot = await self._deliver(session_id, Subscribe(name))
            yield Subscription(snapshot, subscriber)
        finally:
            subscriber.stop(block=False)  # the session notices

    # --- the pool -----------------------------------------------------------------------------------

    async def pool_status(self) -> PoolStatus:
        status: PoolStatus = await self._ask_registry(GetPoolStatus())
        return status

    async def set_max_concurrent(self, value: int) -> None:
        """Change how many turns run at once. Running ones are never stopped by this."""
        await self._ask_registry(SetMaxConcurrent(value))

    def traffic(self) -> TrafficStatistics:
        """What went over HTTP so far. May be called at any time, from any thread."""
        return self._http.statistics()

    # --- the store ----------------------------------------------------------------------------------

    async def list_sessions(self) -> tuple[SessionSummary, ...]:
        """All stored sessions, the oldest first."""
        summaries: tuple[SessionSummary, ...] = await self._ask(self._persistence, ListSessions())
        return summaries

    async def read_session(self, session_id: str) -> StoredSession:
        """A session as it is stored, all branches, without loading it."""
        stored: StoredSession = await self._ask(self._persistence, ReadSession(_checked(session_id)))
        return stored

    async def put_run(self, run: RunRecord) -> None:
        """Remember a run of many sessions; durable when this returns."""
        await self._ask(self._persistence, PutRun(run))

    async def latest_run(self) -> RunRecord | None:
        run: RunRecord | None = await self._ask(self._persistence, GetLatestRun())
        return run

    async def flush(self) -> None:
        """Return when everything that happened before is durable."""
        await self._ask(self._persistence, Flush())

    async def close(self) -> None:
        """Abort what runs, unload every session, flush. The engine takes no commands after it."""
        self._closed = True
        await self._ask_registry(CloseAll())
        await self.flush()

    # --- asking -------------------------------------------------------------------------------------

    async def _deliver(self, session_id: str, command: SessionCommand) -> Any:
        return await self._ask_registry(Deliver(_checked(session_id), command))

    async def _ask_registry(self, message: Any) -> Any:
        return await self._ask(self._registry, message)

    async def _ask(self, ref: ActorRef[Any], message: Any) -> Any:
        """Ask, and translate: an actor that ended is a failure of the engine's, and worth another try."""
        try:
            return await ref.ask(message, block=False)
        except pykka.ActorDeadError as error:
            if self._closed:
                raise _closed_error() from None
            raise EngineError(ErrorCode.EXECUTION_FAILED, f"no answer: {error}") from None


def _closed_error() -> EngineError:
    return EngineError(ErrorCode.SESSION_INVALID, "the engine is closed: it takes no more commands")


def _checked(session_id: str) -> str:
    """A session id that every store can keep and every terminal can show."""
    if not session_id or len(session_id) > _LONGEST_SESSION_ID or not session_id.isprintable():
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"a session id has 1 to {_LONGEST_SESSION_ID} printable characters: not {session_id[:40]!a}",
        )
    return session_id


@asynccontextmanager
async def open_engine(
    settings: EngineSettings | None = None,
    *,
    store: Store | None = None,
    model_for: ModelFor | None = None,
) -> AsyncGenerator[Engine, None]:
    """Run an engine for the time of an `async with` block in trio.

    `store` and `model_for` replace what the settings name. At the end of the block, also when it is
    cancelled, running turns are aborted, their partial answers kept, and everything is flushed.

    Raises:
        EngineError: the store cannot be opened, or a setting is wrong; nothing has been started then.
    """
    settings = settings or EngineSettings()
    async with (
        open_system(shutdown_budget_seconds=settings.shutdown_budget_seconds) as system,
        _engine_on(system, settings, store, model_for) as engine,
    ):
        yield engine


@asynccontextmanager
async def _engine_on(
    system: ActorSystem, settings: EngineSettings, store: Store | None, model_for: ModelFor | None
) -> AsyncGenerator[Engine, None]:
    async with HttpPool(silence_seconds=settings.silence_timeout_seconds) as http:
        find_model = model_for or _models_of(settings, http)
        if model_for is None:
            find_model(settings.model)  # a wrong one is told before there is a store for it
        opened = await _open_store(settings.store) if store is None else store
        persistence = system.spawn_named(
            "persistence",
            PersistenceActor,
            opened,
            throttle_seconds=settings.persist_throttle_seconds,
        )

        def spawn_session(session_id: str) -> ActorRef[Any]:
            return system.spawn_named(
                session_name(session_id),
                SessionActor,
                session_id,
                registry=registry,
                persistence=persistence,
                model_for=find_model,
            )

        registry = system.spawn_named(
            REGISTRY_NAME,
            RegistryActor,
            persistence=persistence,
            spawn_session=spawn_session,
            max_concurrent=settings.max_concurrent,
            max_queue_size=settings.max_queue_size,
        )
        engine = Engine(system, registry, persistence, http, settings.model)
        try:
            yield engine
        finally:
            with trio.move_on_after(settings.shutdown_budget_seconds, shield=True) as budget:
                await _close(engine)
            if budget.cancelled_caught:
                _log.warning("the engine did not close in time", seconds=settings.shutdown_budget_seconds)


async def _close(engine: Engine) -> None:
    try:
        await engine.close()
    except EngineError as error:
        _log.error("the engine did not close in order", reason=error.message)


async def _open_store(path: str | None) -> Store:
    if path is None:
        return MemoryStore()
    return await trio.to_thread.run_sync(SqliteStore.open, Path(path))


def _models_of(settings: EngineSettings, http: HttpPool) -> ModelFor:
    models: dict[str, LanguageModel] = {}

    def model_for(name: str) -> LanguageModel:
        if name not in models:
            models[name] = settings.model_for(name, http)
        return models[name]

    return model_for


class EngineThread:
    """An engine in a background thread, for synchronous and asyncio hosts. A context manager.

    From asyncio, `await thread.engine.run_turn(...)` works directly; from a plain thread use `call`.
    """

    def __init__(self, thread: SystemThread, engine: Engine, stack: AsyncExitStack) -> None:
        self._thread = thread
        self._stack = stack
        self.engine = engine

    def call(self, function: Callable[..., Awaitable[R]], *args: Any) -> R:
        """Run `await function(*args)` in the engine's thread and block for its result."""
        try:
            return self._thread.call(function, *args)
        except SystemClosedError:
            raise _closed_error() from None

    def stop(self) -> None:
        """Close the engine in order and end its thread. Idempotent."""
        with contextlib.suppress(SystemClosedError):  # stopped before
            self._thread.call(self._stack.aclose)
        self._thread.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def start_engine(
    settings: EngineSettings | None = None,
    *,
    store: Store | None = None,
    model_for: ModelFor | None = None,
) -> EngineThread:
    """Start an engine in a background thread. Arguments and errors as for `open_engine`."""
    settings = settings or EngineSettings()
    thread = start_system(shutdown_budget_seconds=settings.shutdown_budget_seconds)
    stack = AsyncExitStack()

    async def enter() -> Engine:
        return await stack.enter_async_context(_engine_on(thread.system, settings, store, model_for))

    try:
        engine = thread.call(enter)
    except BaseException:
        thread.stop()
        raise
    return EngineThread(thread, engine, stack)
