"""Makes messages of what a user says."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.conversation import Image, Message, Role, Text
from actors.records import Question
from actors.session.effects import Now
from actors.session.state import SessionState

__all__ = ["images_in", "new_question", "question_in", "with_images"]


def new_question(
    state: SessionState, question: Question, parent_id: str | None, task_id: str, now: Now
) -> Message:
    return Message(
        message_id=state.new_id(),
        parent_id=parent_id,
        role=Role.USER,
        content=Text(
            question.text,
            attachments=question.attachments,
            images=question.images,
            references=question.references,
        ),
        created_at=now.at,
        task_id=task_id,
    )


def question_in(message: Message) -> Question:
    """What the user said in this message of theirs."""
    content = message.content
    if not isinstance(content, Text):
        return Question("")
    return Question(content.text, content.attachments, content.images, content.references)


def images_in(message: Message) -> tuple[Image, ...]:
    content = message.content
    if isinstance(content, Image):
        return (content,)
    return content.images if isinstance(content, Text) else ()


def with_images(message: Message, images: Sequence[Image]) -> Message:
    """The same message, with these in the places of its images."""
    content = message.content
    if isinstance(content, Text):
        content = msgspec.structs.replace(content, images=tuple(images))
    else:
        (content,) = images
    return msgspec.structs.replace(message, content=content)
