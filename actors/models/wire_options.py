"""Which options the requests of each wire take, and of which types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec

from actors.errors import EngineError, ErrorCode
from actors.model_settings import ModelSettings

__all__ = ["EXTRA_BODY", "checked_settings"]

EXTRA_BODY = "extra_body"
"""The option whose fields join the request as they are: for what a server knows and this table does not."""

_Object = dict[str, Any] | None
_Objects = list[dict[str, Any]] | None
_Strings = list[str] | None
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)] | None
_Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)] | None
_Count = Annotated[int, msgspec.Meta(ge=0)] | None


class _Options(msgspec.Struct, forbid_unknown_fields=True):
    """What all wires take; `tools` are those that the provider runs itself, and join the engine's."""

    top_p: _Share = None
    metadata: _Object = None
    tools: list[dict[str, Any]] = []
    service_tier: str | None = None
    extra_body: _Object = None


class _Thinking(msgspec.Struct):
    type: Literal["enabled", "disabled", "adaptive", "auto"]
    budget_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None


class _OpenAIChatOptions(_Options):
    """OpenAI's, and what servers that speak its wire have added: vLLM, OpenRouter, DeepSeek and others."""

    chat_template_kwargs: _Object = None
    enable_thinking: bool | None = None
    frequency_penalty: _Penalty = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    min_p: _Share = None
    modalities: _Strings = None
    models: _Strings = None
    parallel_tool_calls: bool | None = None
    plugins: _Objects = None
    prediction: _Object = None
    presence_penalty: _Penalty = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    provider: _Object = None
    reasoning: _Object = None
    reasoning_effort: str | None = None
    reasoning_format: str | None = None
    repetition_penalty: float | None = None
    response_format: _Object = None
    safety_identifier: str | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    store: bool | None = None
    thinking: _Thinking | None = None
    tool_choice: str | dict[str, Any] | None = None
    top_k: int | None = None
    top_logprobs: _Count = None
    user: str | None = None
    verbosity: str | None = None
    web_search_options: _Object = None


class _OpenAIResponsesOptions(_Options):
    include: _Strings = None
    max_tool_calls: _Count = None
    parallel_tool_calls: bool | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    reasoning: _Object = None
    safety_identifier: str | None = None
    store: bool | None = None
    text: _Object = None
    tool_choice: str | dict[str, Any] | None = None
    top_logprobs: _Count = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = None


class _AnthropicMessagesOptions(_Options):
    cache_control: _Object = None
    container: str | dict[str, Any] | None = None
    context_management: _Object = None
    output_config: _Object = None
    stop_sequences: _Strings = None
    thinking: _Thinking | None = None
    tool_choice: _Object = None
    top_k: _Count = None


_OPTIONS: Mapping[str, type[_Options]] = MappingProxyType(
    {
        "anthropic-messages": _AnthropicMessagesOptions,
        "openai-chat": _OpenAIChatOptions,
        "openai-responses": _OpenAIResponsesOptions,
    }
)

_SAID_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        "max_completion_tokens": "say max_output_tokens in the settings",
        "max_output_tokens": "say max_output_tokens in the settings",
        "max_tokens": "say max_output_tokens in the settings",
        "temperature": "say temperature in the settings",
        **dict.fromkeys(
            (
                "input",
                "instructions",
                "messages",
                "model",
                "n",
                "stream",
                "stream_options",
                "system",
            ),
            "the engine says it in every request",
        ),
    }
)


def checked_settings(settings: ModelSettings, wire: str) -> ModelSettings:
    """The settings, if a request on this wire can hold them; `extra_body` is taken apart into the options.

    A wire without a network, named "", takes every option and reads none.

    Raises:
        EngineError: `INVALID_ARGUMENT`, naming the option or the setting.
    """
    if settings.max_output_tokens is not None and settings.max_output_tokens < 1:
        raise _unusable(f"max_output_tokens must be at least 1, not {settings.max_output_tokens}")
    # Also refuses what is no number.
    if settings.temperature is not None and not 0 <= settings.temperature <= 2:
        raise _unusable(f"temperature must be 0 to 2, not {settings.temperature}")
    if not (wire and settings.options):
        return settings
    _refuse_said_elsewhere(settings.options)
    kind = _OPTIONS[wire]
    for name in settings.options:
        if name not in kind.__struct_fields__:
            raise _unusable(
                f"{wire} has no option {name!r}; known are {', '.join(sorted(kind.__struct_fields__))}. "
                f"For a server that takes others, put them into {EXTRA_BODY!r}"
            )
    try:
        extra_body = msgspec.convert(settings.options, kind).extra_body
        msgspec.json.encode(settings.options)
    except (msgspec.ValidationError, TypeError, ValueError, RecursionError) as error:
        raise _unusable(f"an option cannot be sent on {wire}: {str(error).replace('`$.', '`')}") from None
    if extra_body is None:
        return settings
    _refuse_said_elsewhere(extra_body)
    if "tools" in extra_body:
        raise _unusable(f"put 'tools' beside {EXTRA_BODY!r}, where they join those of the engine")
    options = {name: value for name, value in settings.options.items() if name != EXTRA_BODY}
    return msgspec.structs.replace(settings, options=options | extra_body)


def _refuse_said_elsewhere(names: Iterable[str]) -> None:
    for name in names:
        if name in _SAID_ELSEWHERE:
            raise _unusable(f"{name!r} is no option: {_SAID_ELSEWHERE[name]}")


def _unusable(message: str) -> EngineError:
    return EngineError(ErrorCode.INVALID_ARGUMENT, message)
