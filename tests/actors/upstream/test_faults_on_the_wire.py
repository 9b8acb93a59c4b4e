from __future__ import annotations

import httpx
import msgspec
import pytest
import trio.testing

from actors.upstream.faults import FAULT_HEADER, Fault
from actors.upstream.server import Upstream
from tests.actors.upstream.chat import CHAT, QUICK, Json, ask, events, text_of
from tests.actors.upstream.conftest import Serve

by_header_and_by_model = pytest.mark.parametrize("by_model", [False, True], ids=["by header", "by model"])


def fault_request(fault: str, *, by_model: bool, **fields: object) -> tuple[Json, dict[str, str]]:
    if by_model:
        return ask(model=f"fault-{fault}", **fields), {}
    return ask(**fields), {FAULT_HEADER: fault}


async def read_lines(
    client: httpx.AsyncClient, request: Json, headers: dict[str, str], lines: list[str]
) -> None:
    async with client.stream("POST", CHAT, json=request, headers=headers) as response:
        async for line in response.aiter_lines():
            if line:
                lines.append(line)  # noqa: PERF401 - a comprehension would lose what came before the break


@by_header_and_by_model
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Fault.RATE_LIMIT, "rate_limit_exceeded"),
        (Fault.SERVER_ERROR, None),
        (Fault.UNAUTHORIZED, "invalid_api_key"),
    ],
)
async def test_refusals_carry_their_status_and_reason(
    client: httpx.AsyncClient, upstream: Upstream, fault: Fault, code: str | None, by_model: bool
) -> None:
    request, headers = fault_request(fault, by_model=by_model)

    response = await client.post(CHAT, json=request, headers=headers)

    assert response.status_code == int(fault)
    assert response.json()["error"]["code"] == code
    assert response.headers.get("retry-after") == ("1" if fault is Fault.RATE_LIMIT else None)
    assert upstream.statistics().faults == {fault: 1}


@by_header_and_by_model
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
@pytest.mark.parametrize(
    ("fault", "error"), [(Fault.DISCONNECT, httpx.RemoteProtocolError), (Fault.RESET, httpx.ReadError)]
)
async def test_connection_breaks_in_the_middle_of_the_answer(
    client: httpx.AsyncClient, fault: Fault, error: type[Exception], stream: bool, by_model: bool
) -> None:
    request, headers = fault_request(fault, by_model=by_model, stream=stream)
    lines: list[str] = []

    with pytest.raises(error):
        await read_lines(client, request, headers, lines)

    assert "data: [DONE]" not in lines
    if fault is Fault.DISCONNECT:
        assert len(lines) == (4 if stream else 0)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "plain"])
async def test_stall_lasts_until_the_client_leaves(
    serve: Serve, patient_clock: trio.testing.MockClock, stream: bool
) -> None:
    del patient_clock
    upstream = serve(QUICK)
    lines: list[str] = []

    async with httpx.AsyncClient(base_url=upstream.base_url, timeout=3_600) as client:
        with pytest.raises(httpx.ReadTimeout):
            await read_lines(client, ask(model="fault-stall", stream=stream), {}, lines)
        # The answer to a later request on another connection says that the server has seen it.
        await client.get("/models")

    assert len(lines) == (4 if stream else 0)
    assert trio.current_time() >= 3_600
    statistics = upstream.statistics()
    assert (statistics.streams_running, statistics.streams_abandoned) == (0, 1)


async def test_malformed_event_spoils_nothing_but_itself(client: httpx.AsyncClient) -> None:
    data = await events(client, ask(), **{FAULT_HEADER: "malformed"})

    bad = data.pop(4)
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(bad)
    assert text_of(data) == text_of(await events(client, ask()))


async def test_malformed_plain_answer_is_cut_off_json(client: httpx.AsyncClient) -> None:
    response = await client.post(CHAT, json=ask(model="fault-malformed", stream=False))

    assert response.status_code == 200
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(response.content)


@by_header_and_by_model
async def test_unknown_fault_is_refused_with_the_known_names(
    client: httpx.AsyncClient, by_model: bool
) -> None:
    request, headers = fault_request("flood", by_model=by_model)

    response = await client.post(CHAT, json=request, headers=headers)

    assert response.status_code == 400
    assert "unknown fault 'flood'; known are 429" in response.json()["error"]["message"]


async def test_rates_fail_the_same_requests_in_every_run(
    serve: Serve,
) -> None:
    settings = msgspec.structs.replace(QUICK, faults={Fault.SERVER_ERROR: 0.5})
    runs: list[list[int]] = []
    for _ in range(2):
        async with httpx.AsyncClient(base_url=serve(settings).base_url) as client:
            runs.append(
                [
                    (await client.post(CHAT, json=ask(f"question {number}"))).status_code
                    for number in range(40)
                ]
            )

    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500}
