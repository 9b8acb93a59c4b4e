"""Calls a function for each change of the catalog."""

from __future__ import annotations

from collections.abc import Callable

from actors.catalog.protocol import CatalogChanged
from runtime import TrioActor, get_logger

__all__ = ["CatalogListener"]

_log = get_logger("catalog")


class CatalogListener(TrioActor):
    """Tells a function of what it is told. One that raises is logged, and called again the next time."""

    def __init__(self, callback: Callable[[CatalogChanged], object]) -> None:
        super().__init__()
        self._callback = callback

    def on_receive(self, message: CatalogChanged) -> None:
        try:
            self._callback(message)
        except Exception:  # noqa: BLE001 - supervision edge: a callback is foreign code
            _log.exception("a callback for changes of the catalog failed")
