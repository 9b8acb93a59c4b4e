"""Why a session refuses a command."""

from __future__ import annotations

from actors.conversation import Message, Role
from actors.errors import ErrorCode, ErrorInfo
from actors.records import Question
from actors.session.state import SessionState

__all__ = [
    "LONGEST_TEXT",
    "busy",
    "invalid",
    "not_a",
    "not_unicode",
    "stale",
    "unknown_message",
    "unloading",
    "unusable_question",
    "unusable_text",
    "wrong_request_id",
]

LONGEST_TEXT = 10_000_000
"""Characters of a message and its attachments together."""

LARGEST_IMAGE = 20_000_000
"""Bytes of one image."""

MOST_IMAGE_BYTES = 100_000_000
"""Bytes of all images of one message."""

LONGEST_REQUEST_ID = 200


def invalid(message: str) -> ErrorInfo:
    return ErrorInfo(ErrorCode.INVALID_ARGUMENT, message)


def busy(state: SessionState) -> ErrorInfo:
    assert state.turn is not None
    return ErrorInfo(
        ErrorCode.SESSION_BUSY,
        f"session {state.session_id} is busy with task {state.turn.task_id}: wait for it, or abort it",
    )


def unloading(state: SessionState) -> ErrorInfo:
    return ErrorInfo(
        ErrorCode.SESSION_BUSY, f"session {state.session_id} is being unloaded: ask again when it is"
    )


def stale(state: SessionState, expected_version: int | None) -> ErrorInfo | None:
    version = state.known_record().version
    if expected_version in (None, version):
        return None
    return ErrorInfo(
        ErrorCode.CONFLICT,
        f"session {state.session_id} is at version {version}, not {expected_version}: look at it again",
        {"version": version},
    )


def unknown_message(state: SessionState, message_id: str) -> ErrorInfo:
    return invalid(f"session {state.session_id} has no message {message_id!r}")


def not_a(role: Role, message: Message) -> ErrorInfo:
    return invalid(f"message {message.message_id} is of the {message.role}, not of the {role}")


def wrong_request_id(request_id: str | None) -> ErrorInfo | None:
    if request_id is None:
        return None
    if 0 < len(request_id) <= LONGEST_REQUEST_ID and request_id.isprintable():
        return None
    return invalid(
        f"a request id has 1 to {LONGEST_REQUEST_ID} printable characters: not {request_id[:40]!a}"
    )


def not_unicode(*texts: str) -> ErrorInfo | None:
    """Half a surrogate pair, which no store and no wire can take."""
    try:
        for text in texts:
            text.encode()
    except UnicodeEncodeError as error:
        return invalid(f"that is not Unicode text: {error.reason}")
    return None


def unusable_text(text: str) -> ErrorInfo | None:
    return unusable_question(Question(text))


def unusable_question(question: Question) -> ErrorInfo | None:
    if not question.text.strip() and not question.images:
        return invalid("the message is empty")
    files = [(one.file_name, one.content) for one in question.attachments]
    files += [(one.path, one.content) for one in question.references]
    length = len(question.text) + sum(len(content) for _, content in files)
    if length > LONGEST_TEXT:
        return invalid(f"the message has {length:,} characters; at most {LONGEST_TEXT:,} are taken")
    for image in question.images:
        if not image.media_type.startswith("image/"):
            return invalid(f"{image.media_type!r} is no image: give one as image/png, image/jpeg, ...")
        if not 0 < len(image.data) <= LARGEST_IMAGE:
            return invalid(f"an image has 1 to {LARGEST_IMAGE:,} bytes, not {len(image.data):,}")
    total = sum(len(image.data) for image in question.images)
    if total > MOST_IMAGE_BYTES:
        return invalid(
            f"the images of a message have {total:,} bytes; at most {MOST_IMAGE_BYTES:,} are taken"
        )
    named = [text for image in question.images for text in (image.media_type, image.file_name, image.text)]
    return not_unicode(question.text, *named, *(text for file in files for text in file))
