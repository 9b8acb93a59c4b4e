"""What every store promises (`actors.stores.base`)."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import cast

import msgspec
import pytest

from actors.conversation import (
    Attachment,
    FinishReason,
    Message,
    MessageState,
    Role,
    Text,
    ToolCall,
    ToolCallRequest,
    ToolResult,
    ToolStatus,
    Usage,
)
from actors.errors import EngineError, ErrorCode, ErrorInfo
from actors.records import (
    DeleteMessages,
    PutMessage,
    PutSession,
    RunRecord,
    SessionRecord,
    SessionStatus,
    SessionWrite,
    TaskRecord,
    WriteOp,
)
from actors.stores import Store
from tests.actors.stores.samples import NOON, answer, creation, piece, question, record, text_of


def refusals(store: Store, *writes: SessionWrite) -> list[ErrorCode | None]:
    return [error and error.code for error in store.commit(writes)]


def write(store: Store, *ops: WriteOp, session_id: str = "s") -> None:
    """Commit `ops` as the owner's next write."""
    stored = store.read(session_id)
    assert store.commit([SessionWrite(session_id, stored.epoch, stored.revision + 1, ops)]) == (None,)


def test_a_created_session_is_read_back_as_it_was_written(store: Store) -> None:
    whole = SessionRecord(
        session_id="s",
        created_at=NOON,
        updated_at=NOON + timedelta(microseconds=1),
        title="Tëst \x00 😀",
        model="openai:gpt",
        system_prompt="Be brief.",
        owner_id="ann",
        project_id="p",
        status=SessionStatus.FAILED,
        active_leaf_id="m",
        task=TaskRecord("t", "q", priority=2, number=7),
        error=ErrorInfo(ErrorCode.TIMEOUT, "slow", {"after_seconds": 1.5}),
    )

    assert refusals(store, SessionWrite("s", 1, 1, (PutSession(whole),))) == [None]

    stored = store.read("s")
    assert (stored.record, stored.messages, stored.epoch, stored.revision) == (whole, (), 1, 1)


def test_messages_of_every_kind_are_read_back_as_they_were_written(store: Store) -> None:
    messages = (
        Message(message_id="q", parent_id=None, role=Role.USER, content=Text("Why?\x00"), created_at=NOON),
        Message(
            message_id="c",
            parent_id="q",
            role=Role.ASSISTANT,
            content=ToolCallRequest((ToolCall("1", "look", '{"at": "sky"}'),)),
            created_at=NOON.astimezone(timezone(timedelta(hours=2))),
            task_id="t",
            model="openai:gpt",
            finish_reason=FinishReason.TOOL_CALLS,
            usage=Usage(1, 2, 3, 4),
        ),
        Message(
            message_id="r",
            parent_id="c",
            role=Role.TOOL,
            content=ToolResult("1", "look", ToolStatus.FAILED, "dark"),
            created_at=NOON,
        ),
        Message(
            message_id="a",
            parent_id="r",
            role=Role.ASSISTANT,
            content=Text("Beca", "Hm."),
            created_at=NOON,
            state=MessageState.FAILED,
            error=ErrorInfo(ErrorCode.NETWORK_ERROR, "gone", {"http_status": 502}),
        ),
    )

    store.commit([creation("s", *(PutMessage(message) for message in messages))])

    assert store.read("s").messages == messages


def test_messages_keep_the_order_in_which_they_were_first_put(store: Store) -> None:
    store.commit([creation("s", question("b"), question("a"))])
    write(store, question("c"), question("b", "Why not?"))

    assert [message.message_id for message in store.read("s").messages] == ["b", "a", "c"]


def test_sessions_may_use_the_same_message_ids(store: Store) -> None:
    store.commit([creation("s", answer("m")), creation("other", answer("m"))])

    write(store, piece("m", "mine"))

    assert (text_of(store, "s", "m").text, text_of(store, "other", "m").text) == ("mine", "")


def test_an_unknown_session_cannot_be_read_loaded_or_written(store: Store) -> None:
    for find in (store.read, store.load):
        with pytest.raises(EngineError) as raised:
            find("nobody")
        assert raised.value.code is ErrorCode.SESSION_NOT_FOUND
    assert (
        refusals(
            store,
            SessionWrite("nobody", 1, 1, (question("q"),)),
            SessionWrite("nobody", 1, 1, ()),
            SessionWrite("nobody", 1, 2, (PutSession(record("nobody")),)),
            SessionWrite("nobody", 2, 1, (PutSession(record("nobody")),)),
        )
        == [ErrorCode.SESSION_NOT_FOUND] * 4
    )
    assert store.list_sessions() == ()


def test_a_repeated_write_is_acknowledged_and_changes_nothing(store: Store) -> None:
    first = creation("s", answer("a"))
    second = SessionWrite("s", 1, 2, (piece("a", "once"),))
    store.commit([first, second])

    assert refusals(store, second, first, second) == [None, None, None]

    assert text_of(store, "s", "a").text == "once"
    assert store.read("s").revision == 2


def test_a_write_that_leaves_a_gap_is_refused(store: Store) -> None:
    store.commit([creation("s")])

    assert refusals(store, SessionWrite("s", 1, 3, (question("q"),))) == [ErrorCode.CONFLICT]

    assert store.read("s").messages == ()


def test_loading_fences_off_the_former_owner(store: Store) -> None:
    store.commit([creation("s")])

    assert store.load("s").epoch == 2

    assert refusals(
        store, SessionWrite("s", 1, 2, (question("stale"),)), SessionWrite("s", 2, 2, (question("fresh"),))
    ) == [ErrorCode.CONFLICT, None]
    assert [message.message_id for message in store.read("s").messages] == ["fresh"]


def test_a_former_owner_is_not_told_that_its_write_was_kept_when_another_took_its_number(
    store: Store,
) -> None:
    store.commit([creation("s")])
    store.load("s")
    store.commit([SessionWrite("s", 2, 2, (question("fresh"),))])

    assert refusals(store, SessionWrite("s", 1, 2, (question("stale"),))) == [ErrorCode.CONFLICT]


def test_an_epoch_that_nobody_was_given_is_refused(store: Store) -> None:
    store.commit([creation("s")])

    assert refusals(store, SessionWrite("s", 2, 2, (question("q"),))) == [ErrorCode.CONFLICT]


def test_reading_claims_nothing(store: Store) -> None:
    store.commit([creation("s")])

    store.read("s")

    assert store.load("s").epoch == 2


def test_a_refused_write_does_no_harm_to_the_others(store: Store) -> None:
    store.commit([creation("s", answer("a")), creation("other", answer("a"))])

    assert refusals(
        store,
        SessionWrite("s", 1, 2, (piece("a", "one "),)),
        SessionWrite("other", 9, 2, (piece("a", "never"),)),
        SessionWrite("nobody", 1, 2, ()),
        SessionWrite("s", 1, 3, (piece("a", "two"),)),
        SessionWrite("other", 1, 2, (piece("a", "three"),)),
    ) == [None, ErrorCode.CONFLICT, ErrorCode.SESSION_NOT_FOUND, None, None]
    assert (text_of(store, "s", "a").text, text_of(store, "other", "a").text) == ("one two", "three")


def test_a_commit_of_nothing_is_nothing(store: Store) -> None:
    assert store.commit([]) == ()


def test_a_write_without_operations_counts_as_a_revision(store: Store) -> None:
    store.commit([creation("s")])

    write(store)

    assert store.read("s").revision == 2


def test_text_appended_in_many_commits_reads_as_one_message(store: Store) -> None:
    store.commit([creation("s", question("question"), answer("a", "It ", thought="So "))])
    write(store, piece("a", "is ", thought="it "), piece("a", "so "))
    write(store, piece("a", "because", thought="seems"))

    assert text_of(store, "s", "a") == Text("It is so because", "So it seems")
    assert store.load("s").messages == store.read("s").messages


def test_answers_that_grow_side_by_side_keep_apart(store: Store) -> None:
    store.commit([creation(session_id, answer("a")) for session_id in ("s", "other")])
    for number in range(3):
        store.commit(
            [
                SessionWrite("s", 1, number + 2, (piece("a", f"s{number} "),)),
                SessionWrite("other", 1, number + 2, (piece("a", f"o{number} "),)),
            ]
        )
    write(store, answer("a", "all of s", state=MessageState.COMPLETE))
    write(store, piece("a", "o3"), session_id="other")

    assert text_of(store, "s", "a").text == "all of s"
    assert text_of(store, "other", "a").text == "o0 o1 o2 o3"


@pytest.mark.parametrize("state", MessageState)
def test_putting_a_message_replaces_all_text_that_was_appended_before(
    store: Store, state: MessageState
) -> None:
    store.commit([creation("s", answer("a", "draft"))])
    write(store, piece("a", " grows"))

    write(store, piece("a", " here too"), answer("a", "final", state=state))

    assert text_of(store, "s", "a").text == "final"


def test_a_message_that_streams_again_does_not_find_its_old_text(store: Store) -> None:
    store.commit([creation("s", answer("a"), answer("pin"))])
    write(store, piece("a", "old"))
    write(store, answer("a", "done", state=MessageState.COMPLETE))

    write(store, answer("a"), piece("a", "new"))

    assert text_of(store, "s", "a").text == "new"


@pytest.mark.parametrize("state", [MessageState.COMPLETE, MessageState.ABORTED, MessageState.FAILED])
def test_a_final_message_takes_no_text(store: Store, state: MessageState) -> None:
    store.commit([creation("s", answer("a", "done", state=state))])

    assert refusals(store, SessionWrite("s", 1, 2, (piece("a", "more"),))) == [ErrorCode.SESSION_INVALID]

    assert text_of(store, "s", "a").text == "done"


def test_text_for_a_missing_message_is_refused_and_the_write_leaves_no_trace(store: Store) -> None:
    store.commit([creation("s", answer("a"))])
    broken = SessionWrite(
        "s",
        1,
        2,
        (PutSession(record("s", title="new")), question("q"), piece("a", "text"), piece("ghost", "boo")),
    )

    assert refusals(store, broken, SessionWrite("s", 1, 2, (piece("a", "fine"),))) == [
        ErrorCode.SESSION_INVALID,
        None,
    ]

    stored = store.read("s")
    assert (stored.record.title, len(stored.messages), stored.revision) == ("", 1, 2)
    assert text_of(store, "s", "a").text == "fine"


def test_a_message_is_judged_as_the_write_itself_leaves_it(store: Store) -> None:
    store.commit([creation("s", answer("a"))])

    assert refusals(
        store,
        SessionWrite("s", 1, 2, (answer("a", state=MessageState.ABORTED), piece("a", "late"))),
        SessionWrite("s", 1, 2, (answer("b"), piece("b", "early"))),
    ) == [ErrorCode.SESSION_INVALID, None]


def test_the_writes_of_one_commit_see_each_other(store: Store) -> None:
    store.commit([creation("s", answer("a"))])

    assert refusals(
        store,
        SessionWrite("s", 1, 2, (piece("a", "kept"), piece("b", "too early"))),
        SessionWrite("s", 1, 2, (piece("a", "kept"), answer("b"))),
        SessionWrite("s", 1, 3, (piece("b", "in time"), answer("a", "done", state=MessageState.COMPLETE))),
        SessionWrite("s", 1, 4, (piece("a", "too late"),)),
    ) == [ErrorCode.SESSION_INVALID, None, None, ErrorCode.SESSION_INVALID]

    assert (text_of(store, "s", "a").text, text_of(store, "s", "b").text) == ("done", "in time")


def test_an_answer_that_began_last_still_grows_when_the_others_are_done(store: Store) -> None:
    store.commit([creation("s", answer("a"))])
    for number in range(3):
        write(store, piece("a", f"{number}"))
    write(store, answer("b"))
    write(store, answer("a", "012", state=MessageState.COMPLETE))

    write(store, piece("b", "late"))

    assert text_of(store, "s", "b").text == "late"


def test_removed_messages_are_gone_and_no_longer_counted(store: Store) -> None:
    store.commit([creation("s", question("q1"), answer("a1"), question("q2"), answer("a2"))])
    write(store, piece("a1", "half an"))

    write(store, DeleteMessages(("q1", "a1", "never was")))

    assert [message.message_id for message in store.read("s").messages] == ["q2", "a2"]
    (summary,) = store.list_sessions()
    assert (summary.turns, summary.messages) == (1, 2)
    assert text_of(store, "s", "a2").text == ""


def test_a_removed_message_takes_no_text(store: Store) -> None:
    store.commit([creation("s", answer("a"), answer("b"))])

    assert refusals(
        store,
        SessionWrite("s", 1, 2, (DeleteMessages(("a",)), piece("a", "in the same write"))),
        SessionWrite("s", 1, 2, (DeleteMessages(("a",)), piece("b", "fine"))),
        SessionWrite("s", 1, 3, (piece("a", "in a later write"),)),
    ) == [ErrorCode.SESSION_INVALID, None, ErrorCode.SESSION_INVALID]


def test_a_message_put_again_after_its_removal_is_new_and_the_last(store: Store) -> None:
    store.commit([creation("s", answer("a", "old"), answer("b"))])
    write(store, piece("b", "kept"), piece("a", "gone"))

    write(store, piece("a", "gone too"), DeleteMessages(("a",)), answer("a"), piece("a", "new"))
    write(store, DeleteMessages(("b",)), answer("b"))

    assert [message.message_id for message in store.read("s").messages] == ["a", "b"]
    assert (text_of(store, "s", "a").text, text_of(store, "s", "b").text) == ("new", "")


def test_what_hangs_on_a_message_that_grows_stays_with_it(store: Store) -> None:
    growing = Message(
        message_id="a",
        parent_id=None,
        role=Role.ASSISTANT,
        content=Text("", attachments=(Attachment("notes.txt", "n"),)),
        created_at=NOON,
        state=MessageState.STREAMING,
    )
    store.commit([creation("s", PutMessage(growing))])

    write(store, piece("a", "text"))

    assert text_of(store, "s", "a") == Text("text", attachments=(Attachment("notes.txt", "n"),))


def test_a_deleted_session_is_gone_and_the_others_stay(store: Store) -> None:
    store.commit([creation(name, question("q"), answer("a")) for name in ("s", "other")])
    for name in ("s", "other"):
        write(store, piece("a", f"of {name}"), session_id=name)

    store.delete("s")

    for find in (store.read, store.load, store.delete):
        with pytest.raises(EngineError) as raised:
            find("s")
        assert raised.value.code is ErrorCode.SESSION_NOT_FOUND
    assert [summary.session_id for summary in store.list_sessions()] == ["other"]
    assert text_of(store, "other", "a").text == "of other"


def test_no_late_write_brings_a_deleted_session_back(store: Store) -> None:
    store.commit([creation("s", answer("a"))])
    store.load("s")
    store.delete("s")

    late = [
        SessionWrite("s", 2, 2, (piece("a", "late"),)),
        creation("s", answer("a")),
        SessionWrite("s", 2, 2, (PutSession(record("s")),)),
    ]

    assert refusals(store, *late, creation("other")) == [ErrorCode.SESSION_NOT_FOUND] * 3 + [None]
    assert [summary.session_id for summary in store.list_sessions()] == ["other"]


def test_an_unknown_session_cannot_be_deleted(store: Store) -> None:
    with pytest.raises(EngineError) as raised:
        store.delete("nobody")

    assert raised.value.code is ErrorCode.SESSION_NOT_FOUND


def test_a_listing_says_whose_a_session_is(store: Store) -> None:
    owned = msgspec.structs.replace(record("s"), owner_id="ann", project_id="garden")

    store.commit([SessionWrite("s", 1, 1, (PutSession(owned),))])

    (summary,) = store.list_sessions()
    assert (summary.owner_id, summary.project_id) == ("ann", "garden")


def test_a_refused_creation_leaves_no_session(store: Store) -> None:
    assert refusals(store, creation("s", piece("ghost", "boo"))) == [ErrorCode.SESSION_INVALID]

    assert store.list_sessions() == ()


def test_text_that_is_not_unicode_is_refused_without_harm_to_others(store: Store) -> None:
    store.commit([creation("s", answer("a")), creation("other", answer("a"))])

    assert refusals(
        store,
        SessionWrite("s", 1, 2, (piece("a", "half a pair: \ud83d"),)),
        SessionWrite("other", 1, 2, (piece("a", "whole: 😀"),)),
    ) == [ErrorCode.SESSION_INVALID, None]


def test_a_write_that_no_json_can_say_harms_nobody_else(store: Store) -> None:
    details = cast("dict[str, str | int | float]", {"peer": object()})
    error = ErrorInfo(ErrorCode.NETWORK_ERROR, "lost", details)
    writes = [SessionWrite("s", 1, 1, (PutSession(record("s", error=error)),)), creation("t")]
    assert refusals(store, *writes) == [ErrorCode.SESSION_INVALID, None]


def test_a_refusal_names_the_write(store: Store) -> None:
    (error,) = store.commit([SessionWrite("s", 3, 4, ())])

    assert error is not None
    assert error.details == {"session_id": "s", "epoch": 3, "revision": 4}


def test_a_listing_counts_turns_and_messages_and_shows_the_latest_record(store: Store) -> None:
    store.commit([creation("s", question("q1"), answer("a1"), title="first")])
    write(store, question("q2"), answer("a1", "done", state=MessageState.COMPLETE))
    latest = msgspec.structs.replace(
        record("s", title="second"), status=SessionStatus.COMPLETED, updated_at=NOON + timedelta(hours=1)
    )
    write(store, PutSession(latest))

    (summary,) = store.list_sessions()

    assert (summary.session_id, summary.title, summary.model) == ("s", "second", "scripted:echo")
    assert (summary.turns, summary.messages, summary.status) == (2, 3, SessionStatus.COMPLETED)
    assert (summary.created_at, summary.updated_at) == (NOON, NOON + timedelta(hours=1))


def test_a_listing_gives_the_oldest_first_and_equals_in_the_order_of_creation(store: Store) -> None:
    store.commit([creation("late", minute=2), creation("b", minute=1), creation("a", minute=1)])
    store.commit([creation("early")])

    assert [summary.session_id for summary in store.list_sessions()] == ["early", "b", "a", "late"]


def test_the_run_that_was_put_last_is_the_latest(store: Store) -> None:
    assert store.latest_run() is None
    runs = [
        RunRecord(f"run-{n}", "digest", "scripted:echo", NOON - timedelta(days=n), (f"s{n}", f"t{n}"))
        for n in range(2)
    ]
    for run in runs:
        store.put_run(run)
        assert store.latest_run() == run

    again = msgspec.structs.replace(runs[0], session_ids=("s0",))
    store.put_run(again)

    assert store.latest_run() == again


def test_a_run_of_thousands_of_sessions_keeps_their_order(store: Store) -> None:
    session_ids = tuple(f"session-{(n * 7919) % 5000}" for n in range(5000))

    store.put_run(RunRecord("run", "digest", "scripted:echo", NOON, session_ids))

    latest = store.latest_run()
    assert latest is not None
    assert latest.session_ids == session_ids


def test_nothing_mutable_is_shared_with_callers(store: Store) -> None:
    mine: dict[str, str | int | float] = {"after_seconds": 1}
    error = ErrorInfo(ErrorCode.TIMEOUT, "slow", mine)
    store.commit(
        [
            SessionWrite(
                "s",
                1,
                1,
                (PutSession(record("s", error=error)), answer("a", state=MessageState.FAILED, error=error)),
            )
        ]
    )

    mine["after_seconds"] = 2
    for stored in (store.read("s"), store.load("s"), store.read("s")):
        for found in (stored.record.error, stored.messages[0].error):
            assert found is not None
            assert found.details == {"after_seconds": 1}
            found.details["after_seconds"] = 3


def test_closing_twice_is_fine(store: Store) -> None:
    store.close()
    store.close()
