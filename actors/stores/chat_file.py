"""The file-first store: each session is one `NAME.chat.json` of its user, always complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import uuid4

import msgspec

from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.records import FileStatus, SessionRecord, SessionSummary, SessionWrite, StoredSession
from actors.stores.atomic_file import NotAFileError, create_file, digest_of, file_errors, read_file
from actors.stores.chat_document import ChatDocument, decode_document, encode_document
from actors.stores.chat_naming import conflict_copy_path
from actors.stores.chat_repository import ChatFile, ChatRepository
from actors.stores.kept_session import KeptSession
from actors.stores.open_chat import OpenChat
from actors.stores.project_roots import ProjectRoots
from actors.stores.tombstones import Tombstones
from actors.stores.verdict import Head, no_such_session, refuse_deleted, refuse_unknown

__all__ = ["ChatFileStore"]


class ChatFileStore:
    """Keeps the sessions of the chat files that are open in it, by the rules of `Sessions` and `ChatFiles`.

    A file is written as a whole by every commit and load, atomically, after a look whether it is still
    what the store saw last. One that is not is never written over:

    - moved or missing: nothing is written, verdict `CONFLICT`; opening the new path goes on with it.
    - changed by somebody else: a load takes the new content. A write of who has not seen it gets
      `CONFLICT`, and the session with that write goes to `NAME.conflict-N.chat.json`.

    The verdict's `file_status` says which. A file whose disk fails gets `PERSISTENCE_FAILED` as its
    verdict, and harms no other. Between that look and the write nothing keeps others out.

    One session is one file, by symlinks, hard links and relative paths alike. A save gives the path a new
    inode, so that a hard link keeps the old content; while the store is open it still leads to the session.
    """

    def __init__(
        self, roots: Sequence[str] = (), *, new_id: Callable[[], str] = lambda: str(uuid4())
    ) -> None:
        self._roots = ProjectRoots(roots)
        self._repository = ChatRepository(self._roots)
        self._new_id = new_id
        self._open: dict[str, OpenChat] = {}
        self._ids: dict[Path, str] = {}
        # With the epochs that they had: a file that its user put back is opened above them.
        self._deleted = Tombstones()

    @property
    def blocking(self) -> bool:
        return bool(self._roots)  # without project folders every file is refused, and no disk is asked

    def holds(self, session_id: str) -> bool:
        """Whether this session's writes belong here: its file is open, or was when it was deleted."""
        return session_id in self._open or session_id in self._deleted

    def file_status(self, session_id: str) -> FileStatus:
        """Raises `EngineError` with `SESSION_NOT_FOUND`."""
        return self._find(session_id).status

    # -- chat files --

    def create(self, directory: str, record: SessionRecord, *, new_task: bool = False) -> str:
        session_id = record.session_id
        assert not self.holds(session_id)
        session = KeptSession(record, (), Head(epoch=1, revision=0))
        file = self._repository.create_new_file(
            directory, ChatDocument.of(session.stored()), new_task=new_task
        )
        return str(self._keep(session_id, file, session).path)

    def open(self, path: str) -> str:
        place = self._roots.chat(path)
        known = self._ids.get(place)
        if known is not None and self._look(self._open[known]) is FileStatus.SAVED:
            return known
        file = self._repository.load_from_file(str(place))
        session_id = file.document.session.session_id
        owner = self._open.get(session_id)
        if owner is None:
            session = KeptSession.of(file.document.stored())
            epoch = self._deleted.remove(session_id)
            session.head = Head(max(epoch + 1, session.head.epoch), session.head.revision)
            self._keep(session_id, file, session)
        elif owner.path != place:
            if self._look(owner) is FileStatus.MISSING:
                self._move(owner, session_id, place)
            elif (file.stamp.device, file.stamp.inode) not in owner.links:
                raise _copied(owner.path, place, session_id)
        return session_id

    def fork(self, path: str) -> str:
        place = self._roots.chat(path)
        if place in self._ids:
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"{place}: this is session {self._ids[place]} itself; copy the file, and fork the copy",
                path=str(place),
            )
        document = self._repository.load_from_file(str(place)).document
        session_id = self._new_id()
        forked = ChatDocument(
            schema_version=document.schema_version,
            session=msgspec.structs.replace(document.session, session_id=session_id),
            messages=document.messages,
        )
        file = self._repository.save_to_file(str(place), forked)
        self._keep(session_id, file, KeptSession.of(forked.stored()))
        return session_id

    def _keep(self, session_id: str, file: ChatFile, session: KeptSession) -> OpenChat:
        chat = self._open[session_id] = OpenChat(file.path, session, file.stamp)
        self._ids[file.path] = session_id
        return chat

    def _move(self, chat: OpenChat, session_id: str, place: Path) -> None:
        self._leave(chat, session_id)
        chat.path = place
        chat.status = FileStatus.SAVED
        self._ids[place] = session_id

    def _leave(self, chat: OpenChat, session_id: str) -> None:
        if self._ids.get(chat.path) == session_id:  # else another session's file is there by now
            del self._ids[chat.path]

    # -- sessions --

    def commit(self, writes: Sequence[SessionWrite]) -> tuple[ErrorInfo | None, ...]:
        places: dict[str, list[int]] = {}
        for place, write in enumerate(writes):
            places.setdefault(write.session_id, []).append(place)
        verdicts: list[ErrorInfo | None] = [None] * len(writes)
        for session_id, its_places in places.items():
            its_verdicts = self._commit(session_id, [writes[place] for place in its_places])
            for place, verdict in zip(its_places, its_verdicts, strict=True):
                verdicts[place] = verdict
        return tuple(verdicts)

    def _commit(self, session_id: str, writes: list[SessionWrite]) -> list[ErrorInfo | None]:
        chat = self._open.get(session_id)
        if chat is None:
            refuse = refuse_deleted if session_id in self._deleted else refuse_unknown
            return [refuse(write) for write in writes]
        try:
            session = self._in_memory(chat)
        except EngineError as error:
            return [error.info] * len(writes)
        verdicts = [session.take(write) for write in writes]
        stored = chat.head.revision
        if session.head.revision == stored:
            return verdicts
        problem = self._save_or_explain(chat, session)
        if problem is None:
            return verdicts
        return [
            problem if verdict is None and write.revision > stored else verdict
            for write, verdict in zip(writes, verdicts, strict=True)
        ]

    def load(self, session_id: str) -> StoredSession:
        chat = self._find(session_id)
        match self._look(chat):
            case FileStatus.SAVED if chat.session is not None:
                session = chat.session.copy()
            case FileStatus.SAVED | FileStatus.CONFLICT:
                session = self._read_again(chat)
            case _:
                raise self._lost(chat, session_id).to_exception()
        epoch = max(session.head.epoch, chat.head.epoch) + 1
        session.head = Head(epoch, session.head.revision)
        self._save(chat, session)
        chat.hold(session)
        chat.conflict_copy = None
        return session.stored()

    def read(self, session_id: str) -> StoredSession:
        chat = self._find(session_id)
        # What somebody else wrote is shown, and not taken over: the session's owner has not seen it.
        session = chat.session
        if session is None or self._look(chat) is FileStatus.CONFLICT:
            session = self._read_again(chat)
        return session.stored()

    def delete(self, session_id: str) -> None:
        """As `Sessions` says; `CONFLICT` for a file that was moved, which is to be opened there first."""
        chat = self._find(session_id)
        if self._look(chat) in {FileStatus.SAVED, FileStatus.CONFLICT}:
            self._repository.delete_file(str(chat.path))
        elif self._moved_to(chat, session_id) is not None:
            raise self._lost(chat, session_id).to_exception()
        self._leave(chat, session_id)
        del self._open[session_id]
        self._deleted.add(session_id, chat.head.epoch)

    def list_sessions(self) -> tuple[SessionSummary, ...]:
        """Those of the files that are open, as the store has them."""
        summaries = [chat.summary() for chat in self._open.values()]
        summaries.sort(key=lambda summary: summary.created_at)
        return tuple(summaries)

    def close(self) -> None:
        pass

    def _in_memory(self, chat: OpenChat) -> KeptSession:
        """What the store saw last, to be changed.

        Raises:
            EngineError: it was unloaded, and its file is not what it was any more.
        """
        if chat.session is not None:
            return chat.session.copy()
        match self._look(chat):
            case FileStatus.SAVED:
                return self._read_again(chat)
            case FileStatus.CONFLICT:
                chat.status = FileStatus.CONFLICT
                raise chat.explain(
                    "somebody else has changed this file since the session was unloaded; load it again"
                ).to_exception()
            case _:
                raise self._lost(chat, chat.session_id).to_exception()

    def _find(self, session_id: str) -> OpenChat:
        chat = self._open.get(session_id)
        if chat is None:
            raise no_such_session(session_id)
        return chat

    # -- the file --

    def _look(self, chat: OpenChat) -> FileStatus:
        """Whether the file is what we saw last; reads it only if its status has changed."""
        with file_errors(chat.path):
            try:
                status = chat.path.stat()
                if status.st_nlink > 1:
                    chat.links.add((status.st_dev, status.st_ino))
                if chat.stamp.is_of(status):
                    return FileStatus.SAVED
                data, stamp = read_file(chat.path)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError, NotAFileError):
                return FileStatus.MISSING
        if stamp.digest in {chat.stamp.digest, chat.attempted}:
            chat.stamp = stamp
            return FileStatus.SAVED
        found = _id_in(data, chat.path)
        ours = found is None or found == chat.session_id
        return FileStatus.CONFLICT if ours else FileStatus.MISSING

    def _read_again(self, chat: OpenChat) -> KeptSession:
        return KeptSession.of(self._repository.load_from_file(str(chat.path)).document.stored())

    def _save_or_explain(self, chat: OpenChat, session: KeptSession) -> ErrorInfo | None:
        session_id = session.session_id
        try:
            match self._look(chat):
                case FileStatus.SAVED:
                    self._save(chat, session)
                    return None
                case FileStatus.CONFLICT:
                    return self._keep_both(chat, session)
                case _:
                    return self._lost(chat, session_id)
        except EngineError as error:
            chat.status = FileStatus.DIRTY
            details = error.details | {"session_id": session_id, "file_status": chat.status}
            return msgspec.structs.replace(error.info, details=details)

    def _save(self, chat: OpenChat, session: KeptSession) -> None:
        document = ChatDocument.of(session.stored())
        try:
            chat.stamp = self._repository.save_to_file(str(chat.path), document).stamp
        except EngineError:
            chat.attempted = digest_of(encode_document(document))
            raise
        chat.attempted = chat.stamp.digest
        chat.keep(session)
        chat.status = FileStatus.SAVED

    def _keep_both(self, chat: OpenChat, session: KeptSession) -> ErrorInfo:
        document = ChatDocument.of(session.stored())
        if chat.conflict_copy is None:
            with file_errors(chat.path):
                copy = conflict_copy_path(chat.path)
                create_file(copy, encode_document(document))
            chat.conflict_copy = copy
        else:
            self._repository.save_to_file(str(chat.conflict_copy), document)
        chat.status = FileStatus.CONFLICT
        return chat.explain(
            f"somebody else has changed this file; that version stays, and ours is in "
            f"{chat.conflict_copy}; take over what you need by hand",
            conflict_copy=str(chat.conflict_copy),
        )

    def _lost(self, chat: OpenChat, session_id: str) -> ErrorInfo:
        moved_to = self._moved_to(chat, session_id)
        if moved_to is not None:
            chat.status = FileStatus.MOVED
            return chat.explain(
                f"the file of session {session_id} was moved to {moved_to}; open it there",
                moved_to=str(moved_to),
            )
        chat.status = FileStatus.MISSING
        return chat.explain(
            f"the file of session {session_id} is gone; put it back, or open it where it is",
        )

    def _moved_to(self, chat: OpenChat, session_id: str) -> Path | None:
        with file_errors(chat.path):
            found = self._roots.find(chat.stamp, chat.path)
            # An inode is used again: what has this one now may be another chat.
            return found if found is not None and _id_in(read_file(found)[0], found) == session_id else None


def _id_in(data: bytes, path: Path) -> str | None:
    try:
        return decode_document(data, path).session.session_id
    except EngineError:
        return None


def _copied(owner: Path, copy: Path, session_id: str) -> EngineError:
    return EngineError(
        ErrorCode.CONFLICT,
        f"{copy}: this is a copy of {owner}, which is open as session {session_id}; open that one, "
        "or fork the copy into a session of its own",
        path=str(copy),
        owner_path=str(owner),
        session_id=session_id,
    )
