"""Calls a function for each event, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

import pykka

from actors.subscription import SubscriberActor, TakeEvents, TakenEvents
from runtime import ActorRef, get_logger

__all__ = ["HandlerThread", "Unsubscribe"]

_log = get_logger("handlers")

E = TypeVar("E")


class HandlerThread(Generic[E]):
    """Hands what reaches a subscriber to `handler`, one after another, until it is stopped.

    A handler may block, call the engine from its thread (`EngineThread.call`), or raise, which is logged:
    it holds up nobody but itself. One that falls behind by more than its subscriber's queue is handed a
    `Lagged`.
    """

    def __init__(self, subscriber: ActorRef[SubscriberActor], handler: Callable[[E], object]) -> None:
        self._subscriber = subscriber
        self._handler = handler
        self._stopped = False
        # A daemon: a handler that blocks for ever must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name="greenroom handler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Hand over nothing more. Idempotent, from any thread, the handler's own included."""
        self._stopped = True
        self._subscriber.stop(block=False)

    def _run(self) -> None:
        while not self._stopped:
            try:
                taken: TakenEvents = self._subscriber.ask(TakeEvents(), block=False).get()
            except pykka.ActorDeadError:
                return
            if not taken.items:
                self._subscriber.stop(block=False)
                return
            for item in taken.items:
                if self._stopped:
                    return
                self._hand_over(cast("E", item))

    def _hand_over(self, item: E) -> None:
        try:
            self._handler(item)
        except BaseException:  # noqa: BLE001 - supervision edge: a handler is foreign code, in its own thread
            _log.exception("an event handler failed")


class Unsubscribe:
    """Ends a subscription when it is called; twice is once. From any thread."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop

    def __call__(self) -> None:
        self._stop()
