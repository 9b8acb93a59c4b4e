"""From a connection to where its requests go, checked: nothing of it can go wrong later but the network."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import msgspec

from actors.connections import Connection
from actors.errors import EngineError, ErrorCode
from actors.model_settings import ModelSettings
from actors.models.base import LanguageModel
from actors.models.http import HttpPool
from actors.models.providers import PROVIDERS, SCRIPTED, Provider
from actors.models.wire_options import checked_settings
from actors.models.wires import WIRES, open_wire, scripted_model

__all__ = ["Endpoint", "naming_connection", "open_endpoint"]


class Endpoint(msgspec.Struct, frozen=True):
    """A connection, with what is known of its provider. A `provider` of None answers in this process.

    `missing_key` is the variable in which a key was looked for in vain; empty if there is one, or it is
    not needed.
    """

    connection: Connection
    provider: Provider | None
    api_key: str = ""
    missing_key: str = ""

    def __repr__(self) -> str:
        return f"Endpoint({self.connection!r})"

    @property
    def wire(self) -> str:
        return "" if self.provider is None else self.provider.wire

    def lists(self, model_id: str) -> bool:
        """Whether this model may be asked: all may, unless the connection says which."""
        connection = self.connection
        return connection.models is None or model_id in connection.models or model_id in connection.aliases

    def model(self, name: str, model_id: str, settings: ModelSettings, http: HttpPool) -> LanguageModel:
        """The model `model_id`, or the one that this is an alias of. `settings` come over the connection's.

        Raises:
            EngineError: `INVALID_ARGUMENT` without a key where one is needed, with a key that cannot be
                sent, and for settings that its wire does not take.
        """
        connection = self.connection
        if self.missing_key:
            way_out = "" if connection.base_url else ", or give the base URL of a server that needs none"
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"{connection.connection_id} needs an API key; set {self.missing_key}{way_out}",
                connection=connection.connection_id,
            )
        own = connection.settings
        alias = connection.aliases.get(model_id)
        if alias is not None:
            model_id, own = alias.model, checked_settings(alias.settings, self.wire).over(own)
        settings = checked_settings(settings, self.wire).over(own)
        if self.provider is None:
            return scripted_model(name, model_id)
        return open_wire(
            self.wire,
            name,
            model_id,
            provider=self.provider,
            http=http,
            api_key=self.api_key,
            headers=connection.headers,
            settings=settings,
        )


def open_endpoint(connection: Connection, http: HttpPool, environment: Mapping[str, str]) -> Endpoint:
    """The endpoint of a connection that can be used, but for a key that is not there yet.

    A key that stands in the environment is looked at when a model is asked for: a broken one must not take
    the other connections along.

    Raises:
        EngineError: `INVALID_ARGUMENT`, naming the connection and what is wrong with it.
    """
    with naming_connection(connection):
        return _opened(connection, http, environment)


@contextmanager
def naming_connection(connection: Connection) -> Generator[None]:
    """Refusals say whose connection it is that cannot be used so, unless they do anyway."""
    try:
        yield
    except EngineError as error:
        if error.code is not ErrorCode.INVALID_ARGUMENT or "connection" in error.details:
            raise
        connection_id = connection.connection_id
        message = f"{error.message} (connection {connection_id!r})"
        raise EngineError(error.code, message, **error.details, connection=connection_id) from None


def _opened(connection: Connection, http: HttpPool, environment: Mapping[str, str]) -> Endpoint:
    if connection.max_concurrent is not None and connection.max_concurrent < 1:
        raise _unusable(f"max_concurrent must be at least 1, not {connection.max_concurrent}")
    aliases = connection.aliases
    if not all([*(connection.models or ()), *aliases, *(alias.model for alias in aliases.values())]):
        raise _unusable("one of its models has no name")
    provider = _provider_of(connection)
    wire = "" if provider is None else provider.wire
    connection = msgspec.structs.replace(connection, settings=checked_settings(connection.settings, wire))
    for alias in connection.aliases.values():
        checked_settings(alias.settings, wire)
    if provider is None:
        return Endpoint(connection, None)
    # What a model of it would be refused for, all but a key from elsewhere.
    Endpoint(connection, provider, connection.api_key).model("", "", ModelSettings(), http)
    variable = connection.key_variable or provider.key_variable
    api_key = connection.api_key or environment.get(variable, "")
    is_needed = connection.key_variable or not connection.base_url
    return Endpoint(connection, provider, api_key, variable if is_needed and not api_key else "")


def _provider_of(connection: Connection) -> Provider | None:
    name = connection.provider or connection.connection_id
    if connection.wire and connection.wire not in WIRES and name != SCRIPTED:
        raise _unusable(f"there is no wire {connection.wire!r}; known are {', '.join(sorted(WIRES))}")
    if name == SCRIPTED:
        if connection.base_url or connection.wire:
            raise _unusable(f"{SCRIPTED} answers in this process: leave out the base URL and the wire")
        return None
    known = PROVIDERS.get(name)
    if known is None:
        if connection.provider:
            raise _unusable(
                f"there is no provider {name!r}; known are {', '.join(sorted([*PROVIDERS, SCRIPTED]))}. "
                f"Leave it out where there is a base URL"
            )
        if not connection.base_url:
            raise _unusable(f"nothing is known of {name!r}: name its provider, or give its base URL")
        return Provider(base_url=connection.base_url, wire=connection.wire or "openai-chat")
    if connection.base_url:  # another server's, which may refuse what only this provider knows
        known = msgspec.structs.replace(
            known,
            base_url=connection.base_url,
            max_tokens_field="max_tokens",
            cache_by_conversation=False,
        )
    return msgspec.structs.replace(known, wire=connection.wire or known.wire)


def _unusable(message: str) -> EngineError:
    return EngineError(ErrorCode.INVALID_ARGUMENT, message)
