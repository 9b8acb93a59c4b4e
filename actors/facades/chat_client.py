"""Chats that are files: nine operations, by path and session id."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from actors.access import LOCAL
from actors.conversation import Attachment, Usage
from actors.engine import Engine
from actors.engine.asker import checked
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.events import TaskOutcome
from actors.records import CallRecord, ChatMode, ConfirmationOutcome, FileStatus, SessionStatus
from actors.roots import canonical_path
from actors.session.protocol import NewSession, SessionChanges, SessionSnapshot
from runtime import get_logger

__all__ = [
    "ChatClient",
    "ConversationResult",
    "ConversationStatus",
    "CreateChatConfig",
    "CreatedChat",
    "OpenedChat",
]


_log = get_logger("chat")


class CreateChatConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a new chat starts with; everything has a default.

    `prompt` is the system prompt, `knowledge` are texts that stand behind it. With `new_task` the chat
    gets a folder of its own.
    """

    mode: ChatMode = ChatMode.CHAT
    model: str = ""
    title: str = ""
    prompt: str = ""
    knowledge: tuple[str, ...] = ()
    new_task: bool = False


class CreatedChat(msgspec.Struct, frozen=True):
    absolute_file_path: str
    chat_session_id: str


class OpenedChat(msgspec.Struct, frozen=True):
    """A chat as it was when it was asked for, and its file as it was at the last write."""

    absolute_file_path: str
    chat_session_id: str
    file_status: FileStatus
    snapshot: SessionSnapshot


class ConversationStatus(StrEnum):
    """How a turn was settled."""

    COMPLETE = "complete"
    WAITING_CONFIRMATION = "waiting_confirmation"
    MAX_TURNS_REACHED = "max_turns_reached"
    ABORTED = "aborted"
    FAILED = "failed"


class ConversationResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a turn stands when it goes on no more by itself.

    `content` is the last answer, partial if the turn was cut. `pending_tool_calls` wait for
    `ChatClient.confirm_tool_call`.
    """

    status: ConversationStatus
    task_id: str
    content: str = ""
    pending_tool_calls: tuple[CallRecord, ...] = ()
    error: ErrorInfo | None = None
    usage: Usage | None = None


_STATUSES = {
    SessionStatus.COMPLETED: ConversationStatus.COMPLETE,
    SessionStatus.WAITING_CONFIRMATION: ConversationStatus.WAITING_CONFIRMATION,
    SessionStatus.MAX_TURNS_REACHED: ConversationStatus.MAX_TURNS_REACHED,
    SessionStatus.ABORTED: ConversationStatus.ABORTED,
    SessionStatus.FAILED: ConversationStatus.FAILED,
}


class ChatClient:
    """The chats of an engine as files, `NAME.chat.json` inside its project roots.

    It keeps nothing: each operation finds the session of the path, checks that it is the one with the id
    (`SESSION_MISMATCH`, naming both, before anything is stored or asked), and sends it a command. Paths
    may be relative or lead over links; one file is one session. For trio and asyncio, in any thread; from
    synchronous code use `EngineThread.call`. All operations raise `EngineError`.
    """

    def __init__(self, engine: Engine, *, principal: str = LOCAL) -> None:
        self._engine = engine
        self._principal = principal

    async def create_chat(
        self, target_directory: str | os.PathLike[str], config: CreateChatConfig | None = None
    ) -> CreatedChat:
        """Make a chat file with the next free number in a directory, and load its session."""
        config = checked(config or CreateChatConfig())
        new = NewSession(
            title=config.title,
            model=config.model,
            system_prompt=config.prompt,
            mode=config.mode,
            knowledge=config.knowledge,
        )
        path, session_id = await self._engine.create_chat_file(
            _text_of(target_directory), new, new_task=config.new_task, principal=self._principal
        )
        await self._engine.snapshot(session_id, principal=self._principal)
        return CreatedChat(path, session_id)

    async def send_message(
        self,
        absolute_file_path: str | os.PathLike[str],
        chat_session_id: str,
        message: str,
        attachments: Sequence[Attachment] = (),
    ) -> ConversationResult:
        """Ask, and wait until the turn is settled. `SESSION_BUSY` while another one is not."""
        await self._check(absolute_file_path, chat_session_id)
        task_id = await self._engine.submit_turn(
            chat_session_id, message, attachments=tuple(attachments), principal=self._principal
        )
        _log.info(
            "message for a chat",
            path=_text_of(absolute_file_path),
            session_id=chat_session_id,
            message_length=len(message),
        )
        return await self._settlement(chat_session_id, task_id)

    async def rerun_chat(
        self,
        absolute_file_path: str | os.PathLike[str],
        chat_session_id: str,
        input_data: Mapping[str, str] | None = None,
    ) -> ConversationResult:
        """Ask all questions again, in order, on a new branch; the result is that of the last one.

        `input_data` gives values to the `{{name}}` of the prompt and the questions. A turn that fails ends
        it.
        """
        await self._check(absolute_file_path, chat_session_id)
        task_id = await self._engine.rerun(chat_session_id, input_data or {}, principal=self._principal)
        return await self._settlement(chat_session_id, task_id)

    async def confirm_tool_call(
        self,
        absolute_file_path: str | os.PathLike[str],
        chat_session_id: str,
        tool_call_id: str,
        outcome: ConfirmationOutcome,
    ) -> ConversationResult:
        """Approve or deny a tool call that waits, and wait until the turn that goes on is settled."""
        await self._check(absolute_file_path, chat_session_id)
        task_id = await self._engine.confirm_tool_call(
            chat_session_id,
            tool_call_id,
            _known(outcome),
            principal=self._principal,
        )
        return await self._settlement(chat_session_id, task_id)

    async def abort_chat(self, absolute_file_path: str | os.PathLike[str], chat_session_id: str) -> None:
        """Stop the unfinished turn, if there is one; it has ended when this returns."""
        await self._check(absolute_file_path, chat_session_id)
        snapshot = await self._engine.snapshot(chat_session_id, principal=self._principal)
        task = snapshot.record.task
        if await self._engine.abort_turn(chat_session_id, principal=self._principal) and task is not None:
            await self._engine.wait_turn(chat_session_id, task.task_id, principal=self._principal)

    async def get_or_load_chat_session(self, absolute_file_path: str | os.PathLike[str]) -> OpenedChat:
        """The chat at this path, loaded if it was not."""
        path = canonical_path(_text_of(absolute_file_path))
        session_id = await self._engine.open_chat(path, principal=self._principal)
        snapshot = await self._engine.snapshot(session_id, principal=self._principal)
        return await self._opened(path, session_id, snapshot)

    async def load_chat_from_file(self, file_path: str | os.PathLike[str]) -> str:
        """The session id of the chat at this path, loaded if it was not."""
        opened = await self.get_or_load_chat_session(file_path)
        return opened.chat_session_id

    async def update_chat(
        self, absolute_file_path: str | os.PathLike[str], changes: Mapping[str, object]
    ) -> OpenedChat:
        """Change fields of a chat: those of `SessionChanges`, and `prompt`.

        Others are refused (`INVALID_ARGUMENT`), an unfinished turn too (`SESSION_BUSY`).
        """
        checked = _changes(changes)
        path = canonical_path(_text_of(absolute_file_path))
        session_id = await self._engine.open_chat(path, principal=self._principal)
        snapshot = await self._engine.update_session(session_id, checked, principal=self._principal)
        return await self._opened(path, session_id, snapshot)

    async def delete_chat(self, absolute_file_path: str | os.PathLike[str]) -> None:
        """Stop the chat's turn, unload it, remove its file."""
        path = canonical_path(_text_of(absolute_file_path))
        session_id = await self._engine.open_chat(path, principal=self._principal)
        await self._engine.delete_session(session_id, principal=self._principal)

    async def _check(self, path: str | os.PathLike[str], chat_session_id: str) -> None:
        await self._engine.open_chat(_text_of(path), chat_session_id, principal=self._principal)

    async def _opened(self, path: str, session_id: str, snapshot: SessionSnapshot) -> OpenedChat:
        status = await self._engine.chat_file_status(session_id, principal=self._principal)
        return OpenedChat(path, session_id, status, snapshot)

    async def _settlement(self, session_id: str, task_id: str) -> ConversationResult:
        outcome = await self._engine.wait_turn(session_id, task_id, principal=self._principal)
        return _result(outcome)


def _text_of(path: str | os.PathLike[str]) -> str:
    try:
        return os.fsdecode(path)
    except TypeError as error:
        raise EngineError(ErrorCode.INVALID_ARGUMENT, f"that is no path: {error}") from None


def _known(outcome: ConfirmationOutcome) -> ConfirmationOutcome:
    try:
        return ConfirmationOutcome(outcome)
    except ValueError:
        known = ", ".join(ConfirmationOutcome)
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, f"a tool call is one of {known}, not {outcome!r}"
        ) from None


def _result(outcome: TaskOutcome) -> ConversationResult:
    return ConversationResult(
        status=_STATUSES[outcome.status],
        task_id=outcome.task_id,
        content=outcome.answer,
        pending_tool_calls=outcome.pending_calls,
        error=outcome.error,
        usage=outcome.usage,
    )


def _changes(changes: Mapping[str, object]) -> SessionChanges:
    named = {("system_prompt" if name == "prompt" else name): value for name, value in changes.items()}
    unknown = [name for name in named if name not in SessionChanges.__struct_fields__]
    if unknown:
        known = ", ".join(sorted({*SessionChanges.__struct_fields__, "prompt"}))
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, f"{unknown[0]!r} cannot be changed; these can: {known}"
        )
    try:
        return msgspec.convert(named, SessionChanges)
    except msgspec.ValidationError as error:
        raise EngineError(ErrorCode.INVALID_ARGUMENT, f"that cannot be a chat's: {error}") from None
