"""The thin face of an engine that callers use."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import ParamSpec, TypeVar

import msgspec

from actors.access import LOCAL, AccessRequest, Authorize
from actors.catalog.actor import CatalogActor
from actors.engine.asker import checked, checked_id, closed_error
from actors.engine.catalog_commands import CatalogCommands
from actors.engine.mcp import McpCommands
from actors.engine.registry_commands import RegistryCommands
from actors.engine.session_commands import SessionCommands
from actors.governor import ConnectionStatus, Governors
from actors.governor.protocol import GetConnectionStatus
from actors.mcp.servers import McpServersActor
from actors.models.http import HttpPool
from actors.models.traffic import TrafficStatistics
from actors.persistence.actor import PersistenceActor
from actors.persistence.protocol import (
    CreateChatFile,
    Flush,
    ForkChatFile,
    GetFileStatus,
    GetLatestRun,
    ListSessions,
    PutRun,
    ReadSession,
)
from actors.records import FileStatus, RunRecord, SessionSummary, StoredSession
from actors.registry.actor import RegistryActor
from actors.registry.protocol import CloseAll, RegistryStatistics, SubscribeAll, global_subscriber_name
from actors.roots import canonical_path
from actors.session.editing import check_new
from actors.session.protocol import (
    CreateSession,
    Cursor,
    NewSession,
    SessionSnapshot,
    Subscribe,
    SubscriptionStarted,
    encoded_subscriber_name,
)
from actors.settings import EngineSettings
from actors.subscription import EncodedSubscription, GlobalSubscription, SubscriberActor, Subscription
from actors.tools import ToolRunner, ToolStatistics
from runtime import ActorRef, ActorSystem, Statistics, SystemClosedError, TrioActor

__all__ = ["Engine", "EngineStatistics"]

P = ParamSpec("P")
A = TypeVar("A", bound=TrioActor)

EVENTS_KEPT_PER_SUBSCRIBER = 1000


class EngineStatistics(msgspec.Struct, frozen=True):
    """What an engine has done so far, and what it has now."""

    registry: RegistryStatistics
    system: Statistics
    traffic: TrafficStatistics
    tools: ToolStatistics


class Engine(SessionCommands, RegistryCommands, CatalogCommands, McpCommands):
    """Many chat sessions. Made by `open_engine` or `start_engine`.

    Every method sends a message and waits for its answer, in trio and in asyncio alike, in any thread; from
    synchronous code use `EngineThread.call`. Cancelling a wait takes nothing back. All raise `EngineError`.
    """

    def __init__(
        self,
        system: ActorSystem,
        registry: ActorRef[RegistryActor],
        persistence: ActorRef[PersistenceActor],
        catalog: ActorRef[CatalogActor],
        mcp: ActorRef[McpServersActor],
        http: HttpPool,
        governors: Governors,
        tools: ToolRunner,
        settings: EngineSettings,
        authorize: Authorize,
        now: Callable[[], datetime],
        ids: Callable[[], str],
    ) -> None:
        super().__init__(registry, persistence, authorize)
        self._system = system
        self._catalog = catalog
        self._mcp = mcp
        self._http = http
        self._governors = governors
        self._tools = tools
        self._settings = settings
        self._now = now
        self._ids = ids

    # --- sessions -----------------------------------------------------------------------------------

    async def create_session(
        self,
        new: NewSession | None = None,
        *,
        session_id: str | None = None,
        title: str = "",
        model: str = "",
        system_prompt: str = "",
        principal: str = LOCAL,
    ) -> SessionSnapshot:
        """Make a session; it is durable when this returns. `CONFLICT` if the id is taken.

        `new` says everything that a session can begin with; without it there are the arguments for what is
        said most often.
        """
        if new is None:
            new = NewSession(title=title, model=model, system_prompt=system_prompt)
        new = checked(new)
        if not new.model:
            new = msgspec.structs.replace(new, model=self._settings.model)
        if session_id is None:
            session_id = self._ids()
        snapshot: SessionSnapshot = await self._deliver(session_id, CreateSession(new, principal))
        return snapshot

    async def create_chat_file(
        self, directory: str, new: NewSession, *, new_task: bool = False, principal: str = LOCAL
    ) -> tuple[str, str]:
        """Make a session in a chat file of its own; the file's path and the session's id.

        The file gets the next free number in `directory`, which is inside a project root; with `new_task`
        in a new folder there.
        """
        session_id = self._ids()
        new = checked(new)
        self._require(
            AccessRequest(
                principal=principal,
                action=CreateChatFile.__name__,
                session_id=session_id,
                owner_id=new.owner_id,
                project_id=new.project_id,
            )
        )
        refusal = check_new(new)
        if refusal is not None:
            raise refusal.to_exception()
        record = new.record(session_id, self._now(), default_model=self._settings.model)
        command = CreateChatFile(directory=directory, record=record, new_task=new_task)
        path: str = await self._ask_persistence(command)
        await self.open_chat(path, session_id, principal=principal)
        return path, session_id

    async def fork_chat_file(self, path: str, *, principal: str = LOCAL) -> str:
        """Make the copy of a chat file a session of its own; its new id."""
        self._require(AccessRequest(principal=principal, action=ForkChatFile.__name__))
        session_id: str = await self._ask_persistence(ForkChatFile(canonical_path(path)))
        return session_id

    async def chat_file_status(self, session_id: str, *, principal: str = LOCAL) -> FileStatus:
        """How the file of a chat was at its last write."""
        self._require(
            AccessRequest(principal=principal, action=GetFileStatus.__name__, session_id=session_id)
        )
        status: FileStatus = await self._ask_persistence(GetFileStatus(session_id))
        return status

    @asynccontextmanager
    async def events(
        self, session_id: str, after: Cursor | None = None, *, principal: str = LOCAL
    ) -> AsyncGenerator[Subscription, None]:
        """Follow a session: its snapshot, then every event after it.

        With `after`, and if the events since then are still there, these come first, and there is no
        snapshot. A reader that is a thousand events behind gets `Lagged` in place of what it missed.
        """
        name = f"subscriber/{uuid.uuid4()}"
        subscriber = self.spawn_subscriber(name)
        try:
            started = await self.subscribe(session_id, name, after, principal=principal)
            yield Subscription(started, after, subscriber)
        finally:
            subscriber.stop(block=False)  # the registry notices

    @asynccontextmanager
    async def encoded_events(
        self, session_id: str, after: Cursor | None = None, *, principal: str = LOCAL
    ) -> AsyncGenerator[EncodedSubscription, None]:
        """As `events`, in JSON: however many listen to a session so, each event is encoded once."""
        name = encoded_subscriber_name(str(uuid.uuid4()))
        subscriber = self.spawn_subscriber(name)
        try:
            started = await self.subscribe(session_id, name, after, principal=principal)
            yield EncodedSubscription(started, after, subscriber)
        finally:
            subscriber.stop(block=False)

    @asynccontextmanager
    async def global_events(self, *, principal: str = LOCAL) -> AsyncGenerator[GlobalSubscription, None]:
        """Follow all sessions: who comes and goes, every status, the pool. Who may, may see all of them."""
        name = global_subscriber_name(str(uuid.uuid4()))
        subscriber = self.spawn_subscriber(name)
        try:
            yield GlobalSubscription(await self.subscribe_all(name, principal=principal), subscriber)
        finally:
            subscriber.stop(block=False)

    # --- events for actors of your own --------------------------------------------------------------

    def spawn_subscriber(self, name: str) -> ActorRef[SubscriberActor]:
        """A bounded queue for events, which `subscribe` fills and one reader empties. Stop it after use."""
        return self.spawn_actor(
            name, SubscriberActor, limit=EVENTS_KEPT_PER_SUBSCRIBER, source=self._registry
        )

    def spawn_actor(self, name: str, cls: Callable[P, A], *args: P.args, **kwargs: P.kwargs) -> ActorRef[A]:
        """Start an actor in the engine's system, which ends with the engine."""
        try:
            return self._system.spawn_named(name, cls, *args, **kwargs)
        except SystemClosedError:
            raise closed_error() from None

    async def subscribe(
        self, session_id: str, subscriber: str, after: Cursor | None = None, *, principal: str = LOCAL
    ) -> SubscriptionStarted:
        """Have the session's events told to the actor of this name, until that ends."""
        started: SubscriptionStarted = await self._deliver(
            session_id, Subscribe(subscriber, after, principal)
        )
        return started

    async def subscribe_all(self, subscriber: str, *, principal: str = LOCAL) -> int:
        """Have the global events told to the actor of this name, one that `global_subscriber_name` made.

        The number of the last event before them.
        """
        seq: int = await self._ask_registry(SubscribeAll(subscriber, principal))
        return seq

    async def statistics(self, *, principal: str = LOCAL) -> EngineStatistics:
        """Counts of the registry, of the actors below it, of what went over HTTP, and of tools."""
        return EngineStatistics(
            registry=await self.registry_statistics(principal=principal),
            system=self._system.statistics(),
            traffic=self.traffic(),
            tools=self._tools.statistics(),
        )

    async def connection_status(self, *, principal: str = LOCAL) -> tuple[ConnectionStatus, ...]:
        """How the connections are doing that were called so far: who runs, who waits, and for what."""
        self._require(AccessRequest(principal=principal, action=GetConnectionStatus.__name__))
        return await self._governors.status()

    def traffic(self) -> TrafficStatistics:
        """What went over HTTP so far. May be called at any time, from any thread."""
        return self._http.statistics()

    # --- the store ----------------------------------------------------------------------------------

    async def list_sessions(self, *, principal: str = LOCAL) -> tuple[SessionSummary, ...]:
        """All stored sessions that the principal may see, the oldest first."""
        summaries: tuple[SessionSummary, ...] = await self._ask_persistence(ListSessions())
        return tuple(
            summary
            for summary in summaries
            if self._permits(
                AccessRequest(
                    principal=principal,
                    action=ListSessions.__name__,
                    session_id=summary.session_id,
                    owner_id=summary.owner_id,
                    project_id=summary.project_id,
                )
            )
        )

    async def read_session(self, session_id: str, *, principal: str = LOCAL) -> StoredSession:
        """A session as it is stored, all branches, without loading it."""
        stored: StoredSession = await self._ask_persistence(ReadSession(checked_id(session_id)))
        self._require(
            AccessRequest(
                principal=principal,
                action=ReadSession.__name__,
                session_id=session_id,
                owner_id=stored.record.owner_id,
                project_id=stored.record.project_id,
            )
        )
        return stored

    async def put_run(self, run: RunRecord, *, principal: str = LOCAL) -> None:
        """Remember a run of many sessions; durable when this returns."""
        self._require(AccessRequest(principal=principal, action=PutRun.__name__))
        await self._ask_persistence(PutRun(run))

    async def latest_run(self, *, principal: str = LOCAL) -> RunRecord | None:
        self._require(AccessRequest(principal=principal, action=GetLatestRun.__name__))
        run: RunRecord | None = await self._ask_persistence(GetLatestRun())
        return run

    async def flush(self) -> None:
        """Return when everything that happened before is durable."""
        await self._ask_persistence(Flush())

    async def close(self) -> None:
        """Abort what runs, unload every session, flush. The engine takes no commands after it.

        Not a matter of access: whoever has the engine may end it.
        """
        self._closed = True
        await self._ask_registry(CloseAll())
        await self.flush()
