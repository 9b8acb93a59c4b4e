"""How a person's words, with the files and pictures that go with them, are put to a model on every wire."""

from __future__ import annotations

import base64

from actors.conversation import FileReference, Image, Text

__all__ = ["data_url", "is_plain", "said"]


def is_plain(text: Text) -> bool:
    """Whether nothing goes with the words."""
    return not (text.images or text.references or text.attachments)


def said(content: Text | Image | FileReference) -> list[str | Image]:
    """Pieces for the model, in order: texts, and the pictures that are to be looked at.

    Pictures and file references stand before the words, attachments behind them. A picture that was read
    already is its text. Texts are never empty, and no two stand side by side.
    """
    match content:
        case Image():
            pieces = [_picture(content)]
        case FileReference():
            pieces: list[str | Image] = [_reference(content)]
        case Text(text, _, attachments, images, references):
            pieces = [_picture(image) for image in images]
            pieces += map(_reference, references)
            pieces += [text] if text else []
            pieces += [_file(each.file_name, each.content) for each in attachments]
    return _joined(pieces)


def data_url(image: Image) -> str:
    return f"data:{image.media_type};base64,{base64.b64encode(image.data).decode()}"


def _joined(pieces: list[str | Image]) -> list[str | Image]:
    joined: list[str | Image] = []
    for piece in pieces:
        before = joined[-1] if joined else None
        if isinstance(piece, str) and isinstance(before, str):
            joined[-1] = f"{before}\n\n{piece}"
        else:
            joined.append(piece)
    return joined


def _picture(image: Image) -> str | Image:
    return _file(image.file_name or "image", image.text) if image.text else image


def _reference(reference: FileReference) -> str:
    first, last = reference.first_line, reference.last_line
    if first is None and last is None:
        return _file(reference.path, reference.content)
    lines = str(first or 1) if first == last else f"{first or 1}-{'' if last is None else last}"
    return _file(reference.path, reference.content, f' lines="{lines}"')


def _file(name: str, content: str, more: str = "") -> str:
    quoted = name.replace('"', "&quot;").replace("\n", " ")
    return f'<file name="{quoted}"{more}>\n{content}\n</file>'
