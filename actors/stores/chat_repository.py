"""Chat files as files: load, save, delete, create. Knows nothing of sessions that are open."""

from __future__ import annotations

from pathlib import Path

import msgspec

from actors.errors import EngineError, ErrorCode
from actors.stores.atomic_file import (
    NotAFileError,
    Stamp,
    create_file,
    delete_file,
    file_errors,
    read_file,
    replace_file,
    sync_folder,
)
from actors.stores.chat_document import ChatDocument, decode_document, encode_document
from actors.stores.chat_naming import generate_new_chat_file_path, generate_new_task_folder_path
from actors.stores.project_roots import ProjectRoots

__all__ = ["ChatFile", "ChatRepository"]


class ChatFile(msgspec.Struct, frozen=True):
    """A chat file as it was read or written; `path` is canonical."""

    path: Path
    document: ChatDocument
    stamp: Stamp


class ChatRepository:
    """The four operations on chat files inside the project folders. Calls block for the disk.

    Every method raises `EngineError`: `INVALID_ARGUMENT` for a place that is no chat file's or outside the
    project folders, and then nothing was written; `PERSISTENCE_FAILED` when the disk fails.
    """

    def __init__(self, roots: ProjectRoots) -> None:
        self._roots = roots

    def load_from_file(self, path: str) -> ChatFile:
        """Read a chat.

        Raises:
            EngineError: `SESSION_NOT_FOUND` if there is no file, `SESSION_INVALID` if it is no chat.
        """
        place = self._roots.chat(path)
        try:
            with file_errors(place):
                data, stamp = read_file(place)
        except EngineError as error:
            if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                raise _no_chat_file(place) from None
            if isinstance(error.__cause__, IsADirectoryError):
                raise EngineError(
                    ErrorCode.INVALID_ARGUMENT, f"{place}: this is a folder; name a chat file in it"
                ) from None
            if isinstance(error.__cause__, NotAFileError):
                raise EngineError(
                    ErrorCode.INVALID_ARGUMENT, f"{place}: this is a pipe or a device; name a chat file"
                ) from None
            raise
        return ChatFile(place, decode_document(data, place), stamp)

    def save_to_file(self, path: str, document: ChatDocument) -> ChatFile:
        """Replace the chat in a file that is there, atomically and durably.

        Raises:
            EngineError: `SESSION_NOT_FOUND` if there is none.
        """
        place = self._roots.chat(path)
        try:
            with file_errors(place):
                return ChatFile(place, document, replace_file(place, encode_document(document)))
        except EngineError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise _no_chat_file(place) from None
            raise

    def delete_file(self, path: str) -> None:
        """Remove a chat file, durably.

        Raises:
            EngineError: `SESSION_NOT_FOUND` if there is none.
        """
        place = self._roots.chat(path)
        with file_errors(place):
            if not place.exists():
                raise _no_chat_file(place)
            delete_file(place)

    def create_new_file(
        self, target_directory: str, document: ChatDocument, *, new_task: bool = False
    ) -> ChatFile:
        """Make `chatN.chat.json` with the next free number, with `new_task` in a new folder `taskN`.

        However many do so at once, each gets a name of its own.
        """
        folder = self._roots.folder(target_directory)
        with file_errors(folder):
            if not new_task:
                return _create(folder, document)
            task = _make_task_folder(folder)
            try:
                return _create(task, document)
            except BaseException:
                task.rmdir()
                raise


def _create(folder: Path, document: ChatDocument) -> ChatFile:
    data = encode_document(document)
    while True:
        place = Path(generate_new_chat_file_path(str(folder)))
        try:
            return ChatFile(place, document, create_file(place, data))
        except FileExistsError:
            continue  # somebody was faster, and has taken this number


def _make_task_folder(folder: Path) -> Path:
    while True:
        task = Path(generate_new_task_folder_path(str(folder)))
        try:
            task.mkdir()
        except FileExistsError:
            continue
        sync_folder(folder)
        return task


def _no_chat_file(place: Path) -> EngineError:
    return EngineError(
        ErrorCode.SESSION_NOT_FOUND, f"{place}: there is no such file; check its name", path=str(place)
    )
