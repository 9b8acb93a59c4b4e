"""A reader of a session's events, and what it shows of the session."""

from __future__ import annotations

import random

from actors.engine import Engine
from actors.events import Event, Lagged
from actors.session.protocol import Cursor, SessionSnapshot
from actors.view_models import Applied, SessionViewModel

__all__ = ["Follower"]


class Follower:
    """Folds what a subscription tells, and subscribes anew at moments of its own."""

    def __init__(self, dice: random.Random, engine: Engine, session_id: str) -> None:
        self._dice = dice
        self._engine = engine
        self._session_id = session_id
        self._view: SessionViewModel | None = None
        self.events = 0

    async def run(self) -> None:
        while True:
            after = None if self._view is None or self._dice.random() < 0.3 else self._view.cursor
            async with self._engine.events(self._session_id, after) as subscription:
                if subscription.snapshot is not None:
                    self._view = SessionViewModel(subscription.snapshot)
                items = self._dice.randrange(1, 60)
                async for item in subscription:  # which ends when somebody unregisters the session
                    items -= 1
                    if self._take(item) or not items:
                        break

    def _take(self, item: Event | Lagged) -> bool:
        """Whether a new snapshot is needed."""
        assert self._view is not None
        self.events += 1
        applied = self._view.apply(item)
        if applied is Applied.GAP:
            assert isinstance(item, Lagged), f"{item} does not follow on {self._view.cursor}"
            self._view = None
            return True
        assert applied is Applied.CHANGED, f"{item} was told twice"
        return False

    def agree_with(self, snapshot: SessionSnapshot) -> None:
        view = self._view
        assert view is not None
        assert view.cursor == Cursor(snapshot.epoch, snapshot.seq), f"{view.cursor}, not {snapshot.seq}"
        assert view.messages == snapshot.messages
        assert view.branch == snapshot.branch
        assert view.status is snapshot.record.status
        assert view.groups == SessionViewModel(snapshot).groups
