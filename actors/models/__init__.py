"""Language models: one contract, the wires to providers, and a scripted model without a network."""

from actors.models.base import Emit, LanguageModel, ModelRequest
from actors.models.http import HttpPool
from actors.models.openai_chat import OpenAIChatModel
from actors.models.openai_chat_parser import OpenAIChatParser
from actors.models.providers import PROVIDERS, WIRES, Provider, language_model
from actors.models.scripted import Delay, Fail, Gate, Hang, Say, Script, ScriptedModel, Step, echo, say
from actors.models.traffic import TrafficStatistics

__all__ = [
    "PROVIDERS",
    "WIRES",
    "Delay",
    "Emit",
    "Fail",
    "Gate",
    "Hang",
    "HttpPool",
    "LanguageModel",
    "ModelRequest",
    "OpenAIChatModel",
    "OpenAIChatParser",
    "Provider",
    "Say",
    "Script",
    "ScriptedModel",
    "Step",
    "TrafficStatistics",
    "echo",
    "language_model",
    "say",
]
