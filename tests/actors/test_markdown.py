"""A session as Markdown; what a text can do to it is in `cli/test_show.py`."""

from __future__ import annotations

import msgspec
import pytest

from actors.conversation import (
    Attachment,
    Content,
    FileReference,
    FinishReason,
    Image,
    Message,
    Processing,
    Role,
    SystemControl,
    Text,
    TextPart,
    ThoughtPart,
    ToolCall,
    ToolStatus,
)
from actors.markdown import session_markdown, snapshot_markdown
from actors.records import SessionStatus
from tests.actors.simulated_session import START, SimulatedSession


def blocks(content: Content) -> str:
    """What the content of one message is written as."""
    session = SimulatedSession()
    message = Message(message_id="m", parent_id=None, role=Role.TOOL, content=content, created_at=START)
    return session_markdown(session.record, [message]).split("## Tool\n\n")[1]


def test_the_visible_branch_reads_in_order() -> None:
    session = SimulatedSession()
    session.record = msgspec.structs.replace(session.record, title="Whys", model="scripted:echo")
    session.ask("Why?")
    session.stream(ThoughtPart("Hm."), TextPart("I look."))
    session.call_tools(ToolCall("c", "look", '{"at": 1}'))
    session.end_tools(ToolStatus.SUCCEEDED, "seen")
    session.stream(TextPart("Because."))
    session.end(SessionStatus.COMPLETED)

    assert snapshot_markdown(session.snapshot) == session_markdown(
        session.record, session.snapshot.branch, frozenset()
    )
    assert (
        snapshot_markdown(session.snapshot)
        == """\
# Whys

- Session: `s`
- Model: `scripted:echo`
- Status: completed
- Created: 2026-01-01 00:00:00 UTC

## User

> Why?

## Assistant

*Thought:*

> Hm.

*Answer:*

> I look.

## Assistant

Calls `look`:

```
{"at": 1}
```

## Tool

`look` succeeded:

```
seen
```

## Assistant

> Because.
"""
    )


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (FinishReason.STOP, ""),
        (FinishReason.TOOL_CALLS, ""),
        (FinishReason.LENGTH, "*(cut at the length limit)*"),
        (FinishReason.CONTENT_FILTER, "*(cut by the provider's content filter)*"),
        (FinishReason.REFUSAL, "*(the model declined to answer)*"),
        (FinishReason.MAX_TURNS, "*(stopped at the limit of model calls)*"),
    ],
)
def test_an_answer_that_is_not_whole_says_why(reason: FinishReason, said: str) -> None:
    session = SimulatedSession()
    message = Message(
        message_id="m",
        parent_id=None,
        role=Role.ASSISTANT,
        content=Text("Hm."),
        created_at=START,
        finish_reason=reason,
    )

    written = session_markdown(session.record, [message])

    assert written.endswith(f"> Hm.\n\n{said}\n" if said else "> Hm.\n")


def test_every_kind_of_message_is_written() -> None:
    assert blocks(Text("See", attachments=(Attachment("a.txt", "A\n```"),))) == (
        "> See\n\nAttached `a.txt`:\n\n````\nA\n```\n````\n"
    )
    assert blocks(Text("", images=(Image("image/png", b"\xff", "cat.png", "a cat"),))) == (
        "Image `cat.png`\n\n> a cat\n"
    )
    assert blocks(Text("See", references=(FileReference("a.py", START, "x = 1", 3, 3),))) == (
        "> See\n\n`a.py`, line 3:\n\n```\nx = 1\n```\n"
    )
    assert blocks(Image("image/png", b"", text="a cat")) == "Image `image/png`\n\n> a cat\n"
    reference = FileReference("a.py", START, "x = 1", first_line=3, last_line=4)
    assert blocks(reference) == "`a.py`, lines 3 to 4:\n\n```\nx = 1\n```\n"
    assert blocks(msgspec.structs.replace(reference, last_line=3)).startswith("`a.py`, line 3:")
    assert blocks(msgspec.structs.replace(reference, last_line=None)).startswith("`a.py`, from line 3:")
    assert blocks(msgspec.structs.replace(reference, first_line=None)).startswith("`a.py`:")
    assert blocks(SystemControl("model", "", "b")) == "Changed `model` from nothing to `b`.\n"
    assert blocks(Processing("retry", 1.25, "ok")) == "`retry`, 1.2 s: ok\n"
