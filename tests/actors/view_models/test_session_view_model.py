"""A view of one session: what each event changes, and what its user's own steps show."""

from __future__ import annotations

import msgspec
import pytest

from actors.conversation import TextPart, ToolCall
from actors.errors import EngineError, ErrorCode
from actors.events import Lagged, TaskFinished, TaskOutcome, ToolCallsUpdated
from actors.groups import NodeStatus
from actors.records import CallState, SessionStatus
from actors.view_models import Applied, SessionViewModel
from tests.actors.simulated_session import SimulatedSession

BUSY = EngineError(ErrorCode.SESSION_BUSY, "busy")


class Viewed:
    """A session, its view from the beginning, and the errors that the view was to show."""

    def __init__(self) -> None:
        self.session = SimulatedSession()
        self.errors: list[EngineError] = []
        self.view = SessionViewModel(self.session.snapshot, self.errors.append)

    def catch_up(self) -> None:
        for event in self.session.events[self.view.cursor.seq :]:
            assert self.view.apply(event) is Applied.CHANGED

    def finish(self, task_id: str, status: SessionStatus) -> None:
        """Let the view hear of the end of a task, and of nothing else."""
        self.session.say(
            TaskFinished(TaskOutcome(session_id="s", task_id=task_id, status=status, prompt="")), task_id
        )
        self.catch_up()


@pytest.fixture
def viewed() -> Viewed:
    return Viewed()


# --- what is told -----------------------------------------------------------------------------------


def test_a_question_and_its_answer_are_appended_and_the_answer_grows(viewed: Viewed) -> None:
    viewed.session.ask("Why?")
    viewed.catch_up()
    assert [group.content for group in viewed.view.groups] == ["Why?"]
    assert (viewed.view.status, viewed.view.is_generating) == (SessionStatus.RUNNING, True)

    texts: list[str | None] = []
    for piece in ("Be", "cause", "."):
        viewed.session.stream(TextPart(piece))
        viewed.catch_up()
        root = viewed.view.groups[-1].execution_root
        assert root is not None
        assert root.status is NodeStatus.RUNNING
        texts.append(root.data.output)

    assert texts == ["Be", "Because", "Because."]
    viewed.session.end(SessionStatus.COMPLETED)
    viewed.catch_up()
    assert (viewed.view.status, viewed.view.is_generating) == (SessionStatus.COMPLETED, False)


def test_an_answer_is_seen_at_every_moment_from_its_first_piece_on(viewed: Viewed) -> None:
    viewed.session.ask("Why?")
    viewed.session.stream(TextPart("Because."))
    viewed.session.end(SessionStatus.COMPLETED)
    seen: list[int] = []
    for event in viewed.session.events:
        viewed.view.apply(event)
        seen.append(len(viewed.view.groups))

    assert seen == sorted(seen)
    assert seen[-1] == 2


def test_a_turn_that_fails_is_shown_and_its_error_said_once(viewed: Viewed) -> None:
    viewed.session.ask("Why?")
    viewed.session.end(SessionStatus.FAILED)
    viewed.catch_up()

    assert (viewed.view.status, viewed.view.is_generating) == (SessionStatus.FAILED, False)
    assert viewed.view.error is not None
    assert [error.code for error in viewed.errors] == [ErrorCode.NETWORK_ERROR]


def test_the_end_of_a_task_ends_that_task_and_no_other(viewed: Viewed) -> None:
    viewed.session.ask("Why?")
    task_id = viewed.session.task_id
    assert task_id is not None

    viewed.finish("another", SessionStatus.COMPLETED)
    assert viewed.view.is_generating
    viewed.finish(task_id, SessionStatus.COMPLETED)
    assert (viewed.view.is_generating, viewed.view.status) == (False, SessionStatus.COMPLETED)


def test_where_the_tool_calls_stand_is_shown_as_it_is_told(viewed: Viewed) -> None:
    viewed.session.ask("Look")
    viewed.session.call_tools(ToolCall("c", "look", "{}"))
    viewed.catch_up()
    (call,) = viewed.session.open_calls
    request_id = viewed.session.record.active_leaf_id
    assert request_id is not None

    executing = msgspec.structs.replace(call, state=CallState.EXECUTING)
    viewed.session.say(ToolCallsUpdated(request_id, (executing,)))
    viewed.catch_up()

    root = viewed.view.groups[-1].execution_root
    assert root is not None
    assert [node.status for node in root.children] == [NodeStatus.RUNNING]


def test_pieces_of_a_message_that_nobody_knows_change_nothing(viewed: Viewed) -> None:
    viewed.session.ask("Why?")
    viewed.catch_up()
    before = viewed.view.groups

    viewed.session.stream_to("nobody", TextPart("lost"))
    viewed.catch_up()

    assert viewed.view.groups == before


# --- order ------------------------------------------------------------------------------------------


def test_events_that_the_snapshot_has_already_are_ignored(viewed: Viewed) -> None:
    viewed.session.ask("Why?")
    viewed.session.stream(TextPart("Because."))
    late = SessionViewModel(viewed.session.snapshot)
    before = late.groups

    assert {late.apply(event) for event in viewed.session.events} == {Applied.STALE}
    assert late.groups == before


def test_a_missing_event_is_a_gap_and_nothing_is_shown_after_it_until_a_new_snapshot(
    viewed: Viewed,
) -> None:
    viewed.session.ask("Why?")
    first, _, *rest = viewed.session.events

    assert viewed.view.apply(first) is Applied.CHANGED
    assert {viewed.view.apply(event) for event in rest} == {Applied.GAP}
    assert viewed.view.has_gap
    viewed.view.reset(viewed.session.snapshot)
    assert not viewed.view.has_gap
    assert len(viewed.view.groups) == 1


def test_lost_events_are_a_gap(viewed: Viewed) -> None:
    assert viewed.view.apply(Lagged(3)) is Applied.GAP
    assert viewed.view.has_gap


def test_numbers_go_on_over_a_reload_and_a_crash_that_took_some_back_is_a_gap(viewed: Viewed) -> None:
    viewed.session.rename("a title")
    viewed.catch_up()
    viewed.session.reload()
    viewed.session.rename("another")
    viewed.catch_up()
    assert viewed.view.record.title == "another"

    viewed.session.reload()
    viewed.session.forget_events(1)
    viewed.session.rename("after the crash")
    assert viewed.view.apply(viewed.session.events[-2]) is Applied.GAP


# --- what the user does -----------------------------------------------------------------------------


def test_two_sends_at_once_are_one(viewed: Viewed) -> None:
    assert viewed.view.sending()
    assert (viewed.view.is_generating, viewed.view.status) == (True, SessionStatus.RUNNING)
    assert not viewed.view.sending()


def test_a_refused_send_or_retry_is_shown_as_failed_and_said(viewed: Viewed) -> None:
    viewed.view.sending()
    viewed.view.refused(BUSY)

    assert (viewed.view.is_generating, viewed.view.status) == (False, SessionStatus.FAILED)
    assert viewed.view.error == BUSY.info
    assert [error.code for error in viewed.errors] == [ErrorCode.SESSION_BUSY]


def test_what_was_shown_beforehand_gives_way_to_what_is_told(viewed: Viewed) -> None:
    viewed.view.sending()
    viewed.view.refused(BUSY)
    viewed.session.ask("Why?")
    viewed.catch_up()

    assert (viewed.view.status, viewed.view.error) == (SessionStatus.RUNNING, None)


def test_a_stop_is_shown_at_once_and_the_late_end_of_that_task_does_not_undo_it(viewed: Viewed) -> None:
    viewed.session.ask("Why?")
    task_id = viewed.session.task_id
    assert task_id is not None
    viewed.catch_up()

    viewed.view.aborted()
    assert (viewed.view.status, viewed.view.is_generating) == (SessionStatus.ABORTED, False)
    viewed.session.stream(TextPart("Be"))
    viewed.session.steer("And?")
    viewed.catch_up()
    viewed.finish(task_id, SessionStatus.COMPLETED)
    assert viewed.view.status is SessionStatus.ABORTED
    viewed.session.end(SessionStatus.ABORTED)
    viewed.catch_up()
    assert (viewed.view.status, viewed.errors) == (SessionStatus.ABORTED, [])


def test_after_a_stop_the_next_turn_is_shown(viewed: Viewed) -> None:
    viewed.session.ask("Why?")
    viewed.catch_up()
    viewed.view.aborted()
    viewed.session.end(SessionStatus.ABORTED)
    viewed.session.ask("How?")
    viewed.catch_up()

    assert viewed.view.status is SessionStatus.RUNNING


def test_there_is_nothing_to_stop_in_a_session_that_is_ready(viewed: Viewed) -> None:
    viewed.view.aborted()

    assert viewed.view.status is SessionStatus.IDLE
