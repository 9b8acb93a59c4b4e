"""Functions that cannot be tools are refused where they are declared, by their name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from actors.errors import EngineError, ErrorCode
from actors.tools import ToolContext, tool
from actors.tools.importable import ImportedFunction, find_function
from actors.tools.python_function import PythonFunction
from actors.tools.signature import Signature
from tests.actors.tools import misdeeds

if TYPE_CHECKING:
    from fractions import Fraction


@dataclass
class Point:
    x: int


class Size(msgspec.Struct):
    width: float


def undescribed() -> None: ...


def no_type(query) -> None: ...  # pyright: ignore - what is tested


def stars(*queries: str) -> None: ...


def two_stars(**options: str) -> None: ...


def by_position(query: str, /) -> None: ...


def strange_type(query: threading_lock) -> None: ...  # noqa: F821 # pyright: ignore - what is tested


def hidden_type(query: Fraction) -> None: ...


def two_contexts(one: ToolContext, two: ToolContext) -> None: ...


def a_lock(lock: misdeeds.SpeechlessError) -> None: ...


def ambiguous(value: Size | Point) -> None: ...


def yields() -> Iterator[str]:
    yield ""


async def yields_later() -> AsyncIterator[str]:
    yield ""


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (cast("Callable[..., object]", no_type), "no type for the parameter 'query'"),
        (stars, "takes *queries"),
        (two_stars, "takes **options"),
        (by_position, "takes 'query' by position only"),
        (cast("Callable[..., object]", strange_type), "name 'threading_lock' is not defined"),
        (hidden_type, "name 'Fraction' is not defined"),
        (two_contexts, "two parameters for the ToolContext"),
        (a_lock, "a parameter 'lock' of a type that JSON has no form for"),
        (ambiguous, "a parameter 'value' of a type that JSON has no form for"),
        (yields, "yields"),
        (yields_later, "yields"),
        (Point, "is no function"),
    ],
)
def test_a_function_that_no_model_could_call_is_refused_by_its_name(
    function: Callable[..., object], problem: str
) -> None:
    with pytest.raises(EngineError) as caught:
        tool(function)

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert function.__qualname__ in str(caught.value)
    assert problem in str(caught.value)


async def later() -> None: ...


@pytest.mark.parametrize(
    ("options", "function", "problem"),
    [
        ({"name": "a b"}, undescribed, "is named 'a b'"),
        ({"name": "a" * 65}, undescribed, "providers take 1 to 64"),
        ({}, lambda: None, "is named '<lambda>'"),
        ({"timeout_seconds": 0}, undescribed, "timeout_seconds=0"),
        ({"output_limit_bytes": 0}, undescribed, "output_limit_bytes=0"),
        ({"runs": "async"}, undescribed, "is a plain def, which runs='async' is not for"),
        ({"runs": "thread"}, later, "is an async def, which runs='thread' is not for"),
        ({"runs": "fibre"}, undescribed, 'take "async", "thread" or "process"'),
        ({"runs": "process", "name": "a"}, lambda: None, "is made in another function"),
    ],
)
def test_options_that_cannot_be_are_refused(
    options: dict[str, Any], function: Callable[..., object], problem: str
) -> None:
    with pytest.raises(EngineError) as caught:
        tool(**options)(function)

    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert problem in str(caught.value)


def test_a_process_tool_of_the_main_script_is_refused() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec("def compute() -> None: ...", namespace)  # noqa: S102 - a function of a main script

    with pytest.raises(EngineError, match="is in the main script"):
        tool(runs="process")(namespace["compute"])


def test_a_function_is_found_by_its_name_as_function_and_as_tool() -> None:
    for name in ("shout", "count_words"):
        assert find_function(misdeeds.__name__, name).qualname == name
    with pytest.raises(TypeError, match="LINES is no function, but a int"):
        find_function(misdeeds.__name__, "LINES")


def test_a_process_tool_says_when_it_cannot_be_imported_any_more() -> None:
    lost = ImportedFunction("no.such_module", "f", PythonFunction(undescribed, Signature(undescribed)))

    assert lost.find_problem().startswith("no.such_module:f cannot be imported: ModuleNotFoundError")
