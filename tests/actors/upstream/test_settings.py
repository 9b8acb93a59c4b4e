from __future__ import annotations

from collections.abc import Callable

import pytest

from actors.errors import EngineError, ErrorCode
from actors.upstream.faults import Fault
from actors.upstream.settings import UpstreamSettings


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: UpstreamSettings(host="0.0.0.0"), "host: 0.0.0.0 is not a loopback address"),  # noqa: S104
        (lambda: UpstreamSettings(host="example.org"), "host: example.org is not a loopback address"),
        (lambda: UpstreamSettings(port=65_536), "port: must be"),
        (lambda: UpstreamSettings(ttft_seconds=-1), "ttft: must be 0 or more"),
        (lambda: UpstreamSettings(ttft_seconds=float("nan")), "ttft: must be 0 or more"),
        (lambda: UpstreamSettings(tokens_per_second=float("inf")), "tokens per second: must be"),
        (lambda: UpstreamSettings(tokens=(0, 5)), "tokens: must be a range within 1-100000"),
        (lambda: UpstreamSettings(tokens=(9, 5)), "tokens: must be a range"),
        (lambda: UpstreamSettings(tokens=(1, 100_001)), "tokens: must be a range"),
        (lambda: UpstreamSettings(jitter=1.5), "jitter: must be from 0 to 1"),
        (lambda: UpstreamSettings(seed=-1), "seed: must be"),
        (lambda: UpstreamSettings(requests_per_second=-1), "requests per second: must be 0 or more"),
        (lambda: UpstreamSettings(faults={Fault.STALL: 1.5}), "fault: rates are from 0 to 1"),
        (lambda: UpstreamSettings(faults={Fault.STALL: 0.6, Fault.RESET: 0.6}), "must not exceed 1"),
    ],
)
def test_setting_that_cannot_be_is_refused_by_name(
    make: Callable[[], UpstreamSettings], complaint: str
) -> None:
    with pytest.raises(EngineError, match=complaint) as caught:
        make()

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
