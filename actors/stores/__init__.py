"""Where sessions live between turns: one contract, and the stores that keep it."""

from actors.stores.base import Store
from actors.stores.memory import MemoryStore
from actors.stores.sqlite import SqliteStore

__all__ = ["MemoryStore", "SqliteStore", "Store"]
