"""From `provider:model` to a language model, over the connections that there are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec
import trio

from actors.connections import Connection
from actors.errors import EngineError, ErrorCode
from actors.model_settings import ModelSettings
from actors.models.base import LanguageModel
from actors.models.endpoints import Endpoint, naming_connection, open_endpoint
from actors.models.http import HttpPool
from actors.models.model_config import ModelConfig, parse_model_config
from actors.models.wire_options import checked_settings
from runtime import get_logger

__all__ = ["ProviderRegistry", "ProviderSettings", "build_provider_registry", "validate_model_availability"]

_log = get_logger("models")

_MODELS_KEPT: Final = 10_000
"""Sessions may name as many models as they like; so many of the latest are kept ready."""

_NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider registry is built from.

    - `connections`: by connection id, which is the namespace of their models.
    - `separator`: between a connection's id and its model.
    - `fallback`: the connection that is asked for what no other one has: for a name that begins with no
      connection's id, as a whole, and for a model that its connection does not list. Empty: refused.
    """

    connections: Mapping[str, Connection]
    separator: str = ":"
    fallback: str = ""


class _Target(NamedTuple):
    endpoint: Endpoint
    model_id: str
    settings: ModelSettings


class ProviderRegistry:
    """The models that can be asked; made by `build_provider_registry`, and never changed.

    Models are made when they are first asked for, and kept.
    """

    def __init__(
        self, settings: ProviderSettings, endpoints: Mapping[str, Endpoint], http: HttpPool
    ) -> None:
        self._settings = settings
        self._endpoints = endpoints
        self._http = http
        self._models: dict[str | bytes, LanguageModel] = {}

    def language_model(self, spec: str | ModelConfig) -> LanguageModel:
        """The model `connection:model`; what one asks for twice is the same one.

        Raises:
            EngineError: `EXECUTOR_NOT_FOUND` for what is not there, with the `provider` where none has that
                name; `INVALID_ARGUMENT` for what names no model, a missing key, or settings that cannot be
                sent.
        """
        key = spec if isinstance(spec, str) else _key_of(spec)
        model = self._models.get(key)
        if model is None:
            model = self._made(spec)
            if len(self._models) >= _MODELS_KEPT:
                self._models.pop(next(iter(self._models)), None)
            self._models[key] = model
        return model

    def check(self, spec: str | ModelConfig, settings: ModelSettings) -> None:
        """Raises as `language_model`, also if a request to the model cannot hold `settings`."""
        self.language_model(spec)
        endpoint = self._target(spec).endpoint
        with naming_connection(endpoint.connection):
            checked_settings(settings, endpoint.wire)

    def connection_of(self, spec: str | ModelConfig) -> Connection:
        """The connection over which a model is asked. Raises as `language_model`, if not for its key."""
        return self._target(spec).endpoint.connection

    def models(self) -> tuple[str, ...]:
        """Every model that is listed by name, aliases too; what a connection does not list may be there."""
        return tuple(
            self._spelled(connection_id, model)
            for connection_id, endpoint in self._endpoints.items()
            for model in dict.fromkeys([*(endpoint.connection.models or ()), *endpoint.connection.aliases])
        )

    def connections(self) -> tuple[Connection, ...]:
        """Those that are enabled."""
        return tuple(endpoint.connection for endpoint in self._endpoints.values())

    def _made(self, spec: str | ModelConfig) -> LanguageModel:
        endpoint, model_id, settings = self._target(spec)
        name = spec if isinstance(spec, str) else self._spelled(spec.provider, spec.model_id)
        with naming_connection(endpoint.connection):
            return endpoint.model(name, model_id, settings, self._http)

    def _target(self, spec: str | ModelConfig) -> _Target:
        separator, fallback_id = self._settings.separator, self._settings.fallback
        names = self._settings.connections
        if fallback_id and isinstance(spec, str) and spec and spec.partition(separator)[0] not in names:
            return self._listed(self._endpoints[fallback_id], spec, ModelSettings())
        config = parse_model_config(spec, separator=separator)
        endpoint = self._endpoints.get(config.provider)
        if endpoint is not None:
            return self._listed(endpoint, config.model_id, config.settings)
        if config.provider in names:
            raise _not_found(f"the connection {config.provider!r} is switched off", config.provider)
        if fallback_id:
            whole = self._spelled(config.provider, config.model_id)
            return self._listed(self._endpoints[fallback_id], whole, config.settings)
        raise _not_found(
            f"there is no provider {config.provider!r}; known are {', '.join(sorted(self._endpoints))}. "
            f"For another OpenAI-compatible server, write openai{separator}<model> and give its base URL, "
            f"or save a connection of that name in the catalog",
            config.provider,
        )

    def _listed(self, endpoint: Endpoint, model_id: str, settings: ModelSettings) -> _Target:
        """The model of this endpoint, or of the fallback if only that one has it."""
        fallback = self._endpoints.get(self._settings.fallback)
        for place in (endpoint,) if fallback is None else (endpoint, fallback):
            if place.lists(model_id):
                return _Target(place, model_id, settings)
        connection = endpoint.connection
        listed = ", ".join(dict.fromkeys([*(connection.models or ()), *connection.aliases])) or "none"
        raise _not_found(
            f"the connection {connection.connection_id!r} has no model {model_id!r}; it has {listed}"
        )

    def _spelled(self, provider: str, model_id: str) -> str:
        return f"{provider}{self._settings.separator}{model_id}"


async def build_provider_registry(
    settings: ProviderSettings, http: HttpPool, *, environment: Mapping[str, str] = _NO_ENVIRONMENT
) -> ProviderRegistry:
    """The registry of the connections that are enabled, checked; keys are looked up in `environment`.

    A connection without its key is there: whoever uses it is told which variable to set.

    Raises:
        EngineError: `INVALID_ARGUMENT`, naming the connection and what is wrong with it.
    """
    if not settings.separator:
        raise EngineError(ErrorCode.INVALID_ARGUMENT, "the separator of provider and model is empty")
    endpoints: dict[str, Endpoint] = {}
    for connection_id, connection in settings.connections.items():
        if connection_id != connection.connection_id:
            raise _unusable_id(connection_id, f"is named {connection.connection_id!r} in itself")
        if not (connection_id and connection_id.isprintable()) or settings.separator in connection_id:
            raise _unusable_id(connection_id, f"needs printable characters, without {settings.separator!r}")
        if connection.enabled:
            endpoints[connection_id] = open_endpoint(connection, http, environment)
        # There may be hundreds: others have their turn between two of them.
        await trio.lowlevel.checkpoint()
    if settings.fallback and settings.fallback not in endpoints:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"the fallback {settings.fallback!r} is no connection that is enabled; "
            f"there are {', '.join(sorted(endpoints)) or 'none'}",
        )
    _log.info("provider registry built", connections=len(endpoints))
    return ProviderRegistry(settings, endpoints, http)


def validate_model_availability(registry: ProviderRegistry, config: str | ModelConfig) -> bool:
    """Whether a model can be asked, as far as that shows without asking. Never raises."""
    try:
        registry.language_model(config)
    except EngineError:
        return False
    return True


def _key_of(config: ModelConfig) -> bytes:
    try:
        return msgspec.json.encode(config, order="sorted")
    except (TypeError, ValueError, RecursionError) as error:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, f"the settings of a model cannot be sent: {error}"
        ) from None


def _not_found(message: str, provider: str = "") -> EngineError:
    details = {"provider": provider} if provider else {}
    return EngineError(ErrorCode.EXECUTOR_NOT_FOUND, message, kind="model", **details)


def _unusable_id(connection_id: str, why: str) -> EngineError:
    return EngineError(
        ErrorCode.INVALID_ARGUMENT, f"the connection id {connection_id!a} {why}", connection=connection_id
    )
