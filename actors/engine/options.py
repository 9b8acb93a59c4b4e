"""What an engine may be opened with, besides its settings."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TypeAlias, TypedDict, TypeVar

import msgspec

from actors.access import Authorize, allow_local
from actors.catalog.checks import check_entry
from actors.catalog.service import AgentService
from actors.connections import McpServer
from actors.engine.asker import checked_items
from actors.errors import EngineError, ErrorCode
from actors.models.base import LanguageModel
from actors.prompts import PromptFor, default_prompt
from actors.records import ImageMode
from actors.session.image_reading import ReadImage
from actors.settings import EngineSettings
from actors.stores.base import Store
from actors.tools import Tool, ToolRegistry

__all__ = ["EngineOptions", "EngineParts", "ModelFor"]

T = TypeVar("T")

ModelFor: TypeAlias = Callable[[str], LanguageModel]
"""Finds the model that `provider:model` names, or raises `EngineError`. Called often: it should cache."""


class EngineOptions(TypedDict, total=False):
    """All of it may be left out.

    - `store`, `model_for`, `catalog`: replace what the settings name. The catalog has agents, by their
      executor ids, connections and MCP servers.
    - `tools`, `mcp_servers`: what sessions in agent mode may use, besides the servers of the catalog.
    - `prompt`: writes the system prompt of each model call, by mode and context.
    - `read_image`: reads the text in an image, for image mode `ocr`.
    - `authorize`: asked before every command.
    - `now`, `ids`: the time and the ids of everything that comes to be.
    """

    store: Store | None
    model_for: ModelFor | None
    catalog: AgentService | None
    tools: Iterable[Tool]
    mcp_servers: Iterable[McpServer]
    prompt: PromptFor
    read_image: ReadImage | None
    authorize: Authorize
    now: Callable[[], datetime]
    ids: Callable[[], str]


class EngineParts(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is made of."""

    settings: EngineSettings
    tools: ToolRegistry
    mcp_servers: tuple[McpServer, ...]
    store: Store | None = None
    model_for: ModelFor | None = None
    catalog: AgentService | None = None
    prompt: PromptFor = default_prompt
    read_image: ReadImage | None = None
    authorize: Authorize = allow_local
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ids: Callable[[], str] = lambda: str(uuid.uuid4())

    @classmethod
    def gather(cls, settings: EngineSettings | None, options: EngineOptions) -> EngineParts:
        """
        Raises:
            EngineError: `INVALID_ARGUMENT`: an option that there is not, or that another one needs.
        """
        unknown = set(options) - EngineOptions.__annotations__.keys()
        if unknown:
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"an engine has no option {', '.join(sorted(unknown))}; "
                f"there are {', '.join(EngineOptions.__annotations__)}",
            )
        settings = EngineSettings() if settings is None else settings
        if not isinstance(settings, EngineSettings):  # pyright: ignore[reportUnnecessaryIsInstance] - a caller's mistake
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"an engine is opened with EngineSettings, not with {type(settings).__name__}",
            )
        for name in ("model_for", "prompt", "read_image", "authorize", "now", "ids"):
            given = options.get(name)
            if given is not None and not callable(given):
                raise EngineError(
                    ErrorCode.INVALID_ARGUMENT, f"{name} is a function, not {type(given).__name__}"
                )
        if settings.image_mode is ImageMode.OCR and options.get("read_image") is None:
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT, "image mode 'ocr' needs `read_image`: give the engine one"
            )
        parts = cls(
            settings=settings,
            tools=ToolRegistry(_of(Tool, "tools", options.get("tools", ()))),
            mcp_servers=_of(McpServer, "mcp_servers", options.get("mcp_servers", ())),
        )
        for server in parts.mcp_servers:
            check_entry(server)
        rest = {name: value for name, value in options.items() if name not in ("tools", "mcp_servers")}
        return msgspec.structs.replace(parts, **rest)


def _of(kind: type[T], option: str, items: Iterable[T]) -> tuple[T, ...]:
    """
    Raises:
        EngineError: `INVALID_ARGUMENT`: something among them is none of these.
    """
    found = checked_items(option, items)
    for one in found:
        if not isinstance(one, kind):
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"{option} are {kind.__name__}s, and one of them is of type {type(one).__name__}",
            )
    return found
