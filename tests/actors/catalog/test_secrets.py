"""Keys are used, and shown nowhere."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import trio

from actors.connections import Connection
from actors.engine import open_engine
from actors.errors import EngineError
from actors.governor import RetryPolicy
from actors.records import SessionStatus
from actors.settings import EngineSettings
from tests.actors.catalog.changes import Changes
from tests.actors.catalog.stage import FILES, ask


async def test_a_key_is_in_no_log_no_representation_no_event_no_error_and_no_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = ("sk-secret", "h-secret", "t-secret")
    settings = EngineSettings(
        store=str(tmp_path / "chats.db"),
        catalog=str(tmp_path / "catalog.json"),
        api_keys={"groq": "sk-secret"},
        retry=RetryPolicy(max_attempts=1),
    )
    connection = Connection(
        connection_id="work",
        base_url="http://127.0.0.1:1/v1",
        api_key="sk-secret",
        headers={"x-key": "h-secret"},
    )
    changes = Changes()
    shown: list[object] = [settings]
    with caplog.at_level(logging.DEBUG):
        async with open_engine(settings) as engine:
            await engine.on_catalog_change(changes)
            await engine.save_connection(connection)
            await engine.save_mcp_server(FILES)
            await changes.reached(2)
            for broken in (
                Connection(connection_id="w", base_url="nowhere", api_key="sk-secret"),
                Connection(connection_id="w", base_url="http://h", api_key="sk-secret ä"),
            ):
                with pytest.raises(EngineError) as caught:
                    await engine.save_connection(broken)
                shown += [caught.value, caught.value.info]
            await engine.create_session(session_id="s", model="work:m")
            assert await ask(engine, "s") is SessionStatus.FAILED  # nobody listens there
            shown += [
                await engine.snapshot("s"),
                await engine.get_connections(),
                await engine.get_mcp_servers(),
            ]
            shown += [changes.said, await engine.debug_report()]

    assert (await _contents(tmp_path)).find("x-key") > 0
    for secret in secrets:
        assert secret not in caplog.text
        assert secret not in repr(shown)
    assert "sk-secret" not in await _contents(tmp_path)
    assert json.loads((tmp_path / "catalog.json").read_text())["connections"][0]["connection_id"] == "work"


async def _contents(folder: Path) -> str:
    files = [await trio.Path(path).read_bytes() for path in folder.iterdir() if path.is_file()]
    return b"\n".join(files).decode(errors="replace")
