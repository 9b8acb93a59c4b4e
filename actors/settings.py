"""The engine's configuration, read once at the composition root."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from actors.errors import EngineError, ErrorCode
from actors.models.base import LanguageModel
from actors.models.http import HttpPool
from actors.models.providers import PROVIDERS, language_model

__all__ = ["EngineSettings", "api_keys_from_environment"]


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is opened with.

    - `store`: path of the SQLite file; None keeps everything in memory.
    - `model`: `provider:model` of sessions that name none. The default answers offline.
    - `base_url`, `wire`: replace what is known of the provider.
    - `api_keys`: by provider name.
    - `max_concurrent`: how many turns run at once; `max_queue_size`: how many more may wait for a slot.
    - `max_loaded`: beyond it the session that was used longest ago is unloaded. Those with a turn never
      are: the number is exceeded while so many are in use.
    - `session_idle_seconds`, `cleanup_interval_seconds`: what the automatic cleanup goes by, once started.
    - `project_roots`: the folders in which chat files may be; without one there are none.
    - `persist_throttle_seconds`: streamed text is at most so old on disk.
    - `silence_timeout_seconds`: a model that says nothing for so long has failed.
    - `shutdown_budget_seconds`: what has not ended orderly after it is cancelled; only a store that hangs
      in a call is waited for.

    Raises:
        EngineError: `INVALID_ARGUMENT`, naming the setting that is out of range.
    """

    store: str | None = None
    model: str = "scripted:echo"
    base_url: str = ""
    wire: str = ""
    api_keys: Mapping[str, str] = {}
    max_concurrent: int = 3
    max_queue_size: int = 10
    max_loaded: int = 10
    session_idle_seconds: float = 1800.0
    cleanup_interval_seconds: float = 300.0
    project_roots: tuple[str, ...] = ()
    persist_throttle_seconds: float = 0.5
    silence_timeout_seconds: float = 60.0
    shutdown_budget_seconds: float = 10.0

    def __post_init__(self) -> None:
        for name, least in (
            ("max_concurrent", 1),
            ("max_queue_size", 0),
            ("max_loaded", 1),
            ("session_idle_seconds", 0),
            ("persist_throttle_seconds", 0),
            ("silence_timeout_seconds", 0),
            ("shutdown_budget_seconds", 0),
        ):
            if not getattr(self, name) >= least:
                raise EngineError(
                    ErrorCode.INVALID_ARGUMENT,
                    f"{name} must be at least {least}, not {getattr(self, name)}",
                )
        if not self.cleanup_interval_seconds > 0:
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"cleanup_interval_seconds must be more than 0, not {self.cleanup_interval_seconds}",
            )

    def model_for(self, name: str, http: HttpPool) -> LanguageModel:
        """The model `provider:model` at the endpoint, and with the key, that these settings name.

        Raises:
            EngineError: as `language_model` does.
        """
        return language_model(
            name,
            http=http,
            base_url=self.base_url,
            api_key=self.api_keys.get(name.partition(":")[0], ""),
            wire=self.wire,
        )

    def __repr__(self) -> str:
        """Without the keys."""
        shown = {
            name: sorted(self.api_keys) if name == "api_keys" else getattr(self, name)
            for name in self.__struct_fields__
        }
        return f"EngineSettings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def api_keys_from_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The API keys of the known providers, by provider name, as far as their usual variables are set.

    None is the environment of this process; as a default in the signature it would show in `help`.
    """
    environment = os.environ if environment is None else environment
    return {
        name: environment[provider.key_variable]
        for name, provider in PROVIDERS.items()
        if provider.key_variable and environment.get(provider.key_variable)
    }
