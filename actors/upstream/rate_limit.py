"""So many requests a second, as providers limit them."""

from __future__ import annotations

from collections import deque

__all__ = ["RateLimit"]


class RateLimit:
    """Takes so many requests within any second, 0: all. What it does not take does not count."""

    def __init__(self, requests_per_second: int) -> None:
        self._rate = requests_per_second
        self._taken: deque[float] = deque(maxlen=requests_per_second)

    def takes(self, now: float) -> bool:
        """Whether a request that comes now is taken. `now` never goes back."""
        if self._rate and len(self._taken) == self._rate and now - self._taken[0] < 1:
            return False
        self._taken.append(now)
        return True
