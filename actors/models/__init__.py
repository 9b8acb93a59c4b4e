"""Language models: one contract, the wires to providers, and a scripted model without a network."""

from actors.models.anthropic_messages import AnthropicMessagesModel
from actors.models.anthropic_messages_parser import AnthropicMessagesParser
from actors.models.base import Emit, LanguageModel, ModelRequest
from actors.models.http import HttpPool
from actors.models.model_config import ModelConfig, parse_model_config
from actors.models.openai_chat import OpenAIChatModel
from actors.models.openai_chat_parser import OpenAIChatParser
from actors.models.openai_responses import OpenAIResponsesModel
from actors.models.openai_responses_parser import OpenAIResponsesParser
from actors.models.provider_registry import (
    ProviderRegistry,
    ProviderSettings,
    build_provider_registry,
    validate_model_availability,
)
from actors.models.providers import PROVIDERS, Provider
from actors.models.scripted import Delay, Fail, Gate, Hang, Say, Script, ScriptedModel, Step, echo, say
from actors.models.traffic import TrafficStatistics
from actors.models.wires import WIRES

__all__ = [
    "PROVIDERS",
    "WIRES",
    "AnthropicMessagesModel",
    "AnthropicMessagesParser",
    "Delay",
    "Emit",
    "Fail",
    "Gate",
    "Hang",
    "HttpPool",
    "LanguageModel",
    "ModelConfig",
    "ModelRequest",
    "OpenAIChatModel",
    "OpenAIChatParser",
    "OpenAIResponsesModel",
    "OpenAIResponsesParser",
    "Provider",
    "ProviderRegistry",
    "ProviderSettings",
    "Say",
    "Script",
    "ScriptedModel",
    "Step",
    "TrafficStatistics",
    "build_provider_registry",
    "echo",
    "parse_model_config",
    "say",
    "validate_model_availability",
]
