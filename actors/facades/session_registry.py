"""The sessions of an engine as the documents' registry shows them: live ones, by id."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from actors.access import LOCAL
from actors.agents import DEFAULT_EXECUTOR
from actors.conversation import Attachment
from actors.engine import Engine, MemoryEstimate
from actors.events import GlobalEvent, Lagged
from actors.facades.handlers import HandlerThread, Unsubscribe
from actors.facades.session_view import EventHandler
from actors.groups import MessageGroup
from actors.markdown import session_markdown
from actors.projections import message_groups
from actors.records import PoolStatus, SessionRuntime, SessionStatus
from actors.registry.protocol import global_subscriber_name

__all__ = ["GlobalHandler", "SessionRegistry"]

GlobalHandler: TypeAlias = Callable[[GlobalEvent | Lagged], object]


class SessionRegistry:
    """The pool, the queue and the sessions that the engine knows. It keeps nothing itself.

    Two of them on one engine show the same. For trio and asyncio, in any thread; from synchronous code use
    `EngineThread.call`. Everything raises `EngineError`; an unknown session is `SESSION_NOT_FOUND`.
    """

    def __init__(self, engine: Engine, *, principal: str = LOCAL) -> None:
        self._engine = engine
        self._principal = principal

    # --- sessions -----------------------------------------------------------------------------------

    async def register_session(self, session_id: str) -> SessionRuntime:
        """Load a session and keep it known. Twice is once."""
        return await self._engine.register_session(session_id, principal=self._principal)

    async def unregister_session(
        self, session_id: str, *, force: bool = False, keep_in_background: bool = False
    ) -> None:
        """Unload and forget a session. An unfinished turn must be `force`d to end, or go on unseen."""
        await self._engine.unregister_session(
            session_id, force=force, keep_in_background=keep_in_background, principal=self._principal
        )

    async def set_active_session(self, session_id: str | None) -> None:
        """Say which session somebody looks at: nothing of it is unread."""
        await self._engine.set_active_session(session_id, principal=self._principal)

    async def get_active_session_id(self) -> str | None:
        return await self._engine.active_session(principal=self._principal)

    async def get_session_runtime(self, session_id: str) -> SessionRuntime | None:
        return await self._engine.runtime(session_id, principal=self._principal)

    async def get_session_messages(self, session_id: str) -> tuple[MessageGroup, ...]:
        """The visible conversation in groups, the same that a view shows."""
        snapshot = await self._engine.snapshot(session_id, touch=False, principal=self._principal)
        return message_groups(snapshot.messages, snapshot.record.active_leaf_id, snapshot.record.task)

    async def get_all_sessions(self) -> tuple[SessionRuntime, ...]:
        return await self._engine.runtimes(principal=self._principal)

    async def get_running_sessions(self) -> tuple[SessionRuntime, ...]:
        return await self._with_status(SessionStatus.RUNNING)

    async def get_failed_sessions(self) -> tuple[SessionRuntime, ...]:
        return await self._with_status(SessionStatus.FAILED)

    async def get_unread_sessions(self) -> tuple[SessionRuntime, ...]:
        return tuple(known for known in await self.get_all_sessions() if known.unread_count)

    async def _with_status(self, status: SessionStatus) -> tuple[SessionRuntime, ...]:
        return tuple(known for known in await self.get_all_sessions() if known.status is status)

    # --- turns --------------------------------------------------------------------------------------

    async def submit_task(
        self,
        session_id: str,
        text: str,
        files: Sequence[Attachment] = (),
        executor_id: str = DEFAULT_EXECUTOR,
        *,
        priority: int = 0,
    ) -> str:
        """Ask; the task id, when the question is durable. Larger priorities run first."""
        return await self._engine.submit_turn(
            session_id,
            text,
            attachments=tuple(files),
            executor_id=executor_id,
            priority=priority,
            principal=self._principal,
        )

    async def abort_session(self, session_id: str) -> None:
        """Stop the session's turn, running or queued; what was answered is kept."""
        await self._engine.abort_turn(session_id, principal=self._principal)

    async def delete_message(self, session_id: str, message_id: str) -> tuple[str, ...]:
        return await self._engine.delete_message(session_id, message_id, principal=self._principal)

    async def edit_message(
        self, session_id: str, message_id: str, content: str, *, auto_rerun: bool = False
    ) -> str | None:
        """Put another text in a user's message; with `auto_rerun` ask it beside: the task id."""
        return await self._engine.edit_message(
            session_id, message_id, content, rerun=auto_rerun, principal=self._principal
        )

    async def retry_generation(
        self, session_id: str, assistant_id: str, *, agent_id: str = DEFAULT_EXECUTOR
    ) -> str:
        """Have a question answered once more, by another agent if one is named; the task id."""
        return await self._engine.retry_answer(
            session_id, assistant_id, executor_id=agent_id, principal=self._principal
        )

    # --- the pool -----------------------------------------------------------------------------------

    async def get_pool_status(self) -> PoolStatus:
        return await self._engine.pool_status(principal=self._principal)

    async def set_max_concurrent(self, value: int) -> None:
        await self._engine.set_max_concurrent(value, principal=self._principal)

    async def start_auto_cleanup(
        self,
        interval_seconds: float | None = None,
        max_idle_seconds: float | None = None,
    ) -> Callable[[], Awaitable[None]]:
        """Unload what nobody uses, every so often; what is returned stops it.

        None is what the settings say.
        """
        await self._engine.start_auto_cleanup(interval_seconds, max_idle_seconds, principal=self._principal)
        return self.stop_auto_cleanup

    async def stop_auto_cleanup(self) -> None:
        await self._engine.stop_auto_cleanup(principal=self._principal)

    async def cleanup_idle_sessions(self, max_idle_seconds: float | None = None) -> int:
        """Unload and forget the sessions that nobody used for so long; how many these are."""
        return await self._engine.clean_up_idle(max_idle_seconds, principal=self._principal)

    async def get_memory_estimate(self) -> MemoryEstimate:
        return await self._engine.memory_estimate(principal=self._principal)

    async def export_to_markdown(self, session_id: str) -> str:
        """As the view of the same session exports it."""
        snapshot = await self._engine.snapshot(session_id, touch=False, principal=self._principal)
        return session_markdown(snapshot.record, snapshot.branch, frozenset())

    async def debug(self) -> str:
        return await self._engine.debug_report(principal=self._principal)

    # --- events -------------------------------------------------------------------------------------

    async def on_global_event(self, handler: GlobalHandler) -> Unsubscribe:
        """Call `handler` in a thread of its own for every global event from now on. See `HandlerThread`."""
        name = global_subscriber_name(str(uuid.uuid4()))
        subscriber = self._engine.spawn_subscriber(name)
        try:
            await self._engine.subscribe_all(name, principal=self._principal)
        except BaseException:
            subscriber.stop(block=False)
            raise
        return Unsubscribe(HandlerThread(subscriber, handler).stop)

    async def on_session_event(self, session_id: str, handler: EventHandler) -> Unsubscribe:
        """The same for the events of one session, loaded or not."""
        name = f"handler/{uuid.uuid4()}"
        subscriber = self._engine.spawn_subscriber(name)
        try:
            await self._engine.subscribe(session_id, name, None, principal=self._principal)
        except BaseException:
            subscriber.stop(block=False)
            raise
        return Unsubscribe(HandlerThread(subscriber, handler).stop)
