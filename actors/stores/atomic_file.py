"""Files that are replaced as a whole, and how it shows that somebody else changed one."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import msgspec

from actors.errors import EngineError, ErrorCode

__all__ = [
    "NotAFileError",
    "Stamp",
    "create_file",
    "delete_file",
    "digest_of",
    "file_errors",
    "read_file",
    "replace_file",
    "sync_folder",
]


class Stamp(msgspec.Struct, frozen=True):
    """A version of a file. `changed_ns` is the time of its inode, which no program can set back."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int
    digest: bytes

    @classmethod
    def of(cls, status: os.stat_result, digest: bytes) -> Stamp:
        return cls(
            device=status.st_dev,
            inode=status.st_ino,
            size=status.st_size,
            modified_ns=status.st_mtime_ns,
            changed_ns=status.st_ctime_ns,
            digest=digest,
        )

    def is_of(self, status: os.stat_result) -> bool:
        """Whether a file with this status certainly has the content of this version."""
        return self == Stamp.of(status, self.digest)


def digest_of(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


class NotAFileError(OSError):
    """Under a file's name there is something else: a pipe, a device."""


def read_file(path: Path) -> tuple[bytes, Stamp]:
    """A file and its version. Raises OSError, and `NotAFileError` at once for what may have no end."""
    # Without blocking: to open a pipe is to wait for its other end, and everybody would wait with us.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        # Before the reading: what is changed meanwhile shows when somebody looks again.
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise NotAFileError(errno.EINVAL, "this is no file that holds data", str(path))
        data = file.read()
    return data, Stamp.of(status, digest_of(data))


def create_file(path: Path, data: bytes, *, mode: int = 0o666) -> Stamp:
    """Make a file, durably. Raises FileExistsError, or another OSError and leaves nothing there."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))
    try:
        return replace_file(path, data)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def replace_file(path: Path, data: bytes) -> Stamp:
    """Put `data` in the place of a file, durably; whoever reads it sees the old or the new, never a part.

    Raises OSError; if it comes from the folder's fsync, the file is new already.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    mode = path.stat().st_mode & 0o7777
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
            # Of the open file: the name may be somebody else's by now.
            status = os.fstat(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return Stamp.of(status, digest_of(data))


def delete_file(path: Path) -> None:
    """Remove a file, durably; one that is not there is fine. Raises OSError."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make durable which names are in a folder. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_WHAT_TO_DO = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EACCES: "access is denied; check the permissions of the file and its folder",
    errno.EPERM: "access is denied; check the permissions of the file and its folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.ENAMETOOLONG: "the name is too long; choose another one",
    errno.EIO: "the disk reported an error; check its health",
}


@contextmanager
def file_errors(path: Path) -> Generator[None]:
    """Raise what the operating system says about `path` as `PERSISTENCE_FAILED`."""
    try:
        yield
    except OSError as error:
        reason = _WHAT_TO_DO.get(error.errno or 0) or error.strerror or str(error)
        raise EngineError(
            ErrorCode.PERSISTENCE_FAILED,
            f"{path}: {reason}",
            path=str(path),
            os_error=errno.errorcode.get(error.errno or 0, type(error).__name__),
        ) from error
