"""Changes of what was said, of what is shown, and of what counts as read."""

from __future__ import annotations

import pytest

from actors.conversation import Attachment, Message, Text, ToolCallRequest, ToolResult
from actors.errors import ErrorCode, ErrorInfo
from actors.events import ContextUpdated
from actors.records import SessionStatus
from actors.session.protocol import (
    AbortTurn,
    DeleteMessage,
    EditMessage,
    MarkRead,
    RetryAnswer,
    SessionChanges,
    SessionCommand,
    SessionSnapshot,
    SubmitTurn,
    SwitchBranch,
    UpdateSession,
)
from actors.session.refusals import LONGEST_TEXT
from tests.actors.session.promises import check_sendable
from tests.actors.session.scenes import (
    FREE,
    answer,
    arrive,
    ask,
    asked,
    code_of,
    converse,
    ready_world,
    said,
    streaming_world,
    task_of,
    texts,
)
from tests.actors.session.world import PERMANENT, World


def conversation() -> World:
    world = ready_world()
    converse(world, "one", "two", "three")
    return world


def found(world: World, text: str) -> Message:
    (message,) = [message for message in world.stored().messages if said(message) == text]
    return message


# --- texts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "attachments"),
    [
        ("a" * (LONGEST_TEXT + 1), ()),
        ("a", (Attachment("a.txt", "b" * LONGEST_TEXT),)),
        ("a", (Attachment("a.txt", "\ud83d"),)),
        ("a", (Attachment("\ud83d.txt", "b"),)),
    ],
)
def test_a_text_that_is_too_long_or_no_text_is_refused_with_nothing_stored(
    text: str, attachments: tuple[Attachment, ...]
) -> None:
    world = ready_world()
    revision = world.state.revision

    refused = ask(world, SubmitTurn(text=text, attachments=attachments))

    assert code_of(refused) is ErrorCode.INVALID_ARGUMENT
    assert (world.state.turn, world.state.revision) == (None, revision)


def test_how_long_a_text_is_and_may_be_is_said() -> None:
    refused = ask(ready_world(), SubmitTurn(text="a" * (LONGEST_TEXT + 1)))

    assert isinstance(refused, ErrorInfo)
    assert f"{LONGEST_TEXT + 1:,}" in refused.message
    assert f"{LONGEST_TEXT:,}" in refused.message


def test_an_edit_changes_the_text_in_its_place_and_keeps_the_attachments() -> None:
    world = ready_world()
    attached = (Attachment("a.txt", "content"),)
    task_of(world, SubmitTurn(text="read", attachments=attached))
    answer(world, "yes")

    assert ask(world, EditMessage(message_id=found(world, "read").message_id, text="look")) is None

    assert found(world, "look").content == Text("look", attachments=attached)
    assert texts(world) == ["look", "yes"]
    assert world.running_call is None


def test_an_edit_with_a_rerun_is_asked_beside_the_old_text_and_what_followed_stays_there() -> None:
    world = conversation()
    old = found(world, "two")

    task_of(world, EditMessage(message_id=old.message_id, text="deux", rerun=True))
    answer(world, "to deux")

    assert texts(world) == ["one", "to one", "deux", "to deux"]
    assert found(world, "deux").parent_id == old.parent_id
    assert found(world, "two") == old
    assert found(world, "three").parent_id == found(world, "to two").message_id


def test_only_what_a_user_said_is_edited() -> None:
    world = conversation()
    answered = found(world, "to one").message_id

    assert code_of(ask(world, EditMessage(message_id=answered, text="x"))) is ErrorCode.INVALID_ARGUMENT
    assert code_of(ask(world, EditMessage(message_id="nobody's", text="x"))) is ErrorCode.INVALID_ARGUMENT


def test_a_deleted_question_takes_its_answers_along_and_what_followed_moves_up() -> None:
    world = conversation()
    first, answered = found(world, "one"), found(world, "to one")

    gone = ask(world, DeleteMessage(message_id=first.message_id))

    assert gone == (first.message_id, answered.message_id)
    assert texts(world) == ["two", "to two", "three", "to three"]
    task_id = task_of(world, SubmitTurn(text="four"))
    check_sendable(world.calls[task_id].messages)
    assert said(world.calls[task_id].messages[0]) == "two"


def test_a_deleted_answer_takes_its_tool_calls_and_their_results_along() -> None:
    world = asked(FREE)
    world.end_tool("call_free")
    arrive(world)
    answer(world, "done")

    ask(world, DeleteMessage(message_id=found(world, "done").message_id))

    assert texts(world) == ["do it"]
    contents = [message.content for message in world.stored().messages]
    assert not any(isinstance(content, ToolCallRequest | ToolResult) for content in contents)


def test_a_branch_is_shown_to_its_newest_end() -> None:
    world = conversation()
    task_of(world, EditMessage(message_id=found(world, "two").message_id, text="deux", rerun=True))
    answer(world, "to deux")

    ask(world, SwitchBranch(message_id=found(world, "two").message_id))
    assert texts(world)[-1] == "to three"
    ask(world, SwitchBranch(message_id=found(world, "deux").message_id))
    assert texts(world)[-1] == "to deux"
    assert code_of(ask(world, SwitchBranch(message_id="nobody's"))) is ErrorCode.INVALID_ARGUMENT


@pytest.mark.parametrize("rerun", [False, True])
def test_a_change_of_a_version_that_is_not_the_last_is_refused_and_both_are_named(rerun: bool) -> None:
    world = conversation()
    version = world.stored().record.version
    message_id = found(world, "one").message_id
    commands: list[SessionCommand] = [
        EditMessage(message_id=message_id, text="x", rerun=rerun, expected_version=version - 1),
        DeleteMessage(message_id=message_id, expected_version=version + 1),
        UpdateSession(changes=SessionChanges(title="x"), expected_version=version - 1),
    ]

    for command in commands:
        refused = ask(world, command)
        assert isinstance(refused, ErrorInfo)
        assert (refused.code, refused.details["version"]) == (ErrorCode.CONFLICT, version)
        assert f"version {version}, not" in refused.message

    assert world.stored().record.version == version
    current = UpdateSession(changes=SessionChanges(title="x"), expected_version=version)
    assert isinstance(ask(world, current), SessionSnapshot)


def test_nothing_is_changed_while_a_turn_is_unfinished() -> None:
    world = streaming_world()
    message_id = found(world, "why?").message_id
    commands: list[SessionCommand] = [
        EditMessage(message_id=message_id, text="x"),
        DeleteMessage(message_id=message_id),
        SwitchBranch(message_id=message_id),
        RetryAnswer(message_id=message_id),
        UpdateSession(changes=SessionChanges(title="x")),
    ]

    assert {code_of(ask(world, command)) for command in commands} == {ErrorCode.SESSION_BUSY}


# --- what is read -----------------------------------------------------------------------------------


def unread(world: World) -> int:
    return world.stored().record.unread_count


def test_answers_count_as_unread_while_nobody_looks_and_stopped_ones_do_not() -> None:
    world = ready_world()
    world.set_active(active=True)
    arrive(world)
    converse(world, "looked at")
    assert unread(world) == 0

    world.set_active(active=False)
    arrive(world)
    converse(world, "in the background")
    assert unread(world) == 1

    task_of(world, SubmitTurn(text="stopped"))
    ask(world, AbortTurn())
    assert unread(world) == 1

    task_of(world, SubmitTurn(text="fails"))
    world.end_call(ErrorInfo(ErrorCode.NETWORK_ERROR, "gone"))
    arrive(world)
    assert unread(world) == 2

    ask(world, MarkRead())
    assert unread(world) == 0


def test_a_turn_of_several_model_calls_is_one_unread_answer() -> None:
    world = asked(FREE)
    world.end_tool("call_free")
    arrive(world)
    answer(world, "done")

    assert world.stored().record.status is SessionStatus.COMPLETED
    assert unread(world) == 1


def test_what_is_unread_is_told_when_it_changes_and_only_then() -> None:
    world = conversation()
    observer = world.observers[PERMANENT]

    def told() -> list[int]:
        return [
            event.body.record.unread_count
            for event in observer.seen
            if isinstance(event.body, ContextUpdated)
        ]

    assert (told()[-1], unread(world)) == (3, 3)
    ask(world, MarkRead())
    assert told()[-1] == 0
    events = len(observer.seen)

    ask(world, MarkRead())

    assert len(observer.seen) == events


def test_a_prompt_and_knowledge_that_are_too_long_together_are_refused() -> None:
    half = "a" * (LONGEST_TEXT // 2 + 1)
    refused = ask(
        ready_world(), UpdateSession(changes=SessionChanges(system_prompt=half, knowledge=(half,)))
    )

    assert code_of(refused) is ErrorCode.INVALID_ARGUMENT
