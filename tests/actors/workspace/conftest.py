"""A tree to look into, and every back-end that can look."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from actors.tools import ToolContext
from actors.workspace import Backend, PythonBackend, RipgrepBackend, find_backend, workspace_tools

AsyncFunction = Callable[[Mapping[str, object], ToolContext], Awaitable[str]]
Write = Callable[[Mapping[str, str | bytes]], Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty folder, which has a neighbour."""
    folder = tmp_path / "root"
    folder.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("needle in a secret\n")
    return folder


@pytest.fixture
def write(root: Path) -> Write:
    """Writes files below the root, with the folders they need."""

    def write_files(files: Mapping[str, str | bytes]) -> Path:
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return write_files


@pytest.fixture(params=["python", "ripgrep"])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "python":
        return PythonBackend()
    found = find_backend()
    if not isinstance(found, RipgrepBackend):
        pytest.skip("ripgrep is not installed: pip install 'greenroom[search]'")
    return found


class Caller:
    """Calls the tools of a workspace as a session would."""

    def __init__(self, root: Path, backend: Backend, directory: str = "", **limits: Any) -> None:
        tools = workspace_tools([str(root)], backend=backend, **limits)
        self._functions = {tool.name: cast("AsyncFunction", tool.function) for tool in tools}
        self._context = ToolContext(
            session_id="session", task_id="task", call_id="call", directory=directory, show=lambda _: None
        )

    async def __call__(self, tool: str, **arguments: object) -> str:
        return await self._functions[tool](arguments, self._context)


@pytest.fixture
def call(root: Path, backend: Backend) -> Caller:
    return Caller(root, backend)
