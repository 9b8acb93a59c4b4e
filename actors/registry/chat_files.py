"""Chat files by path: each is opened once, however many ask for it."""

from __future__ import annotations

from actors.errors import ErrorCode, ErrorInfo
from actors.persistence.protocol import ChatOpened, ChatRefused, OpenChatFile
from actors.registry.effects import Answered, Effect, Refused, TellPersistence
from actors.registry.protocol import REGISTRY_NAME, OpenChat
from actors.registry.state import RegistryState

__all__ = ["chat_opened", "chat_refused", "open_chat"]


def open_chat(state: RegistryState, message: OpenChat, request: int) -> list[Effect]:
    if state.ledger.refusal is not None:
        return [Refused(request, state.ledger.refusal)]
    session_id = state.ledger.paths.get(message.path)
    refusal = state.forbids(message.principal, message, session_id)
    if refusal is not None:
        return [Refused(request, refusal)]
    # Whoever expects another session is believed enough to look: files are moved and swapped.
    if session_id is not None and session_id == message.expected_id and session_id not in state.deleting:
        return [Answered(request, session_id)]
    waiting = state.opening.setdefault(message.path, [])
    waiting.append((message, request))
    if len(waiting) > 1:
        return []
    return [TellPersistence(OpenChatFile(REGISTRY_NAME, message.path))]


def chat_opened(state: RegistryState, opened: ChatOpened) -> list[Effect]:
    state.ledger.set_path(opened.path, opened.session_id)
    waiting = state.opening.pop(opened.path, [])
    return [_answer(message, opened.session_id, request) for message, request in waiting]


def chat_refused(state: RegistryState, refused: ChatRefused) -> list[Effect]:
    return [Refused(request, refused.error) for _, request in state.opening.pop(refused.path, [])]


def _answer(message: OpenChat, session_id: str, request: int) -> Answered | Refused:
    if message.expected_id in (None, session_id):
        return Answered(request, session_id)
    return Refused(
        request,
        ErrorInfo(
            ErrorCode.SESSION_MISMATCH,
            f"{message.path} is the chat {session_id}, not {message.expected_id}: open it by its own id, "
            "or look for the file of the other one",
            {"expected_id": message.expected_id or "", "found_id": session_id},
        ),
    )
