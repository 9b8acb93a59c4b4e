"""Where models and tools come from, as the catalog keeps it: connections to providers, MCP servers."""

from __future__ import annotations

import msgspec

from actors.model_settings import ModelSettings

__all__ = ["Connection", "McpServer", "ModelAlias", "shown_url"]


class ModelAlias(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Another name for a model of the same connection, with settings of its own."""

    model: str
    settings: ModelSettings = ModelSettings()


class Connection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A way to a provider; `connection_id` is the namespace of its models: `connection_id:model`.

    - `provider`: one of the known providers; empty: that named like the connection, if there is one.
      `base_url`, `wire` and `key_variable` replace what is known of it. Where nothing is, the base URL is
      needed, and the wire is `openai-chat`, which most servers speak.
    - `api_key`: the key itself. It is never shown, logged or stored; `key_variable` names the environment
      variable that holds it, and is. At a base URL of one's own a key is needed only if one of the two is
      named.
    - `headers`: sent with each request. Shown by their names only.
    - `models`: the models that may be used, None: all. `aliases`: further names, by name.
    - `settings`: what its requests say where nobody else says something. Options have to be those of the
      wire; what only the server knows goes into the option `extra_body`.
    - `max_concurrent`: calls under way at once, None: as many as there are slots.
    """

    connection_id: str
    name: str = ""
    provider: str = ""
    base_url: str = ""
    wire: str = ""
    api_key: str = ""
    key_variable: str = ""
    headers: dict[str, str] = {}
    enabled: bool = True
    models: tuple[str, ...] | None = None
    aliases: dict[str, ModelAlias] = {}
    settings: ModelSettings = ModelSettings()
    max_concurrent: int | None = None

    def __repr__(self) -> str:
        """Without the key, the values of the headers, and what of the URL may be secret."""
        hidden = {
            "api_key": "***" if self.api_key else "",
            "base_url": shown_url(self.base_url),
            "headers": sorted(self.headers),
        }
        shown = (
            f"{name}={hidden.get(name, getattr(self, name))!r}"
            for name in self.__struct_fields__
            if getattr(self, name)
        )
        return f"Connection({', '.join(shown)})"


class McpServer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A server of tools that speaks the Model Context Protocol.

    Either a program, `command` with its `arguments`, which is started once for all sessions and speaks on
    its standard streams; or a `url`, which is spoken to over streamable HTTP. `environment` is what the
    program gets besides a few harmless variables; its values, and those of `headers`, are never shown.
    """

    server_id: str
    name: str = ""
    command: str = ""
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    directory: str = ""
    url: str = ""
    headers: dict[str, str] = {}
    enabled: bool = True
    timeout_seconds: float = 60.0

    def __repr__(self) -> str:
        """Without the values of the environment and the headers, and what of the URL may be secret."""
        hidden = {
            "environment": sorted(self.environment),
            "headers": sorted(self.headers),
            "url": shown_url(self.url),
        }
        shown = (
            f"{name}={hidden.get(name, getattr(self, name))!r}"
            for name in self.__struct_fields__
            if getattr(self, name)
        )
        return f"McpServer({', '.join(shown)})"


def shown_url(url: str) -> str:
    """What may be shown of a URL, also of one that cannot be parsed: no user info, and no query."""
    scheme, separator, rest = url.partition("?")[0].rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]
