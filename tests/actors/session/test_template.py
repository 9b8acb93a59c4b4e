"""Values that are put into texts, and nothing else of the texts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.session.template import fill, names_in

BRACED = st.text("{} ab_1n\n\\$%", max_size=30)
NAMES = st.sampled_from(["n", "a", "b_1", "name"])
SPACES = st.text(" \n", max_size=2)
VALUES = st.dictionaries(NAMES, BRACED)


@given(BRACED, VALUES)
def test_a_text_that_names_nothing_known_stays_as_it_is(text: str, values: dict[str, str]) -> None:
    known = set(names_in(text)) & set(values)

    assert known or fill(text, values) == text


@given(BRACED, NAMES, SPACES, SPACES, BRACED, BRACED)
def test_a_name_is_replaced_by_its_value_as_it_is_written(
    before: str, name: str, left: str, right: str, after: str, value: str
) -> None:
    # Not next to a brace: which of three begin a name would be another question.
    text = f"{before}|{{{{{left}{name}{right}}}}}|{after}"
    filled = fill(text, {name: value})
    around_before, around_after = fill(f"{before}|", {name: value}), fill(f"|{after}", {name: value})

    assert name in names_in(text)
    assert filled == f"{around_before}{value}{around_after}"


@given(NAMES, NAMES)
def test_a_value_that_looks_like_a_name_is_not_looked_into(name: str, other: str) -> None:
    value = f"{{{{{other}}}}}"

    assert fill(f"{{{{{name}}}}}", {name: value, other: "again"} | {name: value}) == value


@given(st.lists(NAMES))
def test_names_come_once_and_in_order(names: list[str]) -> None:
    assert names_in(" ".join(f"{{{{{name}}}}}" for name in names)) == tuple(dict.fromkeys(names))


def test_half_of_a_name_a_number_and_an_empty_one_are_text() -> None:
    text = "{{ {n} {{n} {n}} {{1}} {{}} {{a b}} }}"

    assert names_in(text) == ()
    assert fill(text, {"n": "x", "1": "x", "": "x", "a b": "x", "a": "x"}) == text
