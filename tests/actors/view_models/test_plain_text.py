"""A session as text: the pieces that a window would show."""

from __future__ import annotations

from actors.conversation import TextPart, ThoughtPart, ToolCall, ToolStatus
from actors.records import SessionStatus
from actors.view_models import SessionViewModel, chat_text
from tests.actors.simulated_session import SimulatedSession


def shown(session: SimulatedSession, *, allowed: bool) -> str:
    view = SessionViewModel(session.snapshot)
    return chat_text(view.groups, can_delete=lambda _: allowed, can_retry=lambda _: allowed)


def test_a_conversation_shows_its_texts_its_tools_and_the_buttons_that_are_allowed() -> None:
    session = SimulatedSession()
    session.ask("Why?\x1b[2J")
    session.stream(ThoughtPart("Hm."), TextPart("I look."))
    session.call_tools(ToolCall("c", "look", "{}"))
    session.end_tools(ToolStatus.SUCCEEDED, "seen")
    session.stream(TextPart("Because."))
    session.end(SessionStatus.COMPLETED)
    session.retry(session.questions[0])
    session.stream(TextPart("Be"))
    session.end(SessionStatus.ABORTED)
    second = shown(session, allowed=False)
    session.switch(list(session.tree)[1].message_id)

    assert shown(session, allowed=True) == (
        "user\nWhy?[2J\n[Delete]\n\n"
        "assistant 1/2\nThinking...\nHm.\nlook: done\nI look.\n\nBecause.\n[Retry]\n"
    )
    assert second == "user\nWhy?[2J\n\nassistant 2/2\nBe\n(stopped)\n"


def test_a_session_without_messages_shows_nothing() -> None:
    assert shown(SimulatedSession(), allowed=True) == ""
