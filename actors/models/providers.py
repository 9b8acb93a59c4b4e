"""From `provider:model` to a language model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from actors.errors import EngineError, ErrorCode
from actors.models.base import LanguageModel
from actors.models.http import HttpPool
from actors.models.openai_chat import OpenAIChatModel
from actors.models.openai_chat_request import MaxTokensField
from actors.models.scripted import ScriptedModel

__all__ = ["PROVIDERS", "WIRES", "Provider", "language_model"]


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """What is to know of a provider.

    `key_variable` names the environment variable in which its key is usually kept; empty means that it
    needs none. The last two fields are what its requests may hold; see `OpenAIChatModel`.
    """

    base_url: str
    key_variable: str = ""
    wire: str = "openai-chat"
    ask_for_usage: bool = True
    max_tokens_field: MaxTokensField = "max_tokens"


PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "alibaba": Provider(
            base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
            key_variable="DASHSCOPE_API_KEY",
        ),
        "cerebras": Provider(base_url="https://api.cerebras.ai/v1", key_variable="CEREBRAS_API_KEY"),
        "deepseek": Provider(base_url="https://api.deepseek.com/v1", key_variable="DEEPSEEK_API_KEY"),
        "fireworks": Provider(
            base_url="https://api.fireworks.ai/inference/v1", key_variable="FIREWORKS_API_KEY"
        ),
        "groq": Provider(base_url="https://api.groq.com/openai/v1", key_variable="GROQ_API_KEY"),
        "lmstudio": Provider(base_url="http://localhost:1234/v1"),
        "mistral": Provider(
            base_url="https://api.mistral.ai/v1", key_variable="MISTRAL_API_KEY", ask_for_usage=False
        ),
        "moonshot": Provider(base_url="https://api.moonshot.ai/v1", key_variable="MOONSHOT_API_KEY"),
        "ollama": Provider(base_url="http://localhost:11434/v1"),
        "openai": Provider(
            base_url="https://api.openai.com/v1",
            key_variable="OPENAI_API_KEY",
            max_tokens_field="max_completion_tokens",
        ),
        "openrouter": Provider(base_url="https://openrouter.ai/api/v1", key_variable="OPENROUTER_API_KEY"),
        "together": Provider(base_url="https://api.together.xyz/v1", key_variable="TOGETHER_API_KEY"),
        "xai": Provider(base_url="https://api.x.ai/v1", key_variable="XAI_API_KEY"),
    }
)
"""The providers that are known by name, besides `scripted`."""

_SCRIPTED = "scripted"
_ECHO = "echo"


def language_model(
    spec: str, *, http: HttpPool, base_url: str = "", api_key: str = "", wire: str = ""
) -> LanguageModel:
    """The model that `spec`, `provider:model`, names.

    Only the first colon separates: `ollama:qwen3:8b` and `openrouter:qwen/qwen3-8b` are fine. `base_url`
    and `wire` replace what is known of the provider. At another base URL a key may be left out, and the
    limit of output tokens goes by the name that most servers know. The environment is not read.

    Raises:
        EngineError: `EXECUTOR_NOT_FOUND` for an unknown provider, `INVALID_ARGUMENT` for a spec without a
            model, an unknown wire, a missing key, or a URL or key that cannot be sent.
    """
    provider_name, _, model = spec.partition(":")
    provider = PROVIDERS.get(provider_name)
    if provider is None and provider_name != _SCRIPTED:
        known = ", ".join(sorted([*PROVIDERS, _SCRIPTED]))
        raise EngineError(
            ErrorCode.EXECUTOR_NOT_FOUND,
            f"there is no provider {provider_name!r}; known are {known}. "
            f"For another OpenAI-compatible server, write openai:<model> and give its base URL",
            kind="provider",
        )
    if not model:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"{spec!r} names no model; write provider:model, for example {provider_name}:"
            f"{_ECHO if provider is None else '<model>'}",
        )
    if wire and wire not in WIRES:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, f"there is no wire {wire!r}; known are {', '.join(sorted(WIRES))}"
        )
    if provider is None:
        if base_url or wire:
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"{spec} answers in this process: leave out the base URL and the wire",
            )
        if model != _ECHO:
            raise EngineError(
                ErrorCode.EXECUTOR_NOT_FOUND,
                f"{_SCRIPTED} has no model {model!r}; known is {_SCRIPTED}:{_ECHO}",
                kind="model",
            )
        return ScriptedModel(name=spec)
    build = WIRES[wire or provider.wire]
    if base_url:
        provider = msgspec.structs.replace(provider, base_url=base_url, max_tokens_field="max_tokens")
    elif provider.key_variable and not api_key:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"{provider_name} needs an API key; set {provider.key_variable}, "
            f"or give the base URL of a server that needs none",
        )
    return build(spec, model, provider, http, api_key)


def _openai_chat(name: str, model: str, provider: Provider, http: HttpPool, api_key: str) -> LanguageModel:
    return OpenAIChatModel(
        name,
        model,
        base_url=provider.base_url,
        http=http,
        api_key=api_key,
        ask_for_usage=provider.ask_for_usage,
        max_tokens_field=provider.max_tokens_field,
    )


WIRES: Mapping[str, Callable[[str, str, Provider, HttpPool, str], LanguageModel]] = MappingProxyType(
    {"openai-chat": _openai_chat}
)
"""The wire formats by name."""
