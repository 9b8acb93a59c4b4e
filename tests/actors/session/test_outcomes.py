"""What a turn is said to have come to: the same at once and from the store."""

from __future__ import annotations

import pytest

from actors.conversation import TextPart, ToolCallPart, ToolCallRequest
from actors.events import TaskOutcome
from actors.records import ChatMode
from actors.session.protocol import OnBusy, Rerun, RetryAnswer, SubmitTurn, WaitTurn
from tests.actors.session.scenes import answer, arrive, ask, converse, ready_world, streaming_world, task_of
from tests.actors.session.world import RIVALS, World


def outcomes(world: World, task_id: str) -> tuple[TaskOutcome, TaskOutcome]:
    """As it was told, and as the next incarnation finds it in the store."""
    live = ask(world, WaitTurn(task_id))
    world.release()
    world.run_to_rest()
    stored = ask(world, WaitTurn(task_id))
    assert isinstance(live, TaskOutcome)
    assert isinstance(stored, TaskOutcome)
    return live, stored


def test_a_steered_turn_is_that_of_its_first_question() -> None:
    world = streaming_world()
    task_id = task_of(world, SubmitTurn(text="and how?", on_busy=OnBusy.STEER))
    world.end_call()
    arrive(world)
    answer(world, "so")

    live, stored = outcomes(world, task_id)

    assert live.prompt == stored.prompt == "why?"
    assert live.answer == stored.answer == "so"


def test_a_rerun_is_that_of_its_first_question() -> None:
    world = ready_world()
    converse(world, "one", "two")
    task_id = task_of(world, Rerun())
    answer(world, "1")
    answer(world, "2")

    live, stored = outcomes(world, task_id)

    assert live.prompt == stored.prompt == "one"
    assert live.answer == stored.answer == "2"


def test_a_retry_is_that_of_the_question_also_when_it_is_steered() -> None:
    world = ready_world()
    converse(world, "one")
    first = world.stored().messages[-1].message_id
    task_id = task_of(world, RetryAnswer(message_id=first))
    task_of(world, SubmitTurn(text="shorter", on_busy=OnBusy.STEER))
    answer(world, "long")
    answer(world, "short")

    live, stored = outcomes(world, task_id)

    assert live.prompt == stored.prompt == "one"
    assert live.answer == stored.answer == "short"


def test_what_a_turn_is_said_to_ask_agrees_also_when_it_is_steered_before_it_begins() -> None:
    world = ready_world()
    converse(world, "one")
    first = world.stored().messages[-1].message_id
    world.take_slot(RIVALS[0])
    task_id = task_of(world, RetryAnswer(message_id=first))
    task_of(world, SubmitTurn(text="shorter", on_busy=OnBusy.STEER))
    world.run_to_rest()

    live, stored = outcomes(world, task_id)

    assert live.prompt == stored.prompt


@pytest.mark.parametrize("mode", ChatMode)
def test_tool_calls_without_ids_or_with_the_same_id_are_told_apart(mode: ChatMode) -> None:
    world = streaming_world(mode)
    world.say(*(ToolCallPart(index, call_id, "free", "{}") for index, call_id in enumerate(("c", "c", ""))))
    world.end_call()
    arrive(world)

    (request,) = [
        message.content
        for message in world.stored().messages
        if isinstance(message.content, ToolCallRequest)
    ]
    call_ids = [call.call_id for call in request.calls]
    assert call_ids[0] == "c"
    assert "" not in call_ids
    assert len(set(call_ids)) == 3


def test_an_outcome_names_the_calls_by_the_ids_that_are_stored() -> None:
    world = streaming_world()
    world.say(ToolCallPart(0, "", "free", "{}"), TextPart("use"))
    world.end_call()
    arrive(world)
    (task_id,) = world.outcomes

    live, stored = outcomes(world, task_id)

    assert live.tool_calls == stored.tool_calls
    assert live.tool_calls[0].call_id
