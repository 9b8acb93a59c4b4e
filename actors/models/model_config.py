"""Which model of which connection is meant: `provider:model`, taken apart."""

from __future__ import annotations

import msgspec

from actors.errors import EngineError, ErrorCode
from actors.model_settings import ModelSettings

__all__ = ["ModelConfig", "parse_model_config"]


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model of a provider, or of the connection that is named `provider`; its settings come first."""

    provider: str
    model_id: str
    settings: ModelSettings = ModelSettings()


def parse_model_config(config: str | ModelConfig, *, separator: str = ":") -> ModelConfig:
    """`provider:model` taken apart at the first separator: `ollama:qwen3:8b` is a model of `ollama`.

    What is taken apart already passes through.

    Raises:
        EngineError: `INVALID_ARGUMENT`, if there is no separator, or nothing on one side of it.
    """
    if isinstance(config, ModelConfig):
        return config
    if not isinstance(config, str):  # pyright: ignore[reportUnnecessaryIsInstance] - a caller's mistake
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, f"a model is named by a text, not {type(config).__name__}"
        )
    provider, found, model_id = config.partition(separator)
    if not (found and provider and model_id):
        missing = "model" if provider else "provider"
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"{config!r} names no {missing}; write provider{separator}model, "
            f"for example ollama{separator}qwen3:8b",
        )
    return ModelConfig(provider=provider, model_id=model_id)
