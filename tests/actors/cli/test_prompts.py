"""Which files are prompts, and what is wrong with those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.cli.prompts import Prompts, demo_prompts, read_prompts
from actors.errors import EngineError, ErrorCode

NEEDS = 'a line needs "turns", a list of texts, or "prompt", a text'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "p"


@pytest.mark.parametrize(
    ("written", "records"),
    [
        ('{"turns": ["a", "b"]}\n{"prompt": "c"}', (("a", "b"), ("c",))),
        ('  {"prompt": " a "}', ((" a ",),)),
        ('{"prompt": null, "turns": ["a"]}', (("a",),)),
        ('a\n{"prompt": "b"}', (("a",), ('{"prompt": "b"}',))),
        ("  a \n\n\t\nb", (("a",), ("b",))),
        ("[1] is the first question", (("[1] is the first question",),)),
        ("a\u2028b\x0cc", (("a\u2028b\x0cc",),)),
        ('{"prompt": "a\\nb\\u0000"}', (("a\nb\x00",),)),
    ],
)
def test_prompts_are_read_as_json_lines_or_as_plain_text(
    path: Path, written: str, records: tuple[tuple[str, ...], ...]
) -> None:
    path.write_text(written, encoding="utf-8", newline="")

    assert read_prompts(str(path)).records == records


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (b"", " holds no prompts: write JSON objects or texts into it, one a line"),
        (b"\xef\xbb\xbf\r\n", " holds no prompts: write JSON objects or texts into it, one a line"),
        (
            b'{"prompt": "a"}\n{"prompt": 5}',
            f", line 2: {NEEDS}: Expected `str | null`, got `int` - at `$.prompt`",
        ),
        (b'{"turns": "a"}', f", line 1: {NEEDS}: Expected `array | null`, got `str` - at `$.turns`"),
        (b'{"turns": ["a", null]}', f", line 1: {NEEDS}: Expected `str`, got `null` - at `$.turns[1]`"),
        (b'{"prompt": "a"}\n\n["b"]', f", line 3: {NEEDS}: Expected `object`, got `array`"),
        (b'{"question": "a"}', f", line 1: {NEEDS}, and none of them blank"),
        (
            b'{"prompt": "a"}\n{"prompt": "b", "turns": ["c"]}',
            ', line 2 has both "turns" and "prompt": leave one of them out',
        ),
        (b'{"turns": []}', f", line 1: {NEEDS}, and none of them blank"),
        (b'{"turns": ["a", " "]}', f", line 1: {NEEDS}, and none of them blank"),
        (b'{"prompt": "  "}', f", line 1: {NEEDS}, and none of them blank"),
        (b"a\nb\n\xff\n", ", line 3 is not UTF-8 text: convert the file to UTF-8"),
        (
            b'[{"prompt": "a"},\n {"prompt": "b"}]',
            " is one JSON array: write its objects one a line, without the brackets",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_line(path: Path, written: bytes, said: str) -> None:
    path.write_bytes(written)

    with pytest.raises(EngineError) as caught:
        read_prompts(str(path))

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert caught.value.message == f"{path}{said}"


@pytest.mark.parametrize(
    "line", [b'{"prompt": "b"', b"plain", b'{"prompt": "\\ud800"}', b'{"x": ' + b"[" * 100_000]
)
def test_a_line_that_is_not_json_is_named_and_so_is_the_reason_to_expect_it(
    path: Path, line: bytes
) -> None:
    path.write_bytes(b'{"prompt": "a"}\n' + line)

    with pytest.raises(EngineError) as caught:
        read_prompts(str(path))

    assert caught.value.message.startswith(f"{path}, line 2 is not a JSON object: ")
    assert caught.value.message.endswith(
        "; the file is taken as JSON lines, because it begins with a brace"
    )


def test_the_digest_is_that_of_what_is_asked_and_not_of_how_it_is_written(path: Path) -> None:
    path.write_text("a\nb\n")
    plain = read_prompts(str(path))
    path.write_text('{"turns": ["a"], "id": 1}\n{"prompt": "b"}\n')
    as_json = read_prompts(str(path))

    assert plain.digest == as_json.digest
    assert plain.digest != Prompts((("b",), ("a",))).digest
    assert plain.digest != Prompts((("a", "b"),)).digest


def test_records_repeat_in_their_order() -> None:
    prompts = Prompts((("a",), ("b",)))

    assert prompts.repeated(5) == (("a",), ("b",), ("a",), ("b",), ("a",))
    assert prompts.repeated(1) == (("a",),)


def test_the_demo_has_conversations_of_several_turns() -> None:
    assert all(len(record) > 1 for record in demo_prompts().records)
