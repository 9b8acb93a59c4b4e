"""How a model is to be asked: settings that a connection, an agent, a session or a call may name."""

from __future__ import annotations

import math
from typing import Any

import msgspec

__all__ = ["ModelSettings"]


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Settings of a model call. What is None, or not in `options`, is left to who stands behind.

    `options` are fields of the provider's own request, by their names on its wire. Its option `tools` has
    those that the provider runs itself, such as a web search; they are offered besides the engine's.
    """

    temperature: float | None = None
    max_output_tokens: int | None = None
    options: dict[str, Any] = {}

    def problem(self) -> str:
        """Why no model could be asked like this, in one line; empty if it could."""
        if self.temperature is not None and not math.isfinite(self.temperature):
            return f"a temperature is a number, not {self.temperature}"
        if self.max_output_tokens is not None and self.max_output_tokens < 1:
            return f"max_output_tokens must be at least 1, not {self.max_output_tokens}"
        try:
            msgspec.json.encode(self.options)
        except (TypeError, ValueError, RecursionError) as error:
            return f"the options of a model must be JSON: {error}"
        return ""

    def over(self, defaults: ModelSettings) -> ModelSettings:
        """These settings, and `defaults` where they say nothing; options are merged by name."""
        return ModelSettings(
            temperature=defaults.temperature if self.temperature is None else self.temperature,
            max_output_tokens=(
                defaults.max_output_tokens if self.max_output_tokens is None else self.max_output_tokens
            ),
            options={**defaults.options, **self.options},
        )
