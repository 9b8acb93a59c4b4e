"""What goes with the next question: images and text files."""

from __future__ import annotations

from pathlib import Path

import msgspec

from actors.cli.chat.refused import Refused
from actors.conversation import Attachment, Image

__all__ = ["Enclosures", "read_image", "read_text_file"]

_LARGEST_IMAGE_BYTES = 20_000_000
_LARGEST_TEXT_BYTES = 1_000_000


class Enclosures(msgspec.Struct, frozen=True):
    """Nothing, until something is put in."""

    images: tuple[Image, ...] = ()
    attachments: tuple[Attachment, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.images or self.attachments)

    def with_image(self, image: Image) -> Enclosures:
        return Enclosures((*self.images, image), self.attachments)

    def with_attachment(self, attachment: Attachment) -> Enclosures:
        return Enclosures(self.images, (*self.attachments, attachment))


def read_image(path: str) -> Image:
    """An image file, as what its first bytes say that it is.

    Raises:
        Refused: it cannot be read, is too large, or is none that models take.
    """
    data = _read(path, _LARGEST_IMAGE_BYTES)
    media_type = _media_type(data)
    if not media_type:
        raise Refused(f"{path} is no PNG, JPEG, GIF or WebP image; convert it, or send a text with /file")
    return Image(media_type, data, file_name=Path(path).name)


def read_text_file(path: str) -> Attachment:
    """A text file.

    Raises:
        Refused: it cannot be read, is too large, or is no UTF-8 text.
    """
    data = _read(path, _LARGEST_TEXT_BYTES)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise Refused(f"{path} is no UTF-8 text; an image goes with /image")
    return Attachment(Path(path).name, text)


def _read(path: str, largest_bytes: int) -> bytes:
    try:
        place = Path(path).expanduser()
        if place.is_dir():
            raise Refused(f"{path} is a folder; name a file in it")
        if place.exists() and not place.is_file():
            raise Refused(f"{path} is a pipe, a socket or a device; name a file")
        with place.open("rb") as file:
            data = file.read(largest_bytes + 1)
    except (OSError, RuntimeError, ValueError) as error:  # the last two: no such user's home, a null byte
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Refused(f"cannot read {path}: {reason}") from None
    if not data:
        raise Refused(f"{path} is empty")
    if len(data) > largest_bytes:
        raise Refused(f"{path} has more than {largest_bytes:,} bytes; send a smaller one")
    return data


def _media_type(data: bytes) -> str:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""
