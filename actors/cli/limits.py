"""What a command, never the library, sets for its whole process."""

from __future__ import annotations

import contextlib
import gc
import resource
import sys

from actors.errors import EngineError, ErrorCode

__all__ = ["raise_open_files_limit", "require_open_files", "tune_process"]

_MACOS_OPEN_MAX = 10_240


def raise_open_files_limit() -> int:
    """Raise the limit of open files to what the system allows at most, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS calls its limit infinite, and refuses to be taken at its word.
    for wanted in (hard, _MACOS_OPEN_MAX):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return soft


def require_open_files(connections: int) -> None:
    """See to it that so many connections can be open at once.

    Raises:
        EngineError: `INVALID_ARGUMENT`, naming both numbers and the ways out.
    """
    own = 64  # standard streams, the store, the event loop, and some room
    limit = raise_open_files_limit()
    if limit != resource.RLIM_INFINITY and connections + own > limit:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"{connections} turns at once need about {connections + own} open files, and the limit here is "
            f"{limit}: lower --max-concurrent to {max(1, limit - own)}, or raise the limit (ulimit -Hn)",
        )


def tune_process() -> None:
    """Fit the interpreter to thousands of tasks and one busy thread.

    The garbage collector becomes rare: so many tasks make each of its passes slow, and few cycles. Threads
    wait a tenth of the usual time for the interpreter's lock, so that the store's commits keep up.
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)
    sys.setswitchinterval(0.0005)
