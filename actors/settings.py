"""The engine's configuration, read once at the composition root."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from actors.models.providers import PROVIDERS

__all__ = ["EngineSettings", "api_keys_from_environment"]


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is opened with.

    - `store`: path of the SQLite file; None keeps everything in memory.
    - `model`: `provider:model` of sessions that name none. The default answers offline.
    - `base_url`, `wire`: replace what is known of the provider.
    - `api_keys`: by provider name.
    - `max_concurrent`: how many turns run at once; `max_queue_size`: how many more may wait for a slot.
    - `persist_throttle_seconds`: streamed text is at most so old on disk.
    - `silence_timeout_seconds`: a model that says nothing for so long has failed.
    - `shutdown_budget_seconds`: what has not ended orderly after it is cancelled.
    """

    store: str | None = None
    model: str = "scripted:echo"
    base_url: str = ""
    wire: str = ""
    api_keys: Mapping[str, str] = {}
    max_concurrent: int = 3
    max_queue_size: int = 10
    persist_throttle_seconds: float = 0.5
    silence_timeout_seconds: float = 60.0
    shutdown_budget_seconds: float = 10.0

    def __repr__(self) -> str:
        """Without the keys."""
        shown = {
            name: sorted(self.api_keys) if name == "api_keys" else getattr(self, name)
            for name in self.__struct_fields__
        }
        return f"EngineSettings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def api_keys_from_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The API keys of the known providers, by provider name, as far as their usual variables are set."""
    return {
        name: environment[provider.key_variable]
        for name, provider in PROVIDERS.items()
        if provider.key_variable and environment.get(provider.key_variable)
    }
