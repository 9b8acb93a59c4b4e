"""What an endpoint is asked to be."""

from __future__ import annotations

import ipaddress
import math

import msgspec

from actors.errors import EngineError, ErrorCode
from actors.upstream.faults import Fault
from actors.upstream.pace import Pace

__all__ = ["UpstreamSettings"]

_MAX_TOKENS = 100_000


class UpstreamSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of one simulated endpoint.

    `port` 0 takes any free one. `tokens_per_second` 0 streams without pauses. `tokens` is the range, both
    ends included, from which the length of an answer is drawn. `jitter` is a fraction of each wait.
    `faults` gives each fault the share of requests that get it. With `replay_dir`, answers are the
    recordings of that folder and `tokens` has no effect. What is more than `requests_per_second` within any
    second is refused with a 429; 0 refuses none.

    Raises:
        EngineError: INVALID_ARGUMENT, naming the setting.
    """

    host: str = "127.0.0.1"
    port: int = 0
    ttft_seconds: float = 0.2
    tokens_per_second: float = 50.0
    tokens: tuple[int, int] = (100, 100)
    jitter: float = 0.0
    seed: int = 0
    replay_dir: str | None = None
    faults: dict[Fault, float] = {}
    requests_per_second: int = 0

    def __post_init__(self) -> None:
        _require(
            _is_loopback(self.host), "host", f"{self.host} is not a loopback address; use 127.0.0.1 or ::1"
        )
        _require(0 <= self.port <= 65_535, "port", "must be from 0 to 65535")
        for name, seconds_or_rate in (
            ("ttft", self.ttft_seconds),
            ("tokens per second", self.tokens_per_second),
        ):
            _require(math.isfinite(seconds_or_rate) and seconds_or_rate >= 0, name, "must be 0 or more")
        low, high = self.tokens
        _require(1 <= low <= high <= _MAX_TOKENS, "tokens", f"must be a range within 1-{_MAX_TOKENS}")
        _require(0 <= self.jitter <= 1, "jitter", "must be from 0 to 1")
        _require(0 <= self.seed < 2**64, "seed", "must be from 0 to 2**64 - 1")
        _require(self.requests_per_second >= 0, "requests per second", "must be 0 or more")
        _require(all(0 <= rate <= 1 for rate in self.faults.values()), "fault", "rates are from 0 to 1")
        _require(sum(self.faults.values()) <= 1, "fault", "the rates together must not exceed 1")

    @property
    def pace(self) -> Pace:
        return Pace(self.ttft_seconds, self.tokens_per_second, self.jitter)


def _require(holds: bool, setting: str, rule: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not holds:
        raise EngineError(ErrorCode.INVALID_ARGUMENT, f"{setting}: {rule}", setting=setting)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
