"""The wire formats by name, and the model that speaks each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias, TypedDict

from actors.errors import EngineError, ErrorCode
from actors.model_settings import ModelSettings
from actors.models.anthropic_messages import AnthropicMessagesModel
from actors.models.base import LanguageModel
from actors.models.http import HttpPool
from actors.models.openai_chat import OpenAIChatModel
from actors.models.openai_responses import OpenAIResponsesModel
from actors.models.providers import Provider
from actors.models.scripted import ScriptedModel

__all__ = ["WIRES", "open_wire", "scripted_model"]

_ECHO = "echo"


class _Opening(TypedDict):
    """What every wire needs to know of where it leads."""

    base_url: str
    http: HttpPool
    api_key: str
    headers: Mapping[str, str]
    settings: ModelSettings


Wire: TypeAlias = Callable[[str, str, Provider, _Opening], LanguageModel]


def open_wire(
    wire: str,
    name: str,
    model: str,
    *,
    provider: Provider,
    http: HttpPool,
    api_key: str,
    headers: Mapping[str, str],
    settings: ModelSettings,
) -> LanguageModel:
    """The model that speaks this wire format, one of `WIRES`.

    Raises:
        EngineError: `INVALID_ARGUMENT`, if the base URL, the key or a header cannot be sent.
    """
    opening = _Opening(
        base_url=provider.base_url, http=http, api_key=api_key, headers=headers, settings=settings
    )
    return WIRES[wire](name, model, provider, opening)


def _openai_chat(name: str, model: str, provider: Provider, opening: _Opening) -> LanguageModel:
    return OpenAIChatModel(
        name,
        model,
        **opening,
        ask_for_usage=provider.ask_for_usage,
        max_tokens_field=provider.max_tokens_field,
        cache_by_conversation=provider.cache_by_conversation,
        return_thoughts=provider.return_thoughts,
    )


def _anthropic_messages(name: str, model: str, _: Provider, opening: _Opening) -> LanguageModel:
    return AnthropicMessagesModel(name, model, **opening)


def _openai_responses(name: str, model: str, provider: Provider, opening: _Opening) -> LanguageModel:
    return OpenAIResponsesModel(
        name, model, **opening, cache_by_conversation=provider.cache_by_conversation
    )


WIRES: Mapping[str, Wire] = MappingProxyType(
    {
        "anthropic-messages": _anthropic_messages,
        "openai-chat": _openai_chat,
        "openai-responses": _openai_responses,
    }
)
"""By the names that connections and settings call them."""


def scripted_model(name: str, model: str) -> LanguageModel:
    """The model that answers in this process.

    Raises:
        EngineError: `EXECUTOR_NOT_FOUND`, if it is not the one that there is.
    """
    if model != _ECHO:
        raise EngineError(
            ErrorCode.EXECUTOR_NOT_FOUND,
            f"{name} cannot be had: what answers in this process has no model {model!r}; known is {_ECHO}",
            kind="model",
        )
    return ScriptedModel(name=name)
