"""The catalog actor: the only one that uses the service, and that says what the catalog is."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import outcome
import pykka

from actors.agents import AgentDefinition
from actors.catalog.catalog import Catalog, Entry, changes, with_kept_keys
from actors.catalog.checks import check_entry
from actors.catalog.protocol import (
    CatalogChanged,
    DeleteAgent,
    DeleteConnection,
    DeleteMcpServer,
    GetCatalog,
    SaveAgent,
    SaveConnection,
    SaveMcpServer,
    SubscribeCatalog,
)
from actors.catalog.service import AgentService
from actors.catalog.view import CatalogView
from actors.connections import Connection, McpServer
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.models.provider_registry import ProviderRegistry
from runtime import TrioActor, get_logger, handles

__all__ = ["BuildModels", "CatalogActor"]

_log = get_logger("catalog")

_READ_AGAIN_SECONDS = 10.0

BuildModels: TypeAlias = Callable[[Mapping[str, Connection]], Awaitable[ProviderRegistry]]
"""Makes the models of these connections, and of what there is besides; raises `EngineError`."""


class _Step(NamedTuple):
    """What the catalog is to be, and what subscribers are told of it."""

    catalog: Catalog
    models: ProviderRegistry
    changed: CatalogChanged


class _Job(NamedTuple):
    work: Callable[[], Awaitable[_Step]]
    reply: pykka.Future[Any] | None
    is_reading: bool = False


class _Done(NamedTuple):
    """The job under way has ended."""

    outcome: outcome.Value[_Step] | outcome.Error


class _ServiceChanged(NamedTuple):
    """The service holds something else than before, or so it says."""


class CatalogActor(TrioActor):
    """Reads the catalog from a service, changes it there, and publishes it in `view`.

    One job after another, each in a child task: the service may take its time. A save is answered when it
    is kept and published; one that is refused or fails changes nothing. A connection that others have
    broken stays as it was, and is logged. Only at the start it is an error, for all that wait for the
    catalog, as everything is that goes wrong then.

    Restarted by a supervisor it goes on from `view`; `init` is not called again.
    """

    expected_errors = (EngineError,)

    def __init__(self, service: AgentService, view: CatalogView, *, build: BuildModels) -> None:
        super().__init__()
        self._service = service
        self._view = view
        self._build = build
        self._jobs: deque[_Job] = deque()
        self._is_busy = False
        self._is_listening = False
        self._waiting: list[pykka.Future[Any]] = []
        self._failure: ErrorInfo | None = None
        self._stop_hearing: Callable[[], None] = _do_nothing

    def on_start(self) -> None:
        self._stop_hearing = self._service.on_change(self._service_changed)
        self._add(_Job(self._begin, None, is_reading=True))

    def on_stop(self) -> None:
        self._stop_hearing()

    def on_failure(self, *_: object, **__: object) -> None:
        self._stop_hearing()

    def _service_changed(self) -> None:
        with contextlib.suppress(pykka.ActorDeadError):  # a service may call late
            self.actor_ref.tell(_ServiceChanged())

    @handles(GetCatalog)
    def get(self, _: GetCatalog) -> Catalog | None:
        if self._view.is_loaded:
            return self._view.current
        if self._failure is not None:
            raise self._failure.to_exception()
        reply = self.defer()
        if reply is not None:
            self._waiting.append(reply)
        return None

    @handles(SaveAgent)
    def save_agent(self, message: SaveAgent) -> None:
        self._save(message.agent, lambda: self._service.save_agent(message.agent))

    @handles(SaveConnection)
    def save_connection(self, message: SaveConnection) -> None:
        self._save(message.connection, lambda: self._service.save_connection(message.connection))

    @handles(SaveMcpServer)
    def save_mcp_server(self, message: SaveMcpServer) -> None:
        self._save(message.server, lambda: self._service.save_mcp_server(message.server))

    @handles(DeleteAgent)
    def delete_agent(self, message: DeleteAgent) -> None:
        key = message.agent_id
        self._delete(AgentDefinition, key, lambda: self._service.delete_agent(key))

    @handles(DeleteConnection)
    def delete_connection(self, message: DeleteConnection) -> None:
        key = message.connection_id
        self._delete(Connection, key, lambda: self._service.delete_connection(key))

    @handles(DeleteMcpServer)
    def delete_mcp_server(self, message: DeleteMcpServer) -> None:
        key = message.server_id
        self._delete(McpServer, key, lambda: self._service.delete_mcp_server(key))

    @handles(SubscribeCatalog)
    def subscribe(self, message: SubscribeCatalog) -> None:
        if message.subscriber not in self._view.subscribers:
            self._view.subscribers += (message.subscriber,)

    @handles(_ServiceChanged)
    def service_changed(self, _: _ServiceChanged) -> None:
        # One that is under way may have read before the change; one that has not begun will see it.
        if not any(job.is_reading for job in list(self._jobs)[int(self._is_busy) :]):
            self._add(_Job(self._read, None, is_reading=True))

    @handles(_Done)
    def done(self, message: _Done) -> None:
        self._is_busy = False
        job = self._jobs.popleft()
        if isinstance(message.outcome, outcome.Value):
            self._publish(message.outcome.value)
            if job.reply is not None:
                job.reply.set(None)
        else:
            self._failed(job, _info_of(message.outcome.error))
        if self._view.is_loaded and not self._is_listening:
            self._is_listening = True
            self.spawn(self._listen)
        self._next()

    def _save(self, entry: Entry, keep: Callable[[], Awaitable[None]]) -> None:
        check_entry(entry)
        self._add(
            _Job(lambda: self._kept(self._view.current.saved(entry), keep, _said_of(entry)), self.defer())
        )

    def _delete(self, kind: type[Entry], key: str, keep: Callable[[], Awaitable[None]]) -> None:
        self._add(_Job(lambda: self._kept(self._view.current.deleted(kind, key), keep), self.defer()))

    def _add(self, job: _Job) -> None:
        self._jobs.append(job)
        self._next()

    def _next(self) -> None:
        if self._jobs and not self._is_busy:
            self._is_busy = True
            self.pipe(self._jobs[0].work, as_message=_Done)

    async def _kept(
        self, wanted: Catalog, keep: Callable[[], Awaitable[None]], said: CatalogChanged | None = None
    ) -> _Step:
        """What cannot be used is not kept, and what is not kept is not used."""
        current = self._view.current
        models = self._view.models
        if wanted.connections != current.connections:
            models = await self._build(wanted.connections)
        await keep()
        return _Step(wanted, models, said or changes(current, wanted))

    async def _begin(self) -> _Step:
        if self._view.is_loaded:
            return await self._read()
        await self._service.init()
        catalog = await self._read_service()
        for entry in catalog.entries():
            check_entry(entry)
        return _Step(catalog, await self._build(catalog.connections), changes(Catalog(), catalog))

    async def _read(self) -> _Step:
        current = self._view.current
        catalog = await self._read_service()
        models = self._view.models
        if catalog.connections != current.connections:
            connections, models = await self._sound(dict(catalog.connections), current.connections)
            catalog = Catalog.of(
                catalog.agents.values(), connections.values(), catalog.mcp_servers.values()
            )
        return _Step(catalog, models, changes(current, catalog))

    async def _read_service(self) -> Catalog:
        agents = await self._service.get_agents()
        connections = await self._service.get_connections()
        servers = await self._service.get_mcp_servers()
        return Catalog.of(agents, with_kept_keys(self._view.current.connections, connections), servers)

    async def _sound(
        self, wanted: dict[str, Connection], old: Mapping[str, Connection]
    ) -> tuple[Mapping[str, Connection], ProviderRegistry]:
        """The connections without those that cannot be used, which stay as they were, and their models."""
        while True:
            try:
                return wanted, await self._build(wanted)
            except EngineError as error:
                name = error.details.get("connection")
                if not isinstance(name, str) or name not in wanted or wanted[name] == old.get(name):
                    raise  # not one that has just come
                _log.error("connection not taken over", connection=name, reason=error.message)
                if name in old:
                    wanted[name] = old[name]
                else:
                    del wanted[name]

    def _publish(self, step: _Step) -> None:
        self._view.publish(step.catalog, step.models)
        waiting, self._waiting = self._waiting, []
        for reply in waiting:
            reply.set(step.catalog)
        if step.changed != CatalogChanged():
            self._tell_subscribers(step.changed)

    def _tell_subscribers(self, changed: CatalogChanged) -> None:
        found = {name: self.system.find(name) for name in self._view.subscribers}
        self._view.subscribers = tuple(name for name, ref in found.items() if ref is not None)
        for name in self._view.subscribers:
            self.send(found[name], changed)

    def _failed(self, job: _Job, error: ErrorInfo) -> None:
        if job.reply is not None:
            _refuse(job.reply, error)
            return
        _log.error("the catalog cannot be read", reason=error.message)
        if not self._view.is_loaded:
            self._failure = error
            waiting, self._waiting = self._waiting, []
            for reply in waiting:
                _refuse(reply, error)
        elif error.retryable:  # nobody would tell of the same change again
            self.timers.start(_ServiceChanged, _READ_AGAIN_SECONDS, _ServiceChanged())

    async def _listen(self) -> None:
        try:
            await self._service.listen()
        except Exception:  # noqa: BLE001 - translation edge: a service is foreign code
            _log.exception("changes of the catalog are not heard any more")


def _said_of(entry: Entry) -> CatalogChanged:
    """What is saved again is said again, the same or not."""
    match entry:
        case AgentDefinition(agent_id=key):
            return CatalogChanged(agents=(key,))
        case Connection(connection_id=key):
            return CatalogChanged(connections=(key,))
        case McpServer(server_id=key):
            return CatalogChanged(mcp_servers=(key,))


def _info_of(error: BaseException) -> ErrorInfo:
    if isinstance(error, EngineError):
        return error.info
    _log.error("the catalog's service failed", exc_info=error)
    return ErrorInfo(
        ErrorCode.EXECUTION_FAILED, f"the service that keeps the catalog failed: {type(error).__name__}"
    )


def _refuse(reply: pykka.Future[Any], error: ErrorInfo) -> None:
    reply.set_exception((EngineError, error.to_exception(), None))


def _do_nothing() -> None:
    pass
