"""The composition root: from settings to a running engine."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar, Unpack

import trio

from actors.agents import AgentDefinition
from actors.engine.asker import closed_error
from actors.engine.catalog import open_catalog
from actors.engine.face import Engine
from actors.engine.mcp import open_mcp_servers
from actors.engine.options import EngineOptions, EngineParts, ModelFor
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.governor import Governors, named_connection
from actors.mcp.environment import program_environment
from actors.mcp.links import sdk_links
from actors.model_settings import ModelSettings
from actors.models.base import LanguageModel
from actors.models.http import HttpPool
from actors.persistence.actor import PersistenceActor
from actors.prompts import PromptContext, PromptFor
from actors.registry.actor import RegistryActor
from actors.registry.ledger import Ledger
from actors.registry.protocol import REGISTRY_NAME
from actors.session.actor import SessionActor
from actors.session.protocol import Inheritance, session_name
from actors.session.state import SessionEnvironment
from actors.session.storable import storable_text
from actors.settings import EngineSettings, process_environment
from actors.stores import ChatFileStore, FileFirstStore
from actors.stores.base import Store
from actors.stores.memory import MemoryStore
from actors.stores.sqlite import SqliteStore
from actors.tools import ToolRunner
from runtime import (
    ActorRef,
    ActorSystem,
    SystemClosedError,
    SystemThread,
    get_logger,
    open_system,
    start_system,
)
from runtime.supervision import ChildSpec, FindChild, Intensity, Supervisor

__all__ = ["EngineThread", "open_engine", "start_engine"]

R = TypeVar("R")

CheckModel: TypeAlias = Callable[[str, ModelSettings], None]
"""Raises `EngineError` if `provider:model` cannot be asked with these settings."""

_log = get_logger("engine")

_RESTARTS_BORNE = Intensity(max_restarts=5, period_seconds=10.0)
"""A registry that fails more often than this ends the engine: every command is refused then."""


@asynccontextmanager
async def open_engine(
    settings: EngineSettings | None = None,
    *,
    system: ActorSystem | None = None,
    **options: Unpack[EngineOptions],
) -> AsyncGenerator[Engine, None]:
    """Run an engine for the time of an `async with` block in trio; `EngineOptions` says what may be given.

    Its actors run in `system` and end with that, or in a system of their own. At the end of the block, also
    when it is cancelled, running turns are aborted, their partial answers kept, and everything is flushed.

    Raises:
        EngineError: the store or the catalog cannot be opened, or a setting is wrong; nothing is left then.
    """
    parts = EngineParts.gather(settings, options)
    async with AsyncExitStack() as stack:
        if system is None:
            budget_seconds = parts.settings.shutdown_budget_seconds
            system = await stack.enter_async_context(open_system(shutdown_budget_seconds=budget_seconds))
        yield await stack.enter_async_context(_engine_on(system, parts))


@asynccontextmanager
async def _engine_on(system: ActorSystem, parts: EngineParts) -> AsyncGenerator[Engine, None]:
    settings = parts.settings
    async with (
        HttpPool(silence_seconds=settings.silence_timeout_seconds) as http,
        open_catalog(system, settings, http, parts.catalog) as (catalog, view),
        open_mcp_servers(
            system,
            parts.mcp_servers,
            catalog=catalog,
            view=view,
            tools=parts.tools,
            open_link=sdk_links(program_environment(process_environment())),
            now=parts.now,
        ) as mcp,
    ):
        find_model, check_model = view.find_model, view.check_model
        if parts.model_for is None:
            find_model(settings.model)  # a wrong one is told before there is a store for it
        else:
            find_model = _mapped(parts.model_for)
            check_model = _any_settings(find_model)
        store = await _open_store(settings, parts.ids) if parts.store is None else parts.store
        persistence = system.spawn_named(
            "persistence",
            PersistenceActor,
            store,
            throttle_seconds=settings.persist_throttle_seconds,
        )
        governors = Governors(
            system,
            retry=settings.retry,
            circuit=settings.circuit,
            connection_of=named_connection if parts.model_for else view.connection_of,
        )
        tools = ToolRunner(
            system.nursery.start_soon, threads=settings.tool_threads, processes=settings.tool_processes
        )
        registry = await _start_registry(
            system, parts, view.find_agent, find_model, check_model, persistence, governors, tools
        )
        engine = Engine(
            system,
            registry,
            persistence,
            catalog,
            mcp,
            http,
            governors,
            tools,
            settings,
            parts.authorize,
            parts.now,
            parts.ids,
        )
        try:
            yield engine
        finally:
            with trio.move_on_after(settings.shutdown_budget_seconds, shield=True) as budget:
                await _close(engine)
            tools.close()
            if budget.cancelled_caught:
                _log.warning("the engine did not close in time", seconds=settings.shutdown_budget_seconds)


async def _start_registry(
    system: ActorSystem,
    parts: EngineParts,
    find_agent: Callable[[str], AgentDefinition | None],
    find_model: ModelFor,
    check_model: CheckModel,
    persistence: ActorRef[PersistenceActor],
    governors: Governors,
    tools: ToolRunner,
) -> ActorRef[RegistryActor]:
    """Under a supervisor, which brings it back with its ref and its mail when it fails."""
    environment = SessionEnvironment(
        new_id=parts.ids,
        check_model=_reported(check_model),
        find_agent=find_agent,
        tools=parts.tools,
        authorize=parts.authorize,
        prompt=_checked_prompt(parts.prompt),
        image_mode=parts.settings.image_mode,
    )

    def spawn_session(session_id: str, inheritance: Inheritance) -> ActorRef[Any]:
        return system.spawn_named(
            session_name(session_id),
            SessionActor,
            session_id,
            registry=registry,
            persistence=persistence,
            environment=environment,
            model_for=find_model,
            tool_runner=tools,
            governors=governors,
            read_image=parts.read_image,
            inheritance=inheritance,
            now=parts.now,
        )

    ledger = Ledger(max_concurrent=parts.settings.max_concurrent)

    def make_registry() -> RegistryActor:
        return RegistryActor(
            ledger=ledger,
            persistence=persistence,
            spawn_session=spawn_session,
            max_queue_size=parts.settings.max_queue_size,
            max_loaded=parts.settings.max_loaded,
            authorize=parts.authorize,
            now=parts.now,
        )

    spec = ChildSpec(REGISTRY_NAME, make_registry, registered_name=REGISTRY_NAME)
    supervisor = system.spawn(Supervisor, [spec], intensity=_RESTARTS_BORNE)
    registry: ActorRef[RegistryActor] = await supervisor.ask(FindChild(REGISTRY_NAME), block=False)
    return registry


def _mapped(model_for: ModelFor) -> ModelFor:
    """What foreign code raises that is no `EngineError` would fail the session that asked."""

    def find_model(name: str) -> LanguageModel:
        try:
            return model_for(name)
        except EngineError:
            raise
        except Exception as error:
            _log.exception("model_for failed", model=name)
            raise EngineError(
                ErrorCode.EXECUTOR_NOT_FOUND,
                f"the model {name} cannot be had: {type(error).__name__}",
                kind="model",
            ) from error

    return find_model


def _checked_prompt(prompt: PromptFor) -> PromptFor:
    """What foreign code raises ends the turn that asked, and not the session."""

    def checked_prompt(context: PromptContext) -> str:
        try:
            return storable_text(prompt(context))
        except EngineError:
            raise
        except Exception as error:
            _log.exception("the system prompt cannot be written", session_id=context.session_id)
            raise EngineError(
                ErrorCode.EXECUTION_FAILED, f"the system prompt cannot be written: {type(error).__name__}"
            ) from error

    return checked_prompt


def _any_settings(find_model: ModelFor) -> CheckModel:
    """Foreign models take what they like."""

    def check_model(name: str, _: ModelSettings) -> None:
        find_model(name)

    return check_model


def _reported(check: CheckModel) -> Callable[[str, ModelSettings], ErrorInfo | None]:
    def check_model(name: str, settings: ModelSettings) -> ErrorInfo | None:
        try:
            check(name, settings)
        except EngineError as error:
            return error.info
        return None

    return check_model


async def _close(engine: Engine) -> None:
    try:
        await engine.close()
    except EngineError as error:
        _log.error("the engine did not close in order", reason=error.message)


async def _open_store(settings: EngineSettings, ids: Callable[[], str]) -> Store:
    main: Store = MemoryStore()
    if settings.store is not None:
        main = await trio.to_thread.run_sync(SqliteStore.open, Path(settings.store))
    if not settings.project_roots:
        return main
    return FileFirstStore(main, ChatFileStore(settings.project_roots, new_id=ids))


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
            raise closed_error() from None

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


def start_engine(settings: EngineSettings | None = None, **options: Unpack[EngineOptions]) -> EngineThread:
    """Start an engine in a background thread. Options and errors as for `open_engine`."""
    parts = EngineParts.gather(settings, options)
    thread = start_system(shutdown_budget_seconds=parts.settings.shutdown_budget_seconds)
    stack = AsyncExitStack()

    async def enter() -> Engine:
        return await stack.enter_async_context(_engine_on(thread.system, parts))

    try:
        engine = thread.call(enter)
    except BaseException:
        thread.stop()
        raise
    return EngineThread(thread, engine, stack)
