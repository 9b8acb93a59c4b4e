from __future__ import annotations

from pathlib import Path

import httpx
import msgspec
import pytest

from actors.errors import EngineError
from actors.upstream.replay import load_recordings
from tests.actors.upstream.chat import CHAT, QUICK, ask, events
from tests.actors.upstream.conftest import Serve

RECORDED = Path(__file__).parents[4] / "shared" / "streams" / "openai-chat"
NAMES = sorted(path.stem for path in RECORDED.glob("*.jsonl"))

needs_recordings = pytest.mark.skipif(not NAMES, reason=f"no recorded streams in {RECORDED}")


@needs_recordings
async def test_model_named_like_a_recording_gets_it_byte_for_byte(
    serve: Serve,
) -> None:
    upstream = serve(msgspec.structs.replace(QUICK, replay_dir=str(RECORDED)))

    async with httpx.AsyncClient(base_url=upstream.base_url) as client:
        for name in NAMES:
            expected = (RECORDED / f"{name}.jsonl").read_bytes().splitlines()
            assert await events(client, ask(model=name)) == [*expected, b"[DONE]"]


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.jsonl").write_text(f'{{"stream":"{name}"}}\n{{"last":"{name} ✓"}}\n')
    return tmp_path


async def test_other_models_get_a_recording_that_their_request_picks(
    serve: Serve, recordings: Path
) -> None:
    upstream = serve(msgspec.structs.replace(QUICK, replay_dir=str(recordings)))

    async with httpx.AsyncClient(base_url=upstream.base_url) as client:
        first = [await events(client, ask(f"question {number}")) for number in range(20)]
        again = [await events(client, ask(f"question {number}")) for number in range(20)]

    assert first == again
    assert {data[0] for data in first} == {b'{"stream":"%b"}' % name for name in (b"one", b"two", b"three")}


async def test_recordings_are_among_the_models_and_cannot_be_had_in_one_piece(
    serve: Serve, recordings: Path
) -> None:
    upstream = serve(msgspec.structs.replace(QUICK, replay_dir=str(recordings)))

    async with httpx.AsyncClient(base_url=upstream.base_url) as client:
        models = await client.get("/models")
        plain = await client.post(CHAT, json=ask(stream=False))

    assert {"one", "two", "three"} < {model["id"] for model in models.json()["data"]}
    assert plain.status_code == 400
    assert "recordings can only be streamed" in plain.json()["error"]["message"]


def test_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to play")

    with pytest.raises(EngineError, match=r"no recordings here \(files that end in \.jsonl\)"):
        load_recordings(tmp_path)


def test_missing_folder_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="nowhere: No such file or directory"):
        load_recordings(tmp_path / "nowhere")


def test_empty_recording_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()

    with pytest.raises(EngineError, match=r"empty\.jsonl: no events in it"):
        load_recordings(tmp_path)


@pytest.mark.parametrize("broken", [b'{"cut', b"[1]", b"", b'{"not utf-8": "\xff"}', b"[DONE]"])
def test_broken_line_is_refused_by_file_and_number(tmp_path: Path, broken: bytes) -> None:
    (tmp_path / "bad.jsonl").write_bytes(b'{"good":1}\n' + broken + b"\n")

    with pytest.raises(EngineError, match=r"bad\.jsonl, line 2: not the JSON of an event"):
        load_recordings(tmp_path)
