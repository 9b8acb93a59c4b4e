"""What callers ask of one session: a typed method for each command of its protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.access import LOCAL
from actors.agents import DEFAULT_EXECUTOR
from actors.conversation import Attachment, FileReference, Image
from actors.engine.asker import Asker, checked_items
from actors.events import TaskOutcome
from actors.records import ConfirmationOutcome
from actors.session.protocol import (
    AbortTurn,
    CancelToolCalls,
    ConfirmToolCall,
    DeleteMessage,
    EditMessage,
    GetPage,
    GetSnapshot,
    MarkRead,
    MessagePage,
    OnBusy,
    Rerun,
    ResumeTurn,
    RetryAnswer,
    SessionChanges,
    SessionSnapshot,
    SubmitTurn,
    SwitchBranch,
    UpdateSession,
    WaitTurn,
)

__all__ = ["SessionCommands"]


class SessionCommands(Asker):
    """The session is loaded if it is not. `principal` is who asks; `FORBIDDEN` if that may not.

    A `request_id` makes a command that begins a turn idempotent: said again, it gives the task that it
    began the first time. `expected_version` refuses a change with `CONFLICT` when the session's record has
    another `version` by now.
    """

    async def submit_turn(
        self,
        session_id: str,
        text: str,
        *,
        attachments: Sequence[Attachment] = (),
        images: Sequence[Image] = (),
        references: Sequence[FileReference] = (),
        priority: int = 0,
        executor_id: str = DEFAULT_EXECUTOR,
        on_busy: OnBusy = OnBusy.REJECT,
        request_id: str | None = None,
        principal: str = LOCAL,
    ) -> str:
        """Ask a question and return its task id as soon as it is durable; the answer streams on.

        While another turn is unfinished `on_busy` decides, by default `SESSION_BUSY`. `QUEUE_FULL` when no
        slot and no place is free. `EXECUTOR_NOT_FOUND` when there is no such agent, or not its model. After
        a refusal nothing is stored.
        """
        command = SubmitTurn(
            text=text,
            attachments=checked_items("attachments", attachments),
            images=checked_items("images", images),
            references=checked_items("references", references),
            priority=priority,
            executor_id=executor_id,
            on_busy=on_busy,
            request_id=request_id,
            principal=principal,
        )
        task_id: str = await self._deliver(session_id, command)
        return task_id

    async def resume_turn(
        self, session_id: str, *, priority: int = 0, request_id: str | None = None, principal: str = LOCAL
    ) -> str:
        """Have the last question answered that has no complete answer. Else as `submit_turn`."""
        command = ResumeTurn(priority=priority, request_id=request_id, principal=principal)
        task_id: str = await self._deliver(session_id, command)
        return task_id

    async def retry_answer(
        self,
        session_id: str,
        message_id: str,
        *,
        executor_id: str = DEFAULT_EXECUTOR,
        priority: int = 0,
        request_id: str | None = None,
        principal: str = LOCAL,
    ) -> str:
        """Have a question answered once more, beside the answer `message_id`. Else as `submit_turn`."""
        command = RetryAnswer(
            message_id=message_id,
            priority=priority,
            executor_id=executor_id,
            request_id=request_id,
            principal=principal,
        )
        task_id: str = await self._deliver(session_id, command)
        return task_id

    async def edit_message(
        self,
        session_id: str,
        message_id: str,
        text: str,
        *,
        rerun: bool = False,
        priority: int = 0,
        request_id: str | None = None,
        expected_version: int | None = None,
        principal: str = LOCAL,
    ) -> str | None:
        """Put another text in a user's message; durable when this returns.

        With `rerun` it is asked beside the old one, as `submit_turn` does, and this returns the task id.
        """
        command = EditMessage(
            message_id=message_id,
            text=text,
            rerun=rerun,
            priority=priority,
            request_id=request_id,
            expected_version=expected_version,
            principal=principal,
        )
        task_id: str | None = await self._deliver(session_id, command)
        return task_id

    async def rerun(
        self,
        session_id: str,
        input_data: Mapping[str, str] | None = None,
        *,
        priority: int = 0,
        request_id: str | None = None,
        principal: str = LOCAL,
    ) -> str:
        """Ask all questions of the visible branch again on a new branch, as one task; its id.

        `input_data` replaces `{{name}}` in the system prompt and in the questions.
        """
        command = Rerun(
            input_data=dict(input_data) if isinstance(input_data, Mapping) else input_data or {},
            priority=priority,
            request_id=request_id,
            principal=principal,
        )
        task_id: str = await self._deliver(session_id, command)
        return task_id

    async def confirm_tool_call(
        self,
        session_id: str,
        call_id: str,
        outcome: ConfirmationOutcome,
        *,
        digest: str | None = None,
        principal: str = LOCAL,
    ) -> str:
        """Let a tool call run that waits for it, or not. The task id, when that is durable.

        With the `digest` of the call that the person saw, it is that one or none (`CONFLICT`).
        """
        command = ConfirmToolCall(call_id=call_id, outcome=outcome, digest=digest, principal=principal)
        task_id: str = await self._deliver(session_id, command)
        return task_id

    async def cancel_tool_calls(
        self, session_id: str, call_ids: Sequence[str] | None = None, *, principal: str = LOCAL
    ) -> tuple[str, ...]:
        """Stop unfinished tool calls of the turn, these or all; the turn goes on with that. Their ids."""
        command = CancelToolCalls(
            call_ids=None if call_ids is None else checked_items("call ids", call_ids), principal=principal
        )
        stopped: tuple[str, ...] = await self._deliver(session_id, command)
        return stopped

    async def wait_turn(self, session_id: str, task_id: str, *, principal: str = LOCAL) -> TaskOutcome:
        """The outcome of a turn when it has ended and is durable, also if that was long ago.

        Also when it waits for a person: its status says so.
        """
        outcome: TaskOutcome = await self._deliver(session_id, WaitTurn(task_id, principal))
        return outcome

    async def run_turn(
        self,
        session_id: str,
        text: str,
        *,
        attachments: Sequence[Attachment] = (),
        images: Sequence[Image] = (),
        references: Sequence[FileReference] = (),
        priority: int = 0,
        executor_id: str = DEFAULT_EXECUTOR,
        principal: str = LOCAL,
    ) -> TaskOutcome:
        """`submit_turn`, then `wait_turn`. A failed or aborted turn is an outcome, not an exception."""
        task_id = await self.submit_turn(
            session_id,
            text,
            attachments=attachments,
            images=images,
            references=references,
            priority=priority,
            executor_id=executor_id,
            principal=principal,
        )
        return await self.wait_turn(session_id, task_id, principal=principal)

    async def abort_turn(
        self, session_id: str, task_id: str | None = None, *, principal: str = LOCAL
    ) -> bool:
        """Stop the unfinished turn, or only that one. What was streamed is kept. False: there was none."""
        aborted: bool = await self._deliver(session_id, AbortTurn(task_id, principal))
        return aborted

    async def delete_message(
        self,
        session_id: str,
        message_id: str,
        *,
        expected_version: int | None = None,
        principal: str = LOCAL,
    ) -> tuple[str, ...]:
        """Remove a question with its answers, or an answer with its tool calls; the ids that are gone."""
        command = DeleteMessage(
            message_id=message_id, expected_version=expected_version, principal=principal
        )
        gone: tuple[str, ...] = await self._deliver(session_id, command)
        return gone

    async def switch_branch(self, session_id: str, message_id: str, *, principal: str = LOCAL) -> None:
        """Make the branch visible that goes through this message, to its newest end."""
        await self._deliver(session_id, SwitchBranch(message_id=message_id, principal=principal))

    async def update_session(
        self,
        session_id: str,
        changes: SessionChanges,
        *,
        expected_version: int | None = None,
        principal: str = LOCAL,
    ) -> SessionSnapshot:
        """Change title, model, mode and so on; durable when this returns."""
        command = UpdateSession(changes=changes, expected_version=expected_version, principal=principal)
        snapshot: SessionSnapshot = await self._deliver(session_id, command)
        return snapshot

    async def mark_read(self, session_id: str, *, principal: str = LOCAL) -> None:
        """Nothing is unread any more."""
        await self._deliver(session_id, MarkRead(principal))

    async def snapshot(
        self, session_id: str, *, touch: bool = True, principal: str = LOCAL
    ) -> SessionSnapshot:
        """The session as it is now. Unless it is to `touch` the session, that does not count as used."""
        snapshot: SessionSnapshot = await self._deliver(session_id, GetSnapshot(principal), touch=touch)
        return snapshot

    async def page(
        self, session_id: str, *, skip: int = 0, take: int = 50, principal: str = LOCAL
    ) -> MessagePage:
        """Some messages of the visible branch. The session does not count as used by this."""
        command = GetPage(skip=skip, take=take, principal=principal)
        page: MessagePage = await self._deliver(session_id, command, touch=False)
        return page
