"""Keys go to their endpoint and nowhere else, and texts are not in logs (H58)."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest
import trio

from actors.catalog import FileAgentService
from actors.connections import Connection
from actors.engine import open_engine
from actors.errors import EngineError
from actors.events import Event, TaskFinished
from actors.governor import RetryPolicy
from actors.markdown import snapshot_markdown
from actors.records import SessionStatus
from actors.session.protocol import NewSession
from actors.settings import EngineSettings
from tests.actors.models.tiny_server import tiny_server

KEY = "sk-the-key-that-nobody-may-see-0123456789"
HEADER = "proxy-token-9876543210"
QUESTION = "what nobody else may read"
WIRES = ("openai-chat", "openai-responses", "anthropic-messages")
ANSWERS = {
    status: (
        f"HTTP/1.1 {status} No\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    ).encode()
    for status in (400, 401, 403, 404, 429, 500)
    for body in [f'{{"error": {{"message": "no: {KEY} of {HEADER}"}}}}']
}


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("status", ANSWERS)
async def test_a_key_that_the_endpoint_quotes_is_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wire: str, status: int
) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[object] = []

    async def refuse(stream: trio.SocketStream, request: bytes) -> None:
        assert KEY.encode() in request
        await stream.send_all(ANSWERS[status])

    async with tiny_server(refuse) as server:
        connection = Connection(
            connection_id="mine",
            base_url=server.base_url,
            wire=wire,
            api_key=KEY,
            headers={"x-proxy-token": HEADER},
        )
        settings = EngineSettings(
            store=str(tmp_path / "chats.db"),
            project_roots=(str(tmp_path),),
            retry=RetryPolicy(max_attempts=1),
        )
        catalog = FileAgentService(tmp_path / "catalog.json")
        async with open_engine(settings, catalog=catalog) as engine:
            await engine.save_connection(connection)
            chats = [
                (await engine.create_session(NewSession(model="mine:model"))).record.session_id,
                (await engine.create_chat_file(str(tmp_path), NewSession(model="mine:model")))[1],
            ]
            for session_id in chats:
                async with engine.events(session_id) as events:
                    await engine.submit_turn(session_id, QUESTION)
                    async for event in events:
                        shown.append(msgspec.json.encode(event))
                        if isinstance(event, Event) and isinstance(event.body, TaskFinished):
                            assert event.body.outcome.status is SessionStatus.FAILED
                            break
                snapshot = await engine.snapshot(session_id)
                shown += [msgspec.json.encode(snapshot), snapshot_markdown(snapshot)]
            shown += [
                connection,
                settings,
                await engine.get_connections(),
                await engine.connection_status(),
            ]
        assert len(server.requests) == 2

    kept = (tmp_path / "catalog.json").read_bytes()  # its owner's alone, since it has headers as they are
    assert KEY.encode() not in kept
    files = b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "catalog.json"
    )
    told = "\n".join(map(str, [*shown, caplog.text]))
    assert QUESTION.encode() in files
    assert QUESTION not in caplog.text
    for secret in (KEY, HEADER):
        assert secret not in told
        assert secret.encode() not in files


async def test_a_key_with_a_line_end_in_it_is_refused_unseen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_engine(EngineSettings()) as engine:
        broken = Connection(connection_id="mine", base_url="http://127.0.0.1:9/v1", api_key=f"{KEY}\nX: y")
        with pytest.raises(EngineError) as refused:
            await engine.save_connection(broken)
    assert KEY not in f"{refused.value}{refused.value.details}{caplog.text}{broken}"
