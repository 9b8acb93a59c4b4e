"""Faces of the engine in the shape of the documents that asked for them. All of them only send messages."""

from __future__ import annotations

from actors.facades.chat_client import (
    ChatClient,
    ConversationResult,
    ConversationStatus,
    CreateChatConfig,
    CreatedChat,
    OpenedChat,
)
from actors.facades.handlers import Unsubscribe
from actors.facades.session_registry import SessionRegistry
from actors.facades.session_view import Permission, SessionView

__all__ = [
    "ChatClient",
    "ConversationResult",
    "ConversationStatus",
    "CreateChatConfig",
    "CreatedChat",
    "OpenedChat",
    "Permission",
    "SessionRegistry",
    "SessionView",
    "Unsubscribe",
]
