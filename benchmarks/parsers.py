"""What does an event cost the parser of each wire, over msgspec decoding it alone?

For every wire, in turns and in the same run:

- `decode`: msgspec makes plain objects of the events' JSON, and nobody looks at them;
- `parse`: the wire's parser makes parts of the events;
- `read`: the same from the bytes of the stream on, as they come from a socket in reads of 4 kB.

`text` is an answer of one-word deltas, as this file makes it; `recorded` are all recorded answers of the
wire in a folder beside the checkout, where there is one. Times are microseconds of CPU per event, medians
of ROUNDS; ratios are to `decode`.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from time import thread_time
from typing import Any

import msgspec

from actors.models import AnthropicMessagesParser, OpenAIChatParser, OpenAIResponsesParser
from actors.models.server_sent_events import EventDecoder
from actors.models.wire_model import AnswerParser
from benchmarks.setting import CHECKOUT, Setting, options_of, pin_to_client_core, setting, show_setting

RECORDINGS = CHECKOUT.parent / "shared" / "streams"
ROUNDS = 25
QUICK_ROUNDS = 3
DELTAS = 2_000
READ_BYTES = 4096
BIAS = (
    "for the parsers: garbage collection falls on all alike, and caches are warm",
    "against the parsers: decode keeps nothing, and need not know what an event means",
)

Events = list[str]


class Wire(msgspec.Struct, frozen=True):
    parser: Callable[[], AnswerParser]
    begin: list[dict[str, Any]]
    delta: Callable[[str], dict[str, Any]]
    end: list[dict[str, Any]]


class Row(msgspec.Struct, frozen=True):
    wire: str
    stream: str
    events: int
    decode_us: float
    parse_us: float
    read_us: float
    parse_ratio: float
    read_ratio: float


class Report(Setting, frozen=True):
    rounds: int
    rows: list[Row]


def chat_delta(word: str) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": word}, "logprobs": None, "finish_reason": None}
    return {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "model",
        "choices": [choice],
    }


def anthropic_delta(word: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}


def responses_delta(word: str) -> dict[str, Any]:
    return {
        "type": "response.output_text.delta",
        "sequence_number": 7,
        "item_id": "msg_0123456789abcdef",
        "output_index": 0,
        "content_index": 0,
        "delta": word,
        "logprobs": [],
        "obfuscation": "0123456789",
    }


WIRES = {
    "openai-chat": Wire(
        OpenAIChatParser, [], chat_delta, [{"choices": [{"delta": {}, "finish_reason": "stop"}]}]
    ),
    "openai-responses": Wire(
        OpenAIResponsesParser,
        [{"type": "response.created", "response": {}}],
        responses_delta,
        [{"type": "response.completed", "response": {"status": "completed"}}],
    ),
    "anthropic-messages": Wire(
        AnthropicMessagesParser,
        [{"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}],
        anthropic_delta,
        [{"type": "content_block_stop", "index": 0}, {"type": "message_stop"}],
    ),
}


def measure(rounds: int) -> list[Row]:
    rows: list[Row] = []
    for name, wire in WIRES.items():
        words = [wire.delta(f"word{number} ") for number in range(DELTAS)]
        text = [json.dumps(event, separators=(",", ":")) for event in [*wire.begin, *words, *wire.end]]
        rows.append(_row(name, "text", wire.parser, [text], rounds))
        recorded = [path.read_text().splitlines() for path in sorted((RECORDINGS / name).glob("*.jsonl"))]
        if recorded:
            answers = [[line for line in answer if line] for answer in recorded]
            rows.append(_row(name, "recorded", wire.parser, answers, rounds))
    return rows


def _row(
    name: str, stream: str, parser: Callable[[], AnswerParser], answers: Sequence[Events], rounds: int
) -> Row:
    bodies = ["".join(f"data: {event}\n\n" for event in answer).encode() for answer in answers]
    decode = msgspec.json.Decoder().decode

    def decode_all() -> None:
        for answer in answers:
            for event in answer:
                decode(event)

    def parse_all() -> None:
        for answer in answers:
            parsing = parser()
            for event in answer:
                parsing.feed(event)
            parsing.end()

    def read_all() -> None:
        for body in bodies:
            parsing, events = parser(), EventDecoder()
            for begin in range(0, len(body), READ_BYTES):
                for data, event in events.feed(body[begin : begin + READ_BYTES]):
                    parsing.feed(data, event)
            parsing.end()

    ways = (decode_all, parse_all, read_all)
    times: list[list[float]] = [[], [], []]
    for _ in range(rounds):
        for way, taken in zip(ways, times, strict=True):
            began = thread_time()
            way()
            taken.append(thread_time() - began)
    count = sum(map(len, answers))
    decoding, parsing, reading = (statistics.median(taken) / count * 1e6 for taken in times)
    return Row(name, stream, count, decoding, parsing, reading, parsing / decoding, reading / decoding)


def _show(report: Report) -> None:
    show_setting(report)
    print(f"\n{'wire':<20}{'stream':<10}{'events':>8}", end="")
    print(f"{'decode us':>11}{'parse us':>10}{'ratio':>7}{'read us':>9}{'ratio':>7}")
    for row in report.rows:
        print(f"{row.wire:<20}{row.stream:<10}{row.events:>8}", end="")
        print(f"{row.decode_us:>11.2f}{row.parse_us:>10.2f}{row.parse_ratio:>7.1f}", end="")
        print(f"{row.read_us:>9.2f}{row.read_ratio:>7.1f}")


def main() -> None:
    options = options_of(__doc__, quick="few rounds, to see that it works").parse_args()
    where = setting(__doc__, BIAS)
    pin_to_client_core()
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    report = Report(**msgspec.structs.asdict(where), rounds=rounds, rows=measure(rounds))
    if options.json:
        print(msgspec.json.encode(report).decode())
    else:
        _show(report)


if __name__ == "__main__":
    main()
