"""One viewer's window on a session, which can be turned to another one at any time."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import pykka

from actors.access import LOCAL
from actors.agents import DEFAULT_EXECUTOR
from actors.conversation import Attachment
from actors.engine import Engine
from actors.errors import EngineError, ErrorCode
from actors.events import Event, Lagged, TaskOutcome
from actors.facades.handlers import HandlerThread, Unsubscribe
from actors.facades.permissions import Permission, may_delete, may_edit, may_retry
from actors.facades.view_actor import AddListener, GetShown, RemoveListener, Shown, ViewActor
from actors.groups import MessageGroup
from actors.markdown import session_markdown
from actors.records import SessionStatus
from actors.session.protocol import Cursor, SubscriptionStarted
from actors.tree import visible_branch
from runtime import ActorRef

__all__ = ["EventHandler", "SessionView"]

EventHandler: TypeAlias = Callable[[Event | Lagged], object]

_Binding: TypeAlias = tuple[str, ActorRef[ViewActor]]


class SessionView:
    """Shows one session at a time, and passes on what its viewer does. It owns nothing of the session.

    Unbound it shows nothing, and refuses what needs a session (`SESSION_INVALID`). For trio and asyncio,
    in any thread; from synchronous code use `EngineThread.call`. Leave it with `destroy`, or use it as an
    async context manager; the session goes on.
    """

    def __init__(self, engine: Engine, *, principal: str = LOCAL) -> None:
        self._engine = engine
        self._principal = principal
        self._binding: _Binding | None = None
        self._version = 0
        self._handlers: dict[str, HandlerThread[Event | Lagged]] = {}
        self._destroyed = False

    async def __aenter__(self) -> SessionView:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.destroy()

    # --- binding ------------------------------------------------------------------------------------

    async def bind_session(self, session_id: str) -> None:
        """Turn to a session, which is loaded if need be; what it showed before it shows no more.

        Turned again before this is done, only the last one counts: the earlier call returns and has changed
        nothing.
        """
        self._check_alive()
        self.unbind_session()
        version = self._version
        await self._engine.register_session(session_id, principal=self._principal)
        if version != self._version:
            return
        name = f"view/{uuid.uuid4()}"

        async def follow(subscriber: str, cursor: Cursor | None) -> SubscriptionStarted:
            return await self._engine.subscribe(session_id, subscriber, cursor, principal=self._principal)

        ref = self._engine.spawn_actor(name, ViewActor, name, follow, tuple(self._handlers))
        self._binding = (session_id, ref)
        try:
            await self._ask(ref)
        except EngineError:
            if version != self._version:
                return  # it was turned to another one meanwhile
            self.unbind_session()
            raise

    def unbind_session(self) -> None:
        """Show nothing. The session is not touched."""
        self._version += 1
        if self._binding is not None:
            _, ref = self._binding
            self._binding = None
            ref.stop(block=False)

    def destroy(self) -> None:
        """Let go of everything, event handlers too. Idempotent; a turn goes on in the background."""
        self._destroyed = True
        self.unbind_session()
        handlers, self._handlers = self._handlers, {}
        for handler in handlers.values():
            handler.stop()

    def get_current_session_id(self) -> str | None:
        return None if self._binding is None else self._binding[0]

    # --- what it shows ------------------------------------------------------------------------------

    async def get_sessions(self) -> tuple[MessageGroup, ...]:
        """The visible conversation in groups, the oldest first."""
        return (await self._shown()).groups

    async def get_status(self) -> SessionStatus | Literal["unbound"]:
        return "unbound" if self._binding is None else (await self._shown()).record.status

    async def is_generating(self) -> bool:
        """Whether a turn is queued or running; one that waits for a person is neither."""
        return self._binding is not None and (await self._shown()).is_generating

    async def show(self) -> Shown:
        """Everything that is shown at one moment."""
        return await self._shown()

    async def export_to_markdown(self) -> str:
        shown = await self._shown()
        branch = visible_branch(shown.messages, shown.record.active_leaf_id)
        return session_markdown(shown.record, branch, frozenset())

    def on_event(self, handler: EventHandler) -> Unsubscribe:
        """Call `handler` in a thread of its own for every event of the session that is bound then.

        See `HandlerThread`. A `Lagged` says that events are missing.
        """
        self._check_alive()
        name = f"handler/{uuid.uuid4()}"
        subscriber = self._engine.spawn_subscriber(name)
        self._handlers[name] = HandlerThread(subscriber, handler)
        if self._binding is not None:
            self._binding[1].tell(AddListener(name))

        def stop() -> None:
            thread = self._handlers.pop(name, None)
            if thread is not None:
                thread.stop()
            if thread is not None and self._binding is not None:
                self._binding[1].tell(RemoveListener(name))

        return Unsubscribe(stop)

    # --- what its viewer does -----------------------------------------------------------------------

    async def run_user_query(
        self, text: str, files: Sequence[Attachment] = (), executor_id: str = DEFAULT_EXECUTOR
    ) -> TaskOutcome:
        """Ask, and wait until the turn is settled. A turn that fails or is stopped raises its error."""
        session_id = self._bound()
        task_id = await self._engine.submit_turn(
            session_id,
            text,
            attachments=tuple(files),
            executor_id=executor_id,
            principal=self._principal,
        )
        return await self._settled(session_id, task_id)

    async def abort(self) -> None:
        """Stop the turn; returns at once."""
        await self._engine.abort_turn(self._bound(), principal=self._principal)

    async def delete_message(self, message_id: str) -> tuple[str, ...]:
        """Remove a message and what belongs to it; the ids that are gone."""
        return await self._engine.delete_message(self._bound(), message_id, principal=self._principal)

    async def edit_message(self, message_id: str, content: str, *, auto_rerun: bool = False) -> None:
        """Put another text in a user's message; with `auto_rerun` ask it beside and wait for the answer."""
        session_id = self._bound()
        task_id = await self._engine.edit_message(
            session_id, message_id, content, rerun=auto_rerun, principal=self._principal
        )
        if task_id is not None:
            await self._settled(session_id, task_id)

    async def retry_generation(
        self, assistant_id: str, *, executor_id: str = DEFAULT_EXECUTOR
    ) -> TaskOutcome:
        """Have a question answered once more, beside this answer, and wait for it."""
        session_id = self._bound()
        task_id = await self._engine.retry_answer(
            session_id, assistant_id, executor_id=executor_id, principal=self._principal
        )
        return await self._settled(session_id, task_id)

    async def can_delete_message(self, message_id: str) -> Permission:
        shown = await self._shown_if_bound()
        return _NOT_BOUND if shown is None else may_delete(shown.record, shown.messages, message_id)

    async def can_edit(self, message_id: str) -> Permission:
        shown = await self._shown_if_bound()
        return _NOT_BOUND if shown is None else may_edit(shown.record, shown.messages, message_id)

    async def can_retry(self, message_id: str) -> Permission:
        shown = await self._shown_if_bound()
        return _NOT_BOUND if shown is None else may_retry(shown.record, shown.messages, message_id)

    # --- inside -------------------------------------------------------------------------------------

    async def _settled(self, session_id: str, task_id: str) -> TaskOutcome:
        outcome = await self._engine.wait_turn(session_id, task_id, principal=self._principal)
        if outcome.status in (SessionStatus.FAILED, SessionStatus.ABORTED):
            error = outcome.error
            if error is None:
                raise EngineError(ErrorCode.ABORTED, "the turn was stopped")
            raise error.to_exception()
        return outcome

    async def _shown_if_bound(self) -> Shown | None:
        return None if self._binding is None else await self._shown()

    async def _shown(self) -> Shown:
        self._bound()
        assert self._binding is not None
        return await self._ask(self._binding[1])

    async def _ask(self, ref: ActorRef[ViewActor]) -> Shown:
        try:
            shown: Shown = await ref.ask(GetShown(), block=False)
        except pykka.ActorDeadError:
            raise EngineError(
                ErrorCode.SESSION_INVALID, "the view was turned away, or the engine is closed"
            ) from None
        return shown

    def _bound(self) -> str:
        self._check_alive()
        if self._binding is None:
            raise EngineError(ErrorCode.SESSION_INVALID, "the view shows no session: bind one")
        return self._binding[0]

    def _check_alive(self) -> None:
        if self._destroyed:
            raise EngineError(ErrorCode.SESSION_INVALID, "the view is destroyed: make another one")


_NOT_BOUND = Permission(allowed=False, reason="the view shows no session")
