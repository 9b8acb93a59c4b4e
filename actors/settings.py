"""The engine's configuration, read once at the composition root."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from actors.connections import Connection, shown_url
from actors.errors import EngineError, ErrorCode
from actors.governor import CircuitPolicy, RetryPolicy
from actors.models.provider_registry import ProviderSettings
from actors.models.providers import PROVIDERS, SCRIPTED
from actors.records import ImageMode

__all__ = ["EngineSettings", "key_environment", "process_environment"]


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine is opened with.

    - `store`: path of the SQLite file; None keeps everything in memory.
    - `model`: `provider:model` of sessions that name none. The default answers offline.
    - `base_url`, `wire`: replace what is known of the providers.
    - `api_keys`: by provider name. One that is not here is looked up in the environment, under its usual
      variable, or that of the connection, whenever connections are read.
    - `separator`, `fallback`: how models are named, and the connection that is asked for what no other one
      has; see `ProviderSettings`.
    - `catalog`: path of the JSON file with agents, connections and MCP servers; None keeps them in memory.
    - `max_concurrent`: how many turns run at once; `max_queue_size`: how many more may wait for a slot.
    - `max_loaded`: beyond it the session that was used longest ago is unloaded. Those with a turn never
      are: the number is exceeded while so many are in use.
    - `session_idle_seconds`, `cleanup_interval_seconds`: what the automatic cleanup goes by, once started.
    - `project_roots`: the folders in which chat files may be; without one there are none.
    - `persist_throttle_seconds`: streamed text is at most so old on disk.
    - `silence_timeout_seconds`: a model that says nothing for so long has failed.
    - `retry`, `circuit`: when a model call that failed before its first part is made again, and when an
      endpoint counts as down; see `RetryPolicy` and `CircuitPolicy`.
    - `tool_threads`, `tool_processes`: so many tools of these kinds run at once, of all sessions; None: as
      many processes as there are cores, and at least four. Tools that are left alone do not count.
    - `image_mode`: models get images as they are, or as the text that `read_image` has read in them.
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
    separator: str = ":"
    fallback: str = ""
    catalog: str | None = None
    max_concurrent: int = 3
    max_queue_size: int = 10
    max_loaded: int = 10
    session_idle_seconds: float = 1800.0
    cleanup_interval_seconds: float = 300.0
    project_roots: tuple[str, ...] = ()
    persist_throttle_seconds: float = 0.5
    silence_timeout_seconds: float = 60.0
    retry: RetryPolicy = RetryPolicy()
    circuit: CircuitPolicy = CircuitPolicy()
    tool_threads: int = 40
    tool_processes: int | None = None
    image_mode: ImageMode = ImageMode.VISION
    shutdown_budget_seconds: float = 10.0

    def __post_init__(self) -> None:
        for field in msgspec.structs.fields(EngineSettings):
            try:
                msgspec.convert(msgspec.to_builtins(getattr(self, field.name)), field.type)
            except (msgspec.ValidationError, TypeError, UnicodeError) as error:
                raise EngineError(
                    ErrorCode.INVALID_ARGUMENT, f"{field.name} cannot be set to that: {error}"
                ) from None
        for name, least in (
            ("max_concurrent", 1),
            ("max_queue_size", 0),
            ("max_loaded", 1),
            ("session_idle_seconds", 0),
            ("persist_throttle_seconds", 0),
            ("silence_timeout_seconds", 0),
            ("tool_threads", 1),
            ("tool_processes", 1),
            ("shutdown_budget_seconds", 0),
        ):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and value >= least):
                raise EngineError(
                    ErrorCode.INVALID_ARGUMENT, f"{name} must be at least {least}, not {value!r}"
                )
        keyed = sorted(name for name, provider in PROVIDERS.items() if provider.key_variable)
        for name in self.api_keys:
            if name not in keyed:
                raise EngineError(
                    ErrorCode.INVALID_ARGUMENT,
                    f"api_keys has a key for {name!r}, which is none of {', '.join(keyed)}; "
                    f"for another server, save a connection with its api_key",
                )
        if not self.cleanup_interval_seconds > 0:
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"cleanup_interval_seconds must be more than 0, not {self.cleanup_interval_seconds}",
            )

    def providers(self, connections: Mapping[str, Connection]) -> ProviderSettings:
        """Every known provider is a connection under its name; those that are given come in their place.

        Raises:
            EngineError: `INVALID_ARGUMENT`, if the engine's own model answers in this process, and yet a
                base URL or a wire is named.
        """
        own = self.model.partition(self.separator)[0] if self.separator else ""
        if own == SCRIPTED and (self.base_url or self.wire):
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"{self.model} answers in this process: leave out the base URL and the wire",
            )
        known = {
            name: Connection(connection_id=name, base_url=self.base_url, wire=self.wire)
            # What is wrong with all of them is told of the one that is meant.
            for name in sorted(PROVIDERS, key=lambda name: name != own)
        }
        known[SCRIPTED] = Connection(connection_id=SCRIPTED)
        return ProviderSettings(
            connections={**known, **connections}, separator=self.separator, fallback=self.fallback
        )

    def __repr__(self) -> str:
        """Without the keys, and what of the URL may be secret."""
        hidden = {"api_keys": sorted(self.api_keys), "base_url": shown_url(self.base_url)}
        shown = (f"{name}={hidden.get(name, getattr(self, name))!r}" for name in self.__struct_fields__)
        return f"EngineSettings({', '.join(shown)})"


def process_environment() -> dict[str, str]:
    """The variables of this process, for who looks some of them up."""
    return dict(os.environ)


def key_environment(
    settings: EngineSettings, environment: Mapping[str, str] | None = None
) -> Mapping[str, str]:
    """Where the keys of connections are looked up by their variables: the settings' own come first.

    None is the environment of this process; as a default in the signature it would show in `help`.
    """
    environment = os.environ if environment is None else environment
    own = {PROVIDERS[name].key_variable: key for name, key in settings.api_keys.items() if key}
    return {**environment, **own}
