"""What a model says reaches its session whole, in few messages."""

from __future__ import annotations

from actors.conversation import Part, TextPart
from actors.engine import open_engine
from actors.errors import EngineError, ErrorCode
from actors.governor import Governors, RetryPolicy
from actors.models.base import Emit, ModelRequest
from actors.models.scripted import Fail, ScriptedModel, say
from actors.session.model_call import ModelCall
from actors.session.protocol import CallDelayed, PartsArrived, TurnEnded
from runtime import open_system

PARTS = 100_000


class Flood:
    name = "scripted:flood"

    def __init__(self, error: EngineError | None = None) -> None:
        self._error = error

    async def stream(self, request: ModelRequest, emit: Emit) -> None:  # noqa: ARG002 - the contract
        for number in range(PARTS):
            emit((TextPart(f"{number} "),))
        if self._error is not None:
            raise self._error


async def test_a_flood_of_parts_is_at_most_three_messages_while_the_session_is_busy() -> None:
    told: list[PartsArrived | CallDelayed | TurnEnded] = []
    call = ModelCall(Flood(), ModelRequest(messages=()), "task", told.append)
    await call.run()
    assert [type(message) for message in told] == [PartsArrived, PartsArrived, TurnEnded]
    parts: list[Part] = [part for message in told[:-1] for part in _parts(message)]
    assert parts == [TextPart(f"{number} ") for number in range(PARTS)]


async def test_what_came_before_a_failure_is_told_before_it() -> None:
    told: list[PartsArrived | CallDelayed | TurnEnded] = []
    error = EngineError(ErrorCode.NETWORK_ERROR, "gone")
    await ModelCall(Flood(error), ModelRequest(messages=()), "task", told.append).run()
    assert told[-1] == TurnEnded("task", error.info)
    assert sum(len(_parts(message)) for message in told[:-1]) == PARTS


async def test_a_session_that_keeps_up_gets_every_piece_at_once() -> None:
    told: list[PartsArrived | CallDelayed | TurnEnded] = []
    model = ScriptedModel()

    def take(message: PartsArrived | CallDelayed | TurnEnded) -> None:
        told.append(message)
        if isinstance(message, PartsArrived):
            call.taken()

    call = ModelCall(model, ModelRequest(messages=()), "task", take)
    await call.run()
    assert len(told) == 3 + 1 + 1, "three words, the finish, the end"


async def test_a_delay_is_told_before_the_answer_of_the_next_attempt() -> None:
    told: list[PartsArrived | CallDelayed | TurnEnded] = []
    error = EngineError(ErrorCode.NETWORK_ERROR, "gone")
    model = ScriptedModel([(Fail(error),), say("hello")])
    async with open_system() as system:
        admission = Governors(system, retry=RetryPolicy(base_seconds=0)).admission(model.name)
        await ModelCall(model, ModelRequest(messages=()), "task", told.append, admission).run()
    assert told[0] == CallDelayed("task", 1, error.info, 0.0)
    assert isinstance(told[1], PartsArrived)
    assert told[-1] == TurnEnded("task", None)


async def test_a_flood_arrives_whole_through_the_engine() -> None:
    async with open_engine(model_for=lambda _: Flood()) as engine:
        await engine.create_session(session_id="s")
        outcome = await engine.run_turn("s", "Go")
    assert outcome.answer == "".join(f"{number} " for number in range(PARTS))
    assert outcome.parts == PARTS


def _parts(message: PartsArrived | CallDelayed | TurnEnded) -> tuple[Part, ...]:
    assert isinstance(message, PartsArrived)
    return message.parts
