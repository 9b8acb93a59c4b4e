"""Asking again: by another agent, with other values, from the beginning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.conversation import Attachment, Role, Text
from actors.errors import ErrorCode, ErrorInfo
from actors.records import SessionStatus
from actors.session.protocol import Rerun, RetryAnswer, SessionChanges, SubmitTurn, UpdateSession
from actors.session.template import names_in
from tests.actors.session.scenes import answer, arrive, ask, code_of, converse, ready_world, task_of, texts
from tests.actors.session.world import World

BROKEN = ErrorInfo(ErrorCode.NETWORK_ERROR, "gone")


def conversation() -> World:
    world = ready_world()
    converse(world, "one", "two", "three")
    return world


# --- by whom ----------------------------------------------------------------------------------------


def test_a_retry_by_an_agent_is_an_answer_beside_the_first_with_its_model_and_prompt() -> None:
    world = ready_world(system_prompt="You are a session.")
    converse(world, "why?")
    question, first = world.stored().messages

    task_id = task_of(world, RetryAnswer(message_id=first.message_id, executor_id="expert"))
    assert world.calls[task_id].system_prompt == "You are an expert."
    assert [message.content for message in world.calls[task_id].messages] == [Text("why?")]
    answer(world, "because")

    retried = world.stored().messages[-1]
    assert retried.parent_id == first.parent_id == question.message_id
    assert (retried.model, retried.executor_id) == ("scripted:expert", "expert")
    assert (first.model, first.executor_id) == ("scripted:echo", None)
    assert texts(world) == ["why?", "because"]
    assert world.stored().record.model == "scripted:echo"


def test_an_agent_without_a_model_and_a_prompt_has_those_of_the_session() -> None:
    world = ready_world(system_prompt="You are a session.")

    task_id = task_of(world, SubmitTurn(text="why?", executor_id="modest"))
    answer(world, "because")

    assert world.calls[task_id].system_prompt == "You are a session."
    last = world.stored().messages[-1]
    assert (last.model, last.executor_id) == ("scripted:echo", "modest")


@pytest.mark.parametrize(("executor_id", "kind"), [("nobody", "agent"), ("homeless", "model")])
def test_an_executor_that_does_not_exist_is_refused_by_its_kind_and_nothing_is_stored(
    executor_id: str, kind: str
) -> None:
    world = conversation()
    last = world.stored().messages[-1].message_id
    revision, seq = world.state.revision, world.state.events.seq

    for command in (
        SubmitTurn(text="why?", executor_id=executor_id),
        RetryAnswer(message_id=last, executor_id=executor_id),
    ):
        refusal = ask(world, command)
        assert isinstance(refusal, ErrorInfo)
        assert (refusal.code, refusal.details["kind"]) == (ErrorCode.EXECUTOR_NOT_FOUND, kind)

    assert (world.state.revision, world.state.events.seq) == (revision, seq)
    assert world.state.turn is None
    assert not world.pool.holds("s")


def test_a_session_is_not_given_a_model_that_does_not_exist() -> None:
    world = ready_world()

    refusal = ask(world, UpdateSession(changes=SessionChanges(model="nowhere:model")))

    assert isinstance(refusal, ErrorInfo)
    assert (refusal.code, refusal.details["kind"]) == (ErrorCode.EXECUTOR_NOT_FOUND, "model")
    assert world.stored().record.model == "scripted:echo"


def test_only_an_answer_is_tried_again() -> None:
    world = conversation()
    question = world.stored().messages[0].message_id

    assert code_of(ask(world, RetryAnswer(message_id=question))) is ErrorCode.INVALID_ARGUMENT
    assert code_of(ask(world, RetryAnswer(message_id="nobody's"))) is ErrorCode.INVALID_ARGUMENT


# --- from the beginning -----------------------------------------------------------------------------


def test_a_rerun_asks_every_question_once_in_order_and_each_sees_the_new_answers() -> None:
    world = conversation()
    task_id = task_of(world, Rerun())

    seen: list[list[str]] = []
    for number in "123":
        seen.append([m.content.text for m in world.calls[task_id].messages if isinstance(m.content, Text)])
        answer(world, number)

    assert seen == [["one"], ["one", "1", "two"], ["one", "1", "two", "2", "three"]]
    assert texts(world) == ["one", "1", "two", "2", "three", "3"]
    assert list(world.outcomes)[-1] == task_id
    assert world.running_call is None


def test_a_rerun_keeps_the_attachments_and_what_was_said_before_on_its_own_branch() -> None:
    world = ready_world()
    attached = (Attachment("a.txt", "content"),)
    task_of(world, SubmitTurn(text="read", attachments=attached))
    answer(world, "first")
    before = world.stored().messages

    task_of(world, Rerun())
    answer(world, "second")

    assert world.stored().messages[: len(before)] == before
    (question,) = [m for m in world.stored().messages[len(before) :] if m.role is Role.USER]
    assert question.content == Text("read", attachments=attached)


def test_a_rerun_ends_with_the_first_question_that_fails_and_keeps_what_is_answered() -> None:
    world = conversation()
    task_id = task_of(world, Rerun())
    answer(world, "1")

    world.end_call(BROKEN)
    arrive(world)

    assert texts(world) == ["one", "1", "two", ""]
    assert world.outcomes[task_id].status is SessionStatus.FAILED
    assert world.outcomes[task_id].error == BROKEN
    assert world.running_call is None


def test_a_session_without_a_question_has_nothing_to_ask_again() -> None:
    assert code_of(ask(ready_world(), Rerun())) is ErrorCode.INVALID_ARGUMENT


def test_a_system_prompt_must_find_all_its_names_and_those_that_are_missing_are_named() -> None:
    world = ready_world(system_prompt="You are {{who}} in {{where}}.")
    converse(world, "one")

    refusal = ask(world, Rerun(input_data={"who": "Ada"}))

    assert isinstance(refusal, ErrorInfo)
    assert refusal.code is ErrorCode.INVALID_ARGUMENT
    assert "where" in refusal.message
    assert "who," not in refusal.message
    assert world.state.turn is None


@given(st.text("{}n ab|", min_size=1, max_size=20).filter(str.strip), st.text("{}n x", max_size=10))
def test_values_replace_their_names_and_nothing_else_and_no_stored_text_changes(
    text: str, value: str
) -> None:
    prompt = "You are {{n}}. { } {{"
    world = ready_world(system_prompt=prompt)
    converse(world, f"|{text}|", "say {{n}}")
    before = world.stored()

    task_id = task_of(world, Rerun(input_data={"n": value}))
    assert world.calls[task_id].system_prompt == f"You are {value}. {{ }} {{{{"
    answer(world, "1")
    answer(world, "2")

    first, second = texts(world, role=Role.USER)
    assert second == f"say {value}"
    assert names_in(text) or first == f"|{text}|"
    stored = world.stored()
    assert stored.record.system_prompt == prompt
    assert stored.messages[: len(before.messages)] == before.messages
