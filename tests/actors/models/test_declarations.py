"""Models are found by plain functions that know no actors, and what was not kept is not there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ACTORS = Path(__file__).parents[3] / "actors"
MODELS = sorted((ACTORS / "models").glob("*.py"))
NOT_KEPT = {
    "isEnhancedModel",
    "getModelCapabilities",
    "createModelInstance",
    "extractToolCalls",
    "extractTextContent",
    "determineNextSpeaker",
    "generateAIResponse",
    "AIProviderUtils",
    "AIResponseProcessor",
    "getAvailableToolsForModel",
}
SNAKES = {"".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_") for name in NOT_KEPT}
_STATIC = {"staticmethod", "classmethod"}


def _named(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Name(id=name) | ast.Attribute(attr=name):
                found.add(name)
            case _:
                pass
    return found


def _is_static(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(one, ast.Name) and one.id in _STATIC for one in method.decorator_list)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.name)
def test_no_class_is_a_bag_of_static_methods(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            methods = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
            assert not methods or not all(map(_is_static, methods)), node.name


@pytest.mark.parametrize("path", sorted(ACTORS.rglob("*.py")), ids=lambda path: path.name)
def test_nothing_wraps_a_model_under_a_name_that_was_not_kept(path: Path) -> None:
    assert not _named(ast.parse(path.read_text())) & (NOT_KEPT | SNAKES)


def test_the_search_finds_what_it_looks_for() -> None:
    assert "extract_tool_calls" in SNAKES
    assert _named(ast.parse("def extract_tool_calls(): ...")) & SNAKES
