"""What the parsers of all wires have in common: how an event is taken, and how a stream ends."""

from __future__ import annotations

import msgspec

from actors.conversation import FinishReason, Part, Usage
from actors.models.http_errors import reported_error
from actors.models.malformed_event import cut_stream, malformed_event, plain_text
from actors.models.surrogate_halves import SurrogateHalves

__all__ = ["WireParser"]

_END = "[DONE]"


class WireParser:
    """The parser of one answer; an `EventParser`. A wire's own says what an event means, in `_read`."""

    __slots__ = ("_done", "_finish_reason", "_halves", "_usage")

    def __init__(self) -> None:
        self._halves = SurrogateHalves()
        self._finish_reason: FinishReason | None = None
        self._usage: Usage | None = None
        self._done = False

    @property
    def done(self) -> bool:
        return self._done

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the model stopped, once it has said so."""
        return self._finish_reason

    def feed(self, data: str | bytes, event: str = "") -> list[Part]:
        """The parts of one event; `data` is its JSON text or `[DONE]`, `event` its name.

        Raises:
            EngineError: with the provider's error if the event reports one; `EXECUTION_FAILED` if it is
                malformed. The message never quotes the event.
        """
        if event == "error":
            raise reported_error(data)
        if isinstance(data, str):
            data = self._halves.mend(data)
        try:
            return self._read(data, event)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            text = plain_text(data)
            if text == _END:
                self._end_by_mark()
            elif text and not self._is_unknown(data):
                raise malformed_event(error) from None
            return []

    def end(self) -> list[Part]:
        """The last parts, if the model has said why it stopped.

        Raises:
            EngineError: `NETWORK_ERROR`, if it has not.
        """
        if self._finish_reason is None:
            raise cut_stream()
        return self._last_parts()

    def _read(self, data: str | bytes, event: str) -> list[Part]:
        """The parts of an event that reports no error by its name.

        Raises:
            EngineError: the event reports an error.
            msgspec.DecodeError, UnicodeDecodeError, RecursionError: it cannot be read.
        """
        raise NotImplementedError

    def _end_by_mark(self) -> None:
        """`[DONE]` has come, which ends an answer on the wires that have it."""

    def _is_unknown(self, data: str | bytes) -> bool:  # noqa: ARG002 - most wires know all that comes
        """Whether an event that cannot be read is of a kind that we do not know, and may be passed over."""
        return False

    def _last_parts(self) -> list[Part]:
        return []
