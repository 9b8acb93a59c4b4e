"""The providers that are known by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from actors.models.openai_chat_request import MaxTokensField

__all__ = ["PROVIDERS", "SCRIPTED", "Provider"]

SCRIPTED = "scripted"
"""The provider that answers in this process: without a base URL, a wire and a key."""


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """What is to know of a provider.

    `key_variable` names the environment variable in which its key is usually kept; empty means that it
    needs none. The last fields are what its requests may hold; see `OpenAIChatModel`.
    """

    base_url: str
    key_variable: str = ""
    wire: str = "openai-chat"
    ask_for_usage: bool = True
    max_tokens_field: MaxTokensField = "max_tokens"
    cache_by_conversation: bool = False
    return_thoughts: bool = False


PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "alibaba": Provider(
            base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
            key_variable="DASHSCOPE_API_KEY",
        ),
        "anthropic": Provider(
            base_url="https://api.anthropic.com/v1",
            key_variable="ANTHROPIC_API_KEY",
            wire="anthropic-messages",
        ),
        "cerebras": Provider(base_url="https://api.cerebras.ai/v1", key_variable="CEREBRAS_API_KEY"),
        "deepseek": Provider(
            base_url="https://api.deepseek.com/v1", key_variable="DEEPSEEK_API_KEY", return_thoughts=True
        ),
        "fireworks": Provider(
            base_url="https://api.fireworks.ai/inference/v1", key_variable="FIREWORKS_API_KEY"
        ),
        "groq": Provider(base_url="https://api.groq.com/openai/v1", key_variable="GROQ_API_KEY"),
        "lmstudio": Provider(base_url="http://localhost:1234/v1"),
        "mistral": Provider(
            base_url="https://api.mistral.ai/v1", key_variable="MISTRAL_API_KEY", ask_for_usage=False
        ),
        "moonshot": Provider(
            base_url="https://api.moonshot.ai/v1", key_variable="MOONSHOT_API_KEY", return_thoughts=True
        ),
        "ollama": Provider(base_url="http://localhost:11434/v1"),
        "openai": Provider(
            base_url="https://api.openai.com/v1",
            key_variable="OPENAI_API_KEY",
            max_tokens_field="max_completion_tokens",
            cache_by_conversation=True,
        ),
        "openrouter": Provider(base_url="https://openrouter.ai/api/v1", key_variable="OPENROUTER_API_KEY"),
        "together": Provider(base_url="https://api.together.xyz/v1", key_variable="TOGETHER_API_KEY"),
        "xai": Provider(base_url="https://api.x.ai/v1", key_variable="XAI_API_KEY"),
    }
)
"""Besides `SCRIPTED`. `openai` speaks `openai-responses`, too, if a connection says so."""
