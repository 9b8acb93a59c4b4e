"""The file-first store with a folder for all that is created by a write, as the contract's tests do it."""

from __future__ import annotations

from collections.abc import Sequence

from actors.errors import ErrorInfo
from actors.records import PutSession, SessionWrite
from actors.stores import ChatFileStore, FileFirstStore, MemoryStore
from actors.stores.verdict import judge

__all__ = ["ChatFolder"]


class ChatFolder(FileFirstStore):
    """Makes a chat file for every write that may create a session; nothing goes to the main store."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.files = ChatFileStore((folder,))
        super().__init__(MemoryStore(), self.files)

    def commit(self, writes: Sequence[SessionWrite]) -> tuple[ErrorInfo | None, ...]:
        for write in writes:
            if self.files.holds(write.session_id):
                continue
            if isinstance(judge(write, None, lambda _: False), ErrorInfo):
                continue
            creation = write.ops[0]
            assert isinstance(creation, PutSession)
            self.create(self._folder, creation.record)
        return super().commit(writes)
