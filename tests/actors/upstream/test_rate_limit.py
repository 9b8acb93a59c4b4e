"""What is more than the endpoint takes in a second is told when to come again."""

from __future__ import annotations

import httpx
import msgspec
from hypothesis import given
from hypothesis import strategies as st

from actors.upstream.faults import Fault
from actors.upstream.rate_limit import RateLimit
from tests.actors.upstream.chat import CHAT, QUICK, ask
from tests.actors.upstream.conftest import Serve


def test_so_many_are_taken_within_any_second() -> None:
    limit = RateLimit(2)
    assert [now for now in (0.0, 0.5, 0.9, 1.0, 1.4, 1.5, 2.1) if limit.takes(now)] == [
        0.0,
        0.5,
        1.0,
        1.5,
        2.1,
    ]


def test_without_a_limit_all_are_taken() -> None:
    assert all(RateLimit(0).takes(0.0) for _ in range(100))


@given(rate=st.integers(1, 5), pauses=st.lists(st.sampled_from((0.0, 0.125, 0.25, 0.5, 1.0)), max_size=100))
def test_no_second_has_more_than_the_rate_and_nobody_is_refused_below_it(
    rate: int, pauses: list[float]
) -> None:
    limit = RateLimit(rate)
    now = 0.0
    taken: list[float] = []
    for pause in pauses:
        now += pause
        if limit.takes(now):
            taken.append(now)
        else:
            assert sum(1 for at in taken if at > now - 1) == rate
    assert all(later - first >= 1 for first, later in zip(taken, taken[rate:], strict=False))


async def test_what_is_too_much_is_refused_with_a_429_that_says_when_to_come_again(serve: Serve) -> None:
    upstream = serve(msgspec.structs.replace(QUICK, requests_per_second=1))
    async with httpx.AsyncClient(base_url=upstream.base_url) as client:
        taken = await client.post(CHAT, json=ask("Hi"))
        refused = await client.post(CHAT, json=ask("Hi"))
        listed = await client.get("/models")

    assert (taken.status_code, refused.status_code, listed.status_code) == (200, 429, 200)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert upstream.statistics().faults == {Fault.RATE_LIMIT: 1}
