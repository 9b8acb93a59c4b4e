"""How fast an answer comes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import msgspec

__all__ = ["Pace"]


class Pace(msgspec.Struct, frozen=True):
    """Time to the first token, then a token every `1 / tokens_per_second` seconds; 0 means no wait at all.

    `jitter` is a fraction: each wait is drawn evenly from `1 - jitter` to `1 + jitter` times its length.
    """

    ttft_seconds: float
    tokens_per_second: float
    jitter: float = 0.0

    @property
    def interval_seconds(self) -> float:
        return 1.0 / self.tokens_per_second if self.tokens_per_second else 0.0

    def waits(self, seed: int) -> Iterator[float]:
        """Seconds before each token, without end. The same seed gives the same waits."""
        steady = itertools.chain((self.ttft_seconds,), itertools.repeat(self.interval_seconds))
        if not self.jitter:
            return steady
        spread, draw = 2.0 * self.jitter, random.Random(seed).random  # noqa: S311 - reproducible, not secret
        low = 1.0 - self.jitter
        return (seconds * (low + spread * draw()) for seconds in steady)

    def total_seconds(self, tokens: int) -> float:
        """From the request to the last of `tokens` tokens, jitter apart."""
        return self.ttft_seconds + max(tokens - 1, 0) * self.interval_seconds
