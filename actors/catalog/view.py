"""What everybody may read of the catalog, at any time and without a message."""

from __future__ import annotations

from actors.agents import AgentDefinition
from actors.catalog.catalog import Catalog
from actors.connections import Connection
from actors.errors import EngineError, ErrorCode
from actors.model_settings import ModelSettings
from actors.models.base import LanguageModel
from actors.models.provider_registry import ProviderRegistry

__all__ = ["CatalogView"]


class CatalogView:
    """The catalog as it is now, and the models that can be asked with it.

    Written by the catalog actor alone, and handed from one incarnation of it to the next, as an ETS table
    is to its heir in OTP; everybody else only reads. Its values are immutable and replaced whole, in one
    step of the scheduler: who has read one may keep it as long as it likes.
    """

    def __init__(self) -> None:
        self._current = Catalog()
        self._models: ProviderRegistry | None = None
        self.subscribers: tuple[str, ...] = ()
        """The names of the actors that are told of changes: the catalog actor's own."""

    @property
    def current(self) -> Catalog:
        return self._current

    @property
    def is_loaded(self) -> bool:
        return self._models is not None

    @property
    def models(self) -> ProviderRegistry:
        """
        Raises:
            EngineError: `SESSION_INVALID`, before the catalog has been read for the first time.
        """
        if self._models is None:
            raise EngineError(ErrorCode.SESSION_INVALID, "the engine is not open yet: there are no models")
        return self._models

    def find_agent(self, agent_id: str) -> AgentDefinition | None:
        return self._current.agents.get(agent_id)

    def find_model(self, name: str) -> LanguageModel:
        """Raises as `ProviderRegistry.language_model`."""
        return self.models.language_model(name)

    def check_model(self, name: str, settings: ModelSettings) -> None:
        """Raises as `ProviderRegistry.check`."""
        self.models.check(name, settings)

    def connection_of(self, name: str) -> Connection:
        """Raises as `ProviderRegistry.connection_of`."""
        return self.models.connection_of(name)

    def publish(self, catalog: Catalog, models: ProviderRegistry) -> None:
        """Both at once: no reader sees a connection without its models."""
        self._current = catalog
        self._models = models
