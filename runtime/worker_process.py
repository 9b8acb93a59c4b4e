"""The program of a worker process: calls the functions that `run_killable` sends it, one after the other.

It is started as a file, not as a module, and imports the standard library only: a worker takes the time
and the memory of a bare interpreter, plus what its functions import.

Requests and replies are frames: a status byte, the length of the payload in eight bytes, the payload. The
first frame says where the host finds its modules, every other one is a pickled (function, args).
"""

from __future__ import annotations

import enum
import io
import os
import pickle
import queue
import runpy
import signal
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any, BinaryIO, NamedTuple

__all__ = ["HEADER", "MAIN_IN_WORKER", "HostModules", "Status", "frame"]

HEADER = struct.Struct("!BQ")

MAIN_IN_WORKER = "__mp_main__"
"""What the host's main module is called here, so that its `if __name__ == "__main__"` does not run."""


class Status(enum.IntEnum):
    """What a frame carries. What is not pickled is a text for people, in UTF-8."""

    REQUEST = 0  # pickled
    RETURNED = 1  # pickled
    RAISED = 2  # pickled
    UNREADABLE_REQUEST = 3
    UNSENDABLE_RESULT = 4
    UNSENDABLE_ERROR = 5
    QUIT = 6


class HostModules(NamedTuple):
    """Where the host finds its modules, and which one is its main module, by name or by file."""

    path: list[str]
    main_name: str | None
    main_file: str | None


def frame(status: Status, payload: bytes) -> bytes:
    return HEADER.pack(status, len(payload)) + payload


class _RequestUnpickler(pickle.Unpickler):
    """Runs the host's main module when, and only when, something of it is asked for."""

    def __init__(self, request: bytes, modules: HostModules) -> None:
        super().__init__(io.BytesIO(request))
        self._modules = modules

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if module_name == "__main__":
            module_name = MAIN_IN_WORKER
            if MAIN_IN_WORKER not in sys.modules:
                self._run_main()
        return super().find_class(module_name, global_name)

    def _run_main(self) -> None:
        modules = self._modules
        if modules.main_name is not None and not modules.main_name.endswith("__main__"):
            names = runpy.run_module(modules.main_name, run_name=MAIN_IN_WORKER, alter_sys=True)
        elif modules.main_file is not None and os.path.isfile(modules.main_file):  # noqa: PTH113 - light
            names = runpy.run_path(modules.main_file, run_name=MAIN_IN_WORKER)
        else:
            raise ImportError("the host's __main__ is not a file: move the function to a module")
        main = ModuleType(MAIN_IN_WORKER)
        main.__dict__.update(names)
        sys.modules["__main__"] = sys.modules[MAIN_IN_WORKER] = main


def answer(request: bytes, modules: HostModules) -> tuple[Status, bytes]:
    """Call what the request names."""
    try:
        function: Callable[..., object]
        function, args = _RequestUnpickler(request, modules).load()
    except Exception as error:  # noqa: BLE001 - reported to the host
        return Status.UNREADABLE_REQUEST, _text(error)
    try:
        result = function(*args)
    except Exception as error:  # noqa: BLE001 - passed on to the host
        return _raised(error)
    except BaseException as error:  # noqa: BLE001 - sys.exit and the like are not the host's to raise
        return Status.QUIT, _text(error)
    try:
        return Status.RETURNED, pickle.dumps(result, pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 - reported to the host
        return Status.UNSENDABLE_RESULT, _text(error)


def _raised(error: Exception) -> tuple[Status, bytes]:
    story = "".join(traceback.format_exception(error)).rstrip()
    error.add_note(f"Raised in a worker process:\n{story}")
    try:
        pickled = pickle.dumps(error, pickle.HIGHEST_PROTOCOL)
        # An error whose __init__ takes something else than `args` is only found out by loading it.
        if type(pickle.loads(pickled)) is type(error):  # noqa: S301 - made in the line above
            return Status.RAISED, pickled
    except Exception as reason:  # noqa: BLE001 - reported to the host
        story += f"\n\n{reason!r}"
    return Status.UNSENDABLE_ERROR, story.encode(errors="replace")


def _text(error: BaseException) -> bytes:
    return "".join(traceback.format_exception_only(error)).strip().encode(errors="replace")


def _read_frame(stream: BinaryIO) -> bytes | None:
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    _, length = HEADER.unpack(header)
    payload = stream.read(length)
    return payload if len(payload) == length else None


def _read_requests(stream: BinaryIO, requests: queue.SimpleQueue[bytes]) -> None:
    """Read in a thread of its own, so that a worker whose host died ends, even in the middle of work."""
    while (request := _read_frame(stream)) is not None:
        requests.put(request)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def serve() -> None:
    """Answer requests until the host goes away."""
    # The pipes to the host move away from where `print`, `input` and started programs would find them.
    request_fd, reply_fd = os.dup(0), os.dup(1)
    null_fd = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null_fd, 0)
    os.close(null_fd)
    os.dup2(2, 1)
    # A forked child that held the reply pipe would keep the host from seeing its worker die.
    # Once only: what a child of that child finds under these numbers is its own.
    pipes = [request_fd, reply_fd]

    def close_pipes() -> None:
        while pipes:
            os.close(pipes.pop())

    os.register_at_fork(after_in_child=close_pipes)

    stream = open(request_fd, "rb", closefd=False)  # noqa: SIM115 - lives as long as the process
    setup = _read_frame(stream)
    if setup is None:
        return
    modules = HostModules(*pickle.loads(setup))  # noqa: S301 - from the host
    sys.path[:] = modules.path
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(stream, requests), daemon=True).start()
    with open(reply_fd, "wb", closefd=False) as replies:
        while True:
            replies.write(frame(*answer(requests.get(), modules)))
            replies.flush()


if __name__ == "__main__":
    serve()
