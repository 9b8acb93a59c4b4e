"""What a tool says, within bounds and fit for stores: its result, and what it shows while it runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import trio

__all__ = ["LiveOutput", "bounded"]

_MORE = "\n[what it shows from here on is left out]\n"


def bounded(text: str, limit_bytes: int) -> tuple[str, bool]:
    """The text, cut in the middle where it is longer than that in UTF-8; and whether it was.

    A mark says how much was cut out; it is inside the limit, where that has room for it. Halves of
    surrogate pairs become `?`: no store and no wire could take them.

    Raises:
        TypeError: it is no text.
    """
    text = _text(text)
    if text.isascii() and len(text) <= limit_bytes:
        return text, False
    encoded = text.encode(errors="replace")
    if len(encoded) <= limit_bytes:
        return encoded.decode(), False
    # As many digits as there can be: the mark for what is cut out must not change what is cut out.
    room = limit_bytes - len(_mark(len(encoded)).encode())
    kept = max(0, room if room > 0 else limit_bytes)
    head = encoded[: (kept + 1) // 2].decode(errors="ignore")
    tail = encoded[len(encoded) - kept // 2 :].decode(errors="ignore")
    left_out = len(encoded) - len(head.encode()) - len(tail.encode())
    return f"{head}{_mark(left_out)}{tail}", True


def _mark(left_out: int) -> str:
    return f"\n[... {left_out} bytes left out ...]\n"


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError(f"a tool says and returns text, not {type(text).__name__}")
    return text


class LiveOutput:
    """What one call shows. `tell` has it in pieces, of which at most one is not `taken` at a time.

    What comes meanwhile grows into the next piece, up to the limit of the call; what exceeds that is left
    out. `show` may be called from any thread; all else, and `tell`, belongs to trio's.
    """

    __slots__ = ("_lock", "_over", "_pending", "_room", "_tell", "_thread_id", "_token", "_told", "_waking")

    def __init__(self, limit_bytes: int, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._room = limit_bytes
        self._pending: list[str] = []
        self._told = False
        self._waking = False
        self._over = False
        self._thread_id = threading.get_ident()
        self._token = trio.lowlevel.current_trio_token()
        self._lock = threading.Lock()

    def show(self, text: str) -> None:
        """
        Raises:
            TypeError: it is no text.
        """
        encoded = _text(text).encode(errors="replace")
        if not encoded:
            return
        here = threading.get_ident() == self._thread_id
        with self._lock:
            if self._over or self._room < 0:
                return
            if len(encoded) > self._room:
                self._pending += (encoded[: self._room].decode(errors="ignore"), _MORE)
                self._room = -1
            else:
                self._pending.append(encoded.decode())
                self._room -= len(encoded)
            if self._told or self._waking:
                return
            self._waking = not here
        if here:
            self._tell_pending()
        else:
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._woken)

    def taken(self) -> None:
        """The last piece has been handled."""
        self._told = False
        self._tell_pending()

    def end(self) -> None:
        """The call is over: tell what is left, and hear nothing more."""
        self._told = False
        self._tell_pending()
        self.drop()

    def drop(self) -> None:
        """Nobody wants to hear it any more."""
        with self._lock:
            self._over = True
            self._pending.clear()

    def _woken(self) -> None:
        self._waking = False
        if not self._told:
            self._tell_pending()

    def _tell_pending(self) -> None:
        with self._lock:
            pieces, self._pending = self._pending, []
            self._told = bool(pieces)
        if pieces:
            self._tell("".join(pieces))
