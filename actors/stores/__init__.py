"""Where sessions live between turns: one contract, and the stores that keep it."""

from actors.stores.base import ChatFiles, Sessions, Store
from actors.stores.chat_file import ChatFileStore
from actors.stores.chat_naming import generate_new_chat_file_path, get_next_chat_number
from actors.stores.chat_repository import ChatRepository
from actors.stores.file_first import FileFirstStore
from actors.stores.memory import MemoryStore
from actors.stores.sqlite import SqliteStore

__all__ = [
    "ChatFileStore",
    "ChatFiles",
    "ChatRepository",
    "FileFirstStore",
    "MemoryStore",
    "Sessions",
    "SqliteStore",
    "Store",
    "generate_new_chat_file_path",
    "get_next_chat_number",
]
