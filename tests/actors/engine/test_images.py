"""Images that go with a message: as models get them, and read for those that see none."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from actors.conversation import Attachment, FileReference, Image, Text
from actors.engine import open_engine
from actors.errors import EngineError, ErrorCode
from actors.events import MessageChanged, TaskFinished
from actors.models.base import ModelRequest
from actors.models.scripted import Gate, ScriptedModel
from actors.records import ImageMode, SessionStatus
from actors.session import refusals
from actors.session.protocol import NewSession, OnBusy
from actors.session.questions import images_in
from actors.settings import EngineSettings
from tests.actors.engine.tool_stage import open_box
from tests.actors.session.stage import bodies_until

FIRST, SECOND = Image("image/png", b"first"), Image("image/png", b"second", "b.png")
OCR = EngineSettings(image_mode=ImageMode.OCR)


class Reader:
    """Reads in an image what its bytes say; raises while there is an `error`, or what is `illegible`."""

    def __init__(self) -> None:
        self.read: list[bytes] = []
        self.error: Exception | None = None
        self.illegible = b""
        self.gate: Gate | None = None
        self.hangs = False

    async def __call__(self, image: Image) -> str:
        self.read.append(image.data)
        await trio.lowlevel.checkpoint()
        if self.hangs:
            await trio.sleep_forever()
        if self.gate is not None:
            await self.gate.pass_through()
        if self.error is not None:
            raise self.error
        if image.data == self.illegible:
            raise ValueError
        return f"  {image.data.decode()} \n"


def sent_images(request: ModelRequest) -> list[Image]:
    return [image for message in request.messages for image in images_in(message)]


async def test_a_model_that_sees_gets_images_as_they_are_and_nobody_reads_them() -> None:
    reader = Reader()
    shown = Image("image/png", b"first", text="what a client has read")
    async with open_box(read_image=reader) as (engine, model):
        await engine.run_turn("s", "look", images=[shown, SECOND])

    assert sent_images(model.requests[0]) == [FIRST, SECOND]
    assert reader.read == []


async def test_images_are_read_once_and_their_text_is_kept_over_a_restart(tmp_path: Path) -> None:
    reader = Reader()
    settings = EngineSettings(image_mode=ImageMode.OCR, store=str(tmp_path / "chats.db"))
    async with open_box(settings=settings, read_image=reader) as (engine, model):
        await engine.run_turn("s", "look", images=[FIRST, SECOND])
        await engine.run_turn("s", "and again")
        assert [image.text for image in sent_images(model.requests[1])] == ["first", "second"]
    assert reader.read == [b"first", b"second"]

    async with open_box(settings=settings, sessions={}, read_image=reader) as (engine, model):
        await engine.run_turn("s", "and after a restart", images=[Image("image/png", b"third")])
        await engine.run_turn("s", "a last time")
        texts = [[image.text for image in sent_images(request)] for request in model.requests]

    assert texts == [["first", "second", "third"]] * 2
    assert reader.read == [b"first", b"second", b"third"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("illegible"), ErrorCode.EXECUTION_FAILED),
        (EngineError(ErrorCode.NETWORK_ERROR, "the reader is down"), ErrorCode.NETWORK_ERROR),
    ],
)
async def test_an_image_that_cannot_be_read_fails_the_turn_which_may_be_resumed(
    error: Exception, code: ErrorCode
) -> None:
    reader = Reader()
    reader.error = error
    async with open_box(settings=OCR, read_image=reader) as (engine, model):
        outcome = await engine.run_turn("s", "look", images=[FIRST])
        assert outcome.status is SessionStatus.FAILED
        assert outcome.error is not None
        assert outcome.error.code is code
        assert (await engine.pool_status()).running == 0

        reader.error = None
        resumed = await engine.wait_turn("s", await engine.resume_turn("s"))

    assert resumed.status is SessionStatus.COMPLETED
    assert [image.text for image in sent_images(model.requests[-1])] == ["first"]
    assert model.calls == 1


async def test_what_was_read_before_the_image_that_cannot_be_is_not_read_again() -> None:
    reader = Reader()
    reader.illegible = b"second"
    async with open_box(settings=OCR, read_image=reader) as (engine, _):
        async with engine.events("s") as subscription:
            outcome = await engine.run_turn("s", "look", images=[FIRST, SECOND])
            bodies = await bodies_until(subscription, TaskFinished)
        assert outcome.status is SessionStatus.FAILED
        (question, _) = (await engine.snapshot("s")).branch
        assert [image.text for image in images_in(question)] == ["first", ""]
        changed = [body.message for body in bodies if isinstance(body, MessageChanged)]
        assert question in changed

        reader.illegible = b""
        await engine.wait_turn("s", await engine.resume_turn("s"))

    assert reader.read == [b"first", b"second", b"second"]


async def test_what_is_said_while_images_are_read_joins_the_turn_and_its_images_are_read_too() -> None:
    reader = Reader()
    reader.gate = Gate()
    async with open_box(settings=OCR, read_image=reader) as (engine, model):
        task_id = await engine.submit_turn("s", "look", images=[FIRST])
        await wait_all_tasks_blocked()
        steered = await engine.submit_turn("s", "and here", images=[SECOND], on_busy=OnBusy.STEER)
        reader.gate.open()
        outcome = await engine.wait_turn("s", task_id)

    assert steered == task_id
    assert outcome.status is SessionStatus.COMPLETED
    assert model.calls == 1
    assert [image.text for image in sent_images(model.requests[0])] == ["first", "second"]


async def test_a_question_whose_images_were_being_read_is_there_after_a_crash(tmp_path: Path) -> None:
    reader = Reader()
    reader.hangs = True
    settings = EngineSettings(image_mode=ImageMode.OCR, store=str(tmp_path / "chats.db"))
    async with open_box(settings=settings, read_image=reader) as (engine, _):
        await engine.submit_turn("s", "look", images=[FIRST])
        await wait_all_tasks_blocked()
        shutil.copyfile(tmp_path / "chats.db", tmp_path / "crashed.db")
        shutil.copyfile(tmp_path / "chats.db-wal", tmp_path / "crashed.db-wal")

    reader.hangs = False
    settings = msgspec.structs.replace(settings, store=str(tmp_path / "crashed.db"))
    async with open_box(settings=settings, sessions={}, read_image=reader) as (engine, model):
        assert (await engine.snapshot("s")).record.status is SessionStatus.ABORTED
        outcome = await engine.wait_turn("s", await engine.resume_turn("s"))

    assert outcome.status is SessionStatus.COMPLETED
    assert sent_images(model.requests[0]) == [msgspec.structs.replace(FIRST, text="first")]


async def test_images_of_a_message_have_a_limit_each_and_together() -> None:
    big = Image("image/png", bytes(refusals.LARGEST_IMAGE))
    async with open_box() as (engine, model):
        with pytest.raises(EngineError, match="an image has 1 to 20,000,000 bytes, not 20,000,001"):
            await engine.run_turn("s", "look", images=[Image("image/png", big.data + b"x")])
        with pytest.raises(EngineError, match="120,000,000 bytes; at most 100,000,000 are taken"):
            await engine.run_turn("s", "look", images=[big] * 6)

    assert model.calls == 0


async def test_a_turn_is_stopped_while_an_image_is_read() -> None:
    reader = Reader()
    reader.hangs = True
    async with open_box(settings=OCR, read_image=reader) as (engine, model):
        task_id = await engine.submit_turn("s", "look", images=[FIRST])
        await wait_all_tasks_blocked()
        assert (await engine.pool_status()).running == 1
        assert await engine.abort_turn("s")
        assert (await engine.wait_turn("s", task_id)).status is SessionStatus.ABORTED
        await wait_all_tasks_blocked()
        assert (await engine.pool_status()).running == 0

    assert model.calls == 0


async def test_text_is_read_in_images_only_where_somebody_can_do_it() -> None:
    with pytest.raises(EngineError, match="needs `read_image`") as caught:
        async with open_engine(OCR):
            pass

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT


async def test_what_goes_with_a_message_is_in_its_chat_file(tmp_path: Path) -> None:
    image = Image("image/png", bytes(range(256)), "all.png")
    reference = FileReference("a.py", datetime(2026, 1, 1, tzinfo=UTC), "x = 1", 3, 3)
    attachment = Attachment("b.txt", "B")
    settings = EngineSettings(project_roots=(str(tmp_path),))
    async with open_engine(settings) as engine:
        path, session_id = await engine.create_chat_file(str(tmp_path), NewSession())
        await engine.run_turn(
            session_id, "look", images=[image], references=[reference], attachments=[attachment]
        )
        before = await engine.snapshot(session_id)

    model = ScriptedModel()
    async with open_engine(settings, model_for=lambda _: model) as engine:
        await engine.open_chat(path, session_id)
        after = await engine.snapshot(session_id)
        await engine.run_turn(session_id, "and again")

    assert after.branch == before.branch
    asked = model.requests[0].messages[0]
    assert asked.content == Text(
        "look", attachments=(attachment,), images=(image,), references=(reference,)
    )
