"""The script of an answer: what it says is a function of seed and request, and of nothing else."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Literal

import msgspec

from actors.upstream.asked_calls import AskedCall, asked_calls
from actors.upstream.beat import DONE, LAST_CHUNK, Beat, chunk, event_chunk
from actors.upstream.pace import Pace
from actors.upstream.wire import ChatRequest

__all__ = ["Script", "write_script"]

_WORD_LIST = """
the a every this one light stage door curtain voice scene actor house night line song letter river
window garden city winter morning answer question reason story silence colour shadow evening listens
waits opens follows turns speaks remembers crosses carries begins leaves returns holds quiet bright
early late slow certain open distant small old new again always often together under over behind
between before after until with without toward and but so because while café naïve Straße Åsa señor
façade smörgås Ωmega свет 東京 舞台 안녕 🎭 👩🏽\u200d🚀 “cue” "exit" C:\\stage
"""
_WORDS = tuple(_WORD_LIST.split())
_ENDS = (".", ".", ".", ".", "?", "!")

_FRAGMENTS = {
    token: msgspec.json.encode(token)[1:-1]
    for word in _WORDS
    for token in (word, " " + word, word.capitalize(), " " + word.capitalize())
} | {token: msgspec.json.encode(token)[1:-1] for token in (*_ENDS, ",", "\n\n")}
"""Every token there is, as the inside of a JSON string."""

_CREATED = 1_700_000_000
"""A constant: with a clock in it, the bytes of an answer would not be a function of the request."""


class Script(msgspec.Struct, frozen=True):
    """One answer: its tokens, the tools that it asks for, and what must agree with them."""

    seed: int
    answer_id: str
    model: str
    tokens: tuple[str, ...]
    prompt_tokens: int
    finish_reason: Literal["stop", "length", "tool_calls"]
    calls: tuple[AskedCall, ...] = ()

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    @property
    def usage(self) -> dict[str, int]:
        completion_tokens = len(self.tokens)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": self.prompt_tokens + completion_tokens,
        }

    def stream(self, pace: Pace, *, include_usage: bool) -> Iterator[Beat]:
        """The answer as events: role, a token each, a tool call each, finish, usage if wanted, `[DONE]`.

        The role comes with the first token; what follows the finish comes with it.
        """
        waits = pace.waits(self.seed)
        head = self._head()
        before = head + b'{"index":0,"delta":'
        after = b',"logprobs":null,"finish_reason":%b}]' + (b',"usage":null}' if include_usage else b"}")

        role = b'{"role":"assistant","content":"","refusal":null}'
        yield next(waits), 1, event_chunk(before + role + after % b"null")

        opening = b"data: " + before + b'{"content":"'
        closing = b'"}' + after % b"null" + b"\n\n"
        frame_bytes = len(opening) + len(closing)
        for wait, token in zip(itertools.chain((0.0,), waits), self.tokens, strict=False):
            fragment = _FRAGMENTS[token]
            yield wait, 1, b"%x\r\n%b%b%b\r\n" % (frame_bytes + len(fragment), opening, fragment, closing)

        for index, call in enumerate(self._tool_calls()):
            delta = msgspec.json.encode({"tool_calls": [{"index": index, **call}]})
            yield next(waits), 1, event_chunk(before + delta + after % b"null")

        yield next(waits), 1, event_chunk(before + b"{}" + after % msgspec.json.encode(self.finish_reason))
        if include_usage:
            yield 0.0, 1, event_chunk(head + b'],"usage":' + msgspec.json.encode(self.usage) + b"}")
        yield 0.0, 0, DONE

    def _head(self) -> bytes:
        """What every chunk begins with, up to the first of its choices."""
        head = msgspec.json.encode(
            {
                "id": self.answer_id,
                "object": "chat.completion.chunk",
                "created": _CREATED,
                "model": self.model,
                "system_fingerprint": "fp_greenroom",
            }
        )
        return head[:-1] + b',"choices":['

    def _tool_calls(self) -> list[dict[str, object]]:
        return [
            {
                "id": f"call_{self.answer_id[-12:]}_{index}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(self.calls)
        ]

    def body(self) -> bytes:
        """The answer as one JSON document."""
        message: dict[str, object] = {"role": "assistant", "content": self.text, "refusal": None}
        if self.calls:
            message["tool_calls"] = self._tool_calls()
        return msgspec.json.encode(
            {
                "id": self.answer_id,
                "object": "chat.completion",
                "created": _CREATED,
                "model": self.model,
                "choices": [
                    {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
                ],
                "usage": self.usage,
                "system_fingerprint": "fp_greenroom",
            }
        )

    def whole(self, pace: Pace) -> Iterator[Beat]:
        """The plain answer, at the moment when its last token would have come."""
        yield pace.total_seconds(len(self.tokens)), 0, chunk(self.body()) + LAST_CHUNK


def write_script(request: ChatRequest, digest: bytes, tokens: tuple[int, int]) -> Script:
    """The answer to `request`, whose digest is `digest`; its length is drawn from the range `tokens`.

    A token limit of the request cuts it short, and the rest would have been the same. Where the user has it
    ask for tools, it says nothing else.
    """
    seed = int.from_bytes(digest, "big")
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    length = rng.randint(*tokens)
    limit = request.token_limit
    calls = asked_calls(request)
    written = () if calls else (*itertools.islice(_speech(rng), length - 1), ".")
    is_cut = limit is not None and limit < length
    return Script(
        seed=seed,
        answer_id=f"chatcmpl-{digest.hex()}",
        model=request.model,
        tokens=written[:limit],
        prompt_tokens=max(1, len(msgspec.json.encode(request.messages)) // 4),
        finish_reason="tool_calls" if calls else "length" if is_cut else "stop",
        calls=calls,
    )


def _speech(rng: random.Random) -> Iterator[str]:
    """Tokens of sentences without end, with commas and a paragraph now and then."""
    space = ""
    while True:
        yield space + rng.choice(_WORDS).capitalize()
        for word in rng.choices(_WORDS, k=rng.randrange(3, 12)):
            if rng.random() < 0.1:
                yield ","
            yield " " + word
        yield rng.choice(_ENDS)
        space = " "
        if rng.random() < 0.2:
            yield "\n\n"
            space = ""
