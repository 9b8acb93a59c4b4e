"""The child task that reads text in images, for models that see none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from actors.conversation import Image
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.session.protocol import ImagesRead
from actors.session.storable import storable_error, storable_text
from runtime import get_logger

__all__ = ["ReadImage", "read_images"]

ReadImage: TypeAlias = Callable[[Image], Awaitable[str]]
"""Reads the text in an image. It must not block; an `EngineError` that it raises ends the turn."""

_log = get_logger("session")

_NOTHING = "(There is no text in this image.)"


async def read_images(
    task_id: str, images: tuple[tuple[str, tuple[Image, ...]], ...], read_image: ReadImage
) -> ImagesRead:
    """The text of each image, one after the other; what has its text is not read again.

    Where one cannot be read, what was read before it is there, beside the error.
    """
    texts = {message_id: [image.text for image in shown] for message_id, shown in images}
    failure = None
    try:
        for message_id, shown in images:
            for place, image in enumerate(shown):
                texts[message_id][place] = image.text or await _read(image, read_image)
    except EngineError as error:
        failure = storable_error(error.info)
    except Exception as error:  # noqa: BLE001 - translation edge: a reader may raise anything
        _log.exception("an image could not be read", task_id=task_id)
        what = f"an image could not be read: {type(error).__name__}"
        failure = ErrorInfo(ErrorCode.EXECUTION_FAILED, what)
    return ImagesRead(task_id, tuple((one, tuple(read)) for one, read in texts.items()), failure)


async def _read(image: Image, read_image: ReadImage) -> str:
    return storable_text((await read_image(image)).strip()) or _NOTHING
