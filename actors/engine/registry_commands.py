"""What callers ask of the registry: a typed method for each command of its protocol."""

from __future__ import annotations

from actors.access import LOCAL
from actors.engine.asker import Asker, checked_id
from actors.engine.reports import MemoryEstimate, debug_text, estimate_memory
from actors.records import PoolStatus, SessionRuntime
from actors.registry.protocol import (
    CleanUpIdle,
    DeleteSession,
    GetActive,
    GetPoolStatus,
    GetRuntime,
    GetStatistics,
    ListRuntimes,
    OpenChat,
    RegisterSession,
    RegistryStatistics,
    ReleaseSession,
    SetActiveSession,
    SetMaxConcurrent,
    StartAutoCleanup,
    StopAutoCleanup,
    UnregisterSession,
)
from actors.roots import canonical_path
from actors.settings import EngineSettings

__all__ = ["RegistryCommands"]


class RegistryCommands(Asker):
    """Which sessions are known and loaded, who may run, who is looked at.

    `principal` is who asks; `FORBIDDEN` if that may not.
    """

    _settings: EngineSettings

    async def open_chat(self, path: str, expected_id: str | None = None, *, principal: str = LOCAL) -> str:
        """The id of the session in this chat file, which is kept open.

        `SESSION_MISMATCH` when it is not `expected_id`. Looks at the disk to follow links.
        """
        command = OpenChat(canonical_path(path), expected_id, principal)
        session_id: str = await self._ask_registry(command)
        return session_id

    async def register_session(self, session_id: str, *, principal: str = LOCAL) -> SessionRuntime:
        """Load a session and keep it known until it is unregistered. Twice is once."""
        runtime: SessionRuntime = await self._ask_registry(
            RegisterSession(checked_id(session_id), principal)
        )
        return runtime

    async def unregister_session(
        self,
        session_id: str,
        *,
        force: bool = False,
        keep_in_background: bool = False,
        principal: str = LOCAL,
    ) -> None:
        """Unload and forget a session; it stays in the store.

        An unfinished turn refuses it with `SESSION_BUSY`, is stopped by `force`, or goes on with
        `keep_in_background`: then the session stays known while it has unread answers.
        """
        await self._ask_registry(
            UnregisterSession(
                session_id=session_id,
                force=force,
                keep_in_background=keep_in_background,
                principal=principal,
            )
        )

    async def delete_session(self, session_id: str, *, principal: str = LOCAL) -> None:
        """Stop a session's turn, and remove the session from the store, durably."""
        await self._ask_registry(DeleteSession(checked_id(session_id), principal))

    async def release_session(self, session_id: str, *, principal: str = LOCAL) -> None:
        """Unload a session, aborting its turn if one is unfinished.

        It stays in the store, and the next command loads it again.
        """
        await self._ask_registry(ReleaseSession(checked_id(session_id), principal))

    async def runtime(self, session_id: str, *, principal: str = LOCAL) -> SessionRuntime | None:
        """What the registry knows of a session, None if nothing. Loads nothing."""
        runtime: SessionRuntime | None = await self._ask_registry(GetRuntime(session_id, principal))
        return runtime

    async def runtimes(self, *, principal: str = LOCAL) -> tuple[SessionRuntime, ...]:
        """Every session that is known and that the principal may see, the longest known first."""
        runtimes: tuple[SessionRuntime, ...] = await self._ask_registry(ListRuntimes(principal))
        return runtimes

    async def set_active_session(self, session_id: str | None, *, principal: str = LOCAL) -> None:
        """Say which session somebody looks at, or that it is none. Nothing of that one is unread then."""
        await self._ask_registry(SetActiveSession(session_id, principal))

    async def active_session(self, *, principal: str = LOCAL) -> str | None:
        session_id: str | None = await self._ask_registry(GetActive(principal))
        return session_id

    async def pool_status(self, *, principal: str = LOCAL) -> PoolStatus:
        status: PoolStatus = await self._ask_registry(GetPoolStatus(principal))
        return status

    async def set_max_concurrent(self, value: int, *, principal: str = LOCAL) -> None:
        """Change how many turns run at once, at least 1. Running turns are never stopped by this."""
        await self._ask_registry(SetMaxConcurrent(value, principal))

    async def start_auto_cleanup(
        self,
        interval_seconds: float | None = None,
        max_idle_seconds: float | None = None,
        *,
        principal: str = LOCAL,
    ) -> None:
        """Clean up idle sessions every so often from now on; None is what the settings say."""
        settings = self._settings
        interval = settings.cleanup_interval_seconds if interval_seconds is None else interval_seconds
        max_idle = settings.session_idle_seconds if max_idle_seconds is None else max_idle_seconds
        await self._ask_registry(StartAutoCleanup(interval, max_idle, principal))

    async def stop_auto_cleanup(self, *, principal: str = LOCAL) -> None:
        await self._ask_registry(StopAutoCleanup(principal))

    async def clean_up_idle(self, max_idle_seconds: float | None = None, *, principal: str = LOCAL) -> int:
        """Unload and forget the sessions that nobody used for so long; how many these are.

        None is what the settings say. Those with an unfinished turn, and the active one, are none of them.
        """
        max_idle = self._settings.session_idle_seconds if max_idle_seconds is None else max_idle_seconds
        count: int = await self._ask_registry(CleanUpIdle(max_idle, principal))
        return count

    async def registry_statistics(self, *, principal: str = LOCAL) -> RegistryStatistics:
        statistics: RegistryStatistics = await self._ask_registry(GetStatistics(principal))
        return statistics

    async def memory_estimate(self, *, principal: str = LOCAL) -> MemoryEstimate:
        """What the loaded sessions hold, as far as the principal may see them."""
        return estimate_memory(await self.runtimes(principal=principal))

    async def debug_report(self, *, principal: str = LOCAL) -> str:
        """The registry's state as text for people."""
        return debug_text(
            await self.runtimes(principal=principal),
            await self.pool_status(principal=principal),
            await self.active_session(principal=principal),
        )
