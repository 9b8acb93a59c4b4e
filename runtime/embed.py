"""An actor system for hosts that do not run trio: in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import trio

from runtime.errors import BlockingCallError, SystemClosedError
from runtime.system import ActorSystem, offer_as_default, open_system, withdraw_as_default

__all__ = ["SystemThread", "start_system"]

R = TypeVar("R")


class SystemThread:
    """An actor system in a background thread. A context manager; `stop` may also be called by hand.

    The thread is a daemon: a host that forgets to stop it can still exit, without an orderly stop.
    """

    def __init__(self, *, shutdown_budget_seconds: float) -> None:
        self._shutdown_budget_seconds = shutdown_budget_seconds
        self._started = threading.Event()
        self._stop_requested: trio.Event | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._system: ActorSystem | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="greenroom-runtime", daemon=True)

    @property
    def system(self) -> ActorSystem:
        assert self._system is not None
        return self._system

    def start(self) -> None:
        """Start the thread and wait until the system runs."""
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise self._failure

    def call(self, function: Callable[..., Awaitable[R]], *args: Any) -> R:
        """Run `await function(*args)` in the system's trio thread, and return its result.

        Blocks the calling thread, which must not be the system's own.

        Raises:
            SystemClosedError: the system has stopped.
        """
        try:
            return trio.from_thread.run(function, *args, trio_token=self._token)
        except (trio.RunFinishedError, trio.Cancelled):
            raise SystemClosedError("the actor system has stopped") from None

    def stop(self, timeout: float | None = None) -> None:
        """Stop the system in order and wait for its thread, at most `timeout` seconds. Idempotent.

        Raises:
            SystemFailedError: the runtime itself had failed.
            BlockingCallError: called on that very thread. The system is not stopped then.
        """
        if threading.current_thread() is self._thread:
            raise BlockingCallError("the system's thread cannot wait for its own end: see ActorSystem.stop")
        if self._token is not None and self._stop_requested is not None:
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._stop_requested.set)
        self._thread.join(timeout)
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _run(self) -> None:
        try:
            trio.run(self._serve)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that calls stop()
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        async with open_system(shutdown_budget_seconds=self._shutdown_budget_seconds) as system:
            self._system = system
            self._token = trio.lowlevel.current_trio_token()
            self._stop_requested = trio.Event()
            offer_as_default(system)
            self._started.set()
            try:
                await self._stop_requested.wait()
            finally:
                withdraw_as_default(system)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


def start_system(*, shutdown_budget_seconds: float = 10.0) -> SystemThread:
    """Start an actor system in a background thread, for synchronous and asyncio hosts.

    Until it stops it is also what `TrioActor.start()` uses where no other system is current.
    """
    thread = SystemThread(shutdown_budget_seconds=shutdown_budget_seconds)
    thread.start()
    return thread
