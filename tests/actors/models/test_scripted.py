from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.answer import Answer
from actors.conversation import FinishReason, Part, Role, Text, TextPart, Usage
from actors.errors import EngineError, ErrorCode
from actors.models import Delay, Fail, Gate, Hang, ModelRequest, Say, ScriptedModel, say
from tests.actors.models.stream_samples import answer_of, message, question

Batches = list[tuple[Part, ...]]
HELLO = Say((TextPart("hello"),))


def ignore(_: tuple[Part, ...]) -> None:
    pass


async def test_without_a_script_it_repeats_the_last_question_word_by_word() -> None:
    batches: Batches = []
    branch = (
        message(Role.USER, Text("first")),
        message(Role.ASSISTANT, Text("You said: first")),
        message(Role.USER, Text("  two\n words ")),
    )

    await ScriptedModel().stream(ModelRequest(messages=branch), batches.append)

    assert answer_of(part for batch in batches for part in batch) == Answer(
        text="You said:   two\n words ", finish_reason=FinishReason.STOP, usage=Usage(output_tokens=4)
    )
    assert len(batches) == 5


@pytest.mark.parametrize("text", ["", " ", "a", " a ", "a  b\n", "\n\na"])
async def test_say_loses_nothing(text: str) -> None:
    parts: list[Part] = []

    await ScriptedModel([say(text)]).stream(question(), parts.extend)

    assert answer_of(parts).text == text


async def test_without_a_question_it_has_an_answer_all_the_same() -> None:
    parts: list[Part] = []

    await ScriptedModel().stream(ModelRequest(messages=()), parts.extend)

    assert answer_of(parts).text == "You said nothing."


async def test_scripts_are_played_in_order_and_then_the_rest_is_made_from_the_request() -> None:
    model = ScriptedModel([say("one"), say("two")], otherwise=lambda request: say(request.system_prompt))
    answers: list[str] = []

    for _ in range(3):
        parts: list[Part] = []
        await model.stream(question(system_prompt="three"), parts.extend)
        answers.append(answer_of(parts).text)

    assert answers == ["one", "two", "three"]


async def test_a_gate_holds_a_call_until_it_is_opened() -> None:
    gate = Gate()
    model = ScriptedModel([(HELLO, gate, HELLO)])
    batches: Batches = []

    async with trio.open_nursery() as nursery:
        nursery.start_soon(model.stream, question(), batches.append)
        await gate.reached()
        await wait_all_tasks_blocked()
        before = len(batches)
        gate.open()

    assert (before, len(batches)) == (1, 2)


async def test_a_delay_passes_on_trios_clock(autojump_clock: MockClock) -> None:
    began = autojump_clock.current_time()

    await ScriptedModel([(Delay(3600), HELLO)]).stream(question(), ignore)

    assert autojump_clock.current_time() - began == 3600


@pytest.mark.parametrize("error", [EngineError(ErrorCode.QUOTA_EXCEEDED, "no"), ZeroDivisionError("bug")])
async def test_a_failure_comes_after_what_was_said(error: Exception) -> None:
    model = ScriptedModel([(HELLO, Fail(error))])
    batches: Batches = []

    with pytest.raises(type(error)) as caught:
        await model.stream(question(), batches.append)

    assert caught.value is error
    assert batches == [HELLO.parts]
    assert model.running == 0


async def test_a_hanging_call_ends_when_it_is_cancelled() -> None:
    model = ScriptedModel([(HELLO, Hang())])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(model.stream, question(), ignore)
        await wait_all_tasks_blocked()
        running = model.running
        nursery.cancel_scope.cancel()

    assert (running, model.running) == (1, 0)


async def test_requests_and_the_highest_number_of_concurrent_calls_are_known() -> None:
    gate = Gate()
    model = ScriptedModel([(gate,)] * 3)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(model.stream, question(str(number)), ignore)
        await wait_all_tasks_blocked()
        gate.open()
    await model.stream(question("3"), ignore)

    assert sorted(str(request.messages) for request in model.requests) == [
        str(question(str(number)).messages) for number in range(4)
    ]
    assert (model.calls, model.running, model.highest_running) == (4, 0, 3)
