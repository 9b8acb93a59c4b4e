"""A probe: an actor that a test holds in its hand, after the TestProbe of Akka's test kit."""

from __future__ import annotations

from _thread import get_ident
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast, overload

import pykka
import trio

from runtime.actor import TrioActor
from runtime.messages import Terminated
from runtime.reply import answer, answer_error

if TYPE_CHECKING:
    from runtime.ref import ActorRef
    from runtime.system import ActorSystem

__all__ = ["Probe"]

M = TypeVar("M")

DEFAULT_WITHIN_SECONDS = 3.0


class _Arrival(NamedTuple):
    message: Any
    reply: pykka.Future[Any] | None


class Probe:
    """An actor whose messages the test takes, one after another, and judges.

    Its `ref` may be given to anybody. Each `expect` takes the next message that no other call has taken.
    What fails is an AssertionError that says what was expected and what came. Time is trio's, so that a
    `MockClock` or a `ManualClock` decides about it.

    To be used in the trio run of its system, by one task at a time.
    """

    def __init__(self, system: ActorSystem, *, name: str | None = None) -> None:
        """
        Raises:
            RuntimeError: the system runs elsewhere, in a thread of its own say.
            NameTakenError, SystemClosedError: as `spawn` does.
        """
        if get_ident() != system.scheduler.thread_id:
            raise RuntimeError("a Probe belongs into the trio run of its system, and this is another one")
        self._system = system
        self._mail: deque[_Arrival] = deque()
        self._arrivals: list[_Arrival] = []
        self._arrived = trio.Event()
        self._asked: pykka.Future[Any] | None = None
        self.ref: ActorRef[Any] = (
            system.spawn(ProbeActor, self._take_in)
            if name is None
            else system.spawn_named(name, ProbeActor, self._take_in)
        )

    @property
    def received(self) -> tuple[Any, ...]:
        """All messages that have come so far, taken or not."""
        return tuple(arrival.message for arrival in self._arrivals)

    @overload
    async def expect(self, expected: type[M], *, within: float = ...) -> M: ...

    @overload
    async def expect(self, expected: M, *, within: float = ...) -> M: ...

    async def expect(self, expected: Any, *, within: float = DEFAULT_WITHIN_SECONDS) -> Any:
        """Take the next message, which must come within so many seconds and be this one, and return it.

        `expected` is a type that it must be an instance of, or a value that it must be equal to.

        Raises:
            AssertionError: nothing came, or something else did. That is taken, too.
        """
        arrival = await self._next(within)
        if arrival is None:
            raise AssertionError(
                f"expected {_text(expected)} within {within:g} s, nothing came{self._before()}"
            )
        if not _is(expected, arrival.message):
            raise AssertionError(
                f"expected {_text(expected)}, got {arrival.message!r}{self._before(but_last=True)}"
            )
        return arrival.message

    async def expect_no_message(self, for_seconds: float) -> None:
        """Return when so many seconds have passed in which nothing came, and nothing was left to take.

        Raises:
            AssertionError: something came.
        """
        arrival = await self._next(for_seconds)
        if arrival is not None:
            raise AssertionError(f"expected no message for {for_seconds:g} s, got {arrival.message!r}")

    @overload
    async def fish_for(self, wanted: type[M], *, within: float = ...) -> M: ...

    @overload
    async def fish_for(self, wanted: Callable[[Any], bool], *, within: float = ...) -> Any: ...

    async def fish_for(self, wanted: Any, *, within: float = DEFAULT_WITHIN_SECONDS) -> Any:
        """Take messages until one is of this type, or fulfils this condition, and return that one.

        Raises:
            AssertionError: none did within so many seconds.
        """
        deadline = trio.current_time() + within
        thrown_back: list[Any] = []
        while (arrival := await self._next(deadline - trio.current_time())) is not None:
            if isinstance(arrival.message, wanted) if isinstance(wanted, type) else wanted(arrival.message):
                return arrival.message
            thrown_back.append(arrival.message)
        raise AssertionError(f"fished for {_text(wanted)} for {within:g} s, got {thrown_back!r}")

    def watch(self, ref: ActorRef[Any]) -> None:
        """Have `Terminated` come when that actor ends."""
        self._system.watch(self.ref.cell, ref.cell)

    def unwatch(self, ref: ActorRef[Any]) -> None:
        """Take `watch` back."""
        self._system.unwatch(self.ref.cell, ref.cell)

    async def expect_terminated(
        self, ref: ActorRef[Any], *, within: float = DEFAULT_WITHIN_SECONDS
    ) -> Terminated:
        """Take the next message, which must be the `Terminated` of an actor that is watched.

        Raises:
            AssertionError: as `expect` does.
        """
        notice = await self.expect(Terminated, within=within)
        if notice.ref is not ref:
            raise AssertionError(f"expected Terminated of {ref}, got {notice!r}")
        return notice

    def reply(self, value: object) -> None:
        """Answer the message that was taken last.

        Raises:
            AssertionError: nobody waits for an answer: it was told, or has been answered.
        """
        answer(self._take_reply(), value)

    def reply_error(self, error: BaseException) -> None:
        """Answer the message that was taken last with an exception, as `reply` does."""
        answer_error(self._take_reply(), error)

    def _take_reply(self) -> pykka.Future[Any]:
        reply, self._asked = self._asked, None
        if reply is None:
            raise AssertionError("the message that was taken last waits for no answer")
        return reply

    def _take_in(self, message: Any, reply: pykka.Future[Any] | None) -> None:
        arrival = _Arrival(message, reply)
        self._mail.append(arrival)
        self._arrivals.append(arrival)
        self._arrived.set()

    async def _next(self, within: float) -> _Arrival | None:
        if not self._mail:
            self._arrived = trio.Event()
            with trio.move_on_after(max(0.0, within)):
                await self._arrived.wait()
        if not self._mail:
            return None
        arrival = self._mail.popleft()
        self._asked = arrival.reply
        return arrival

    def _before(self, *, but_last: bool = False) -> str:
        taken = len(self._arrivals) - len(self._mail) - but_last
        earlier = self._arrivals[:taken][-5:]
        return "" if not earlier else f"; before it came {[arrival.message for arrival in earlier]!r}"


class ProbeActor(TrioActor):
    def __init__(self, take_in: Callable[[Any, pykka.Future[Any] | None], None]) -> None:
        super().__init__()
        self._take_in = take_in

    def on_receive(self, message: Any) -> None:
        self._take_in(message, self.defer())


def _is(expected: Any, message: Any) -> bool:
    if isinstance(expected, type) and isinstance(message, expected):
        return True
    return bool(message == expected)


def _text(expected: object) -> str:
    if isinstance(expected, type):
        return f"an instance of {cast('type[Any]', expected).__name__}"
    return repr(expected)
