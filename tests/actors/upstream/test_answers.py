from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.upstream.answers import Script, write_script
from actors.upstream.pace import Pace
from actors.upstream.wire import ChatRequest, decode_chat_request, digest_of
from tests.actors.upstream.chat import Completion

AT_ONCE = Pace(ttft_seconds=0, tokens_per_second=0)


def request(content: str = "Why?", /, **fields: object) -> ChatRequest:
    message = {"role": "user", "content": content}
    return decode_chat_request(msgspec.json.encode({"model": "m", "messages": [message], **fields}))


def script(asked: ChatRequest, *, seed: int = 0, tokens: tuple[int, int] = (50, 50)) -> Script:
    return write_script(asked, digest_of(asked, seed), tokens)


def wire(answer: Script) -> bytes:
    return b"".join(wire for _, _, wire in answer.stream(AT_ONCE, include_usage=True))


def test_same_seed_and_request_give_the_same_bytes() -> None:
    assert wire(script(request())) == wire(script(request()))
    assert script(request()).body() == script(request()).body()


def test_seed_model_and_messages_each_change_the_answer() -> None:
    answers = [
        script(request()),
        script(request(), seed=1),
        script(request("Why not?")),
        script(request(model="n")),
    ]

    assert len({answer.text for answer in answers}) == len(answers)
    assert len({answer.answer_id for answer in answers}) == len(answers)


def test_spelling_of_the_json_does_not_change_the_answer() -> None:
    one = decode_chat_request(b'{"model":"m","messages":[{"role":"user","content":"\\u00e9"}]}')
    same = decode_chat_request(
        '{ "messages": [ { "content": "é", "role": "user" } ], "model": "m", "stream": true }'.encode()
    )

    assert digest_of(one, 0) == digest_of(same, 0)


@given(st.text(), st.integers(1, 300), st.integers(0, 50))
def test_length_lies_in_the_range_and_usage_agrees_with_it(content: str, low: int, spread: int) -> None:
    answer = script(request(content), tokens=(low, low + spread))

    assert low <= len(answer.tokens) <= low + spread
    assert answer.usage["completion_tokens"] == len(answer.tokens)
    assert answer.usage["total_tokens"] == answer.usage["prompt_tokens"] + len(answer.tokens)
    body = msgspec.json.decode(answer.body(), type=Completion)
    assert body.choices[0].message.content == answer.text


def test_prompt_tokens_grow_with_the_conversation() -> None:
    assert script(request("long " * 100)).prompt_tokens > script(request("short")).prompt_tokens


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_token_limit_cuts_the_same_answer_short(field: str) -> None:
    whole, cut = script(request()), script(request(**{field: 7}))

    assert cut.tokens == whole.tokens[:7]
    assert (cut.finish_reason, whole.finish_reason) == ("length", "stop")


def test_limit_that_is_not_reached_changes_nothing() -> None:
    assert script(request(max_tokens=50)).finish_reason == "stop"


def test_answers_hold_multi_byte_characters_quotes_and_paragraphs() -> None:
    text = script(request(), tokens=(5_000, 5_000)).text

    assert {2, 3, 4} <= {len(character.encode()) for character in text}
    assert {'"', "\\", "\n", ",", "."} <= set(text)


def test_role_comes_with_the_first_token_and_done_with_the_finish() -> None:
    pace = Pace(ttft_seconds=3.0, tokens_per_second=4.0)

    beats = list(script(request(), tokens=(2, 2)).stream(pace, include_usage=True))

    assert [wait for wait, _, _ in beats] == [3.0, 0.0, 0.25, 0.25, 0.0, 0.0]
    assert [events for _, events, _ in beats] == [1, 1, 1, 1, 1, 0]


def test_plain_answer_comes_when_the_last_token_would_have() -> None:
    pace = Pace(ttft_seconds=3.0, tokens_per_second=4.0)

    [(wait, _, _)] = script(request(), tokens=(5, 5)).whole(pace)

    assert wait == 4.0


@given(st.integers(0, 2**128), st.floats(0.01, 1))
def test_jitter_is_a_repeatable_fraction_of_each_wait(seed: int, jitter: float) -> None:
    pace = Pace(ttft_seconds=2.0, tokens_per_second=10.0, jitter=jitter)

    first, *others = itertools.islice(pace.waits(seed), 50)

    assert [first, *others] == list(itertools.islice(pace.waits(seed), 50))
    assert 2.0 * (1 - jitter) <= first <= 2.0 * (1 + jitter)
    assert all(0.1 * (1 - jitter) <= wait <= 0.1 * (1 + jitter) for wait in others)
    assert len(set(others)) > 1
