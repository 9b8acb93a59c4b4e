"""Events as bytes, for those who pass them on."""

from __future__ import annotations

import msgspec

from actors.engine import open_engine
from actors.events import Event, TaskFinished
from actors.models.scripted import ScriptedModel
from actors.session.protocol import Cursor, EncodedEvent


async def test_all_who_listen_so_get_the_same_bytes_of_an_event() -> None:
    async with open_engine(model_for=lambda _: ScriptedModel()) as engine:
        await engine.create_session(session_id="a")
        async with engine.encoded_events("a") as one, engine.encoded_events("a") as two:
            task_id = await engine.submit_turn("a", "hello")
            seen: list[EncodedEvent] = []
            async for item in one:
                assert isinstance(item, EncodedEvent)
                same = await anext(two)
                assert isinstance(same, EncodedEvent)
                assert same.data is item.data
                seen.append(item)
                event = msgspec.json.decode(item.data, type=Event)
                assert (event.epoch, event.seq) == (item.epoch, item.seq)
                if isinstance(event.body, TaskFinished):
                    break
            assert msgspec.json.decode(seen[-1].data, type=Event).task_id == task_id
        after = Cursor(seen[2].epoch, seen[2].seq)
        async with engine.encoded_events("a", after) as again:
            assert again.snapshot is None
            for expected in seen[3:]:
                assert await anext(again) == expected
