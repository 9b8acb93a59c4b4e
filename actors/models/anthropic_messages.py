"""The Anthropic Messages wire."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from actors.model_settings import ModelSettings
from actors.models.anthropic_messages_parser import AnthropicMessagesParser
from actors.models.anthropic_messages_request import encode_request
from actors.models.http import HttpPool
from actors.models.wire_model import WireModel, sendable_key

__all__ = ["AnthropicMessagesModel"]

_VERSION = "2023-06-01"


class AnthropicMessagesModel(WireModel):
    """A model at `<base_url>/messages`; a `LanguageModel`, see `WireModel`.

    The key is sent as `x-api-key`. For features under test, send `anthropic-beta` among the headers. Where
    the settings name no limit of output tokens, the wire still wants one: 32,000 for Claude 4 and later,
    8,192 for others, and enough for a thinking budget among the options.

    `cache_prompts` marks what a provider may cache; it is billed, and pays from the second request on.

    Raises:
        EngineError: `INVALID_ARGUMENT`, if the base URL, the key or a header cannot be sent.
    """

    def __init__(
        self,
        name: str,
        model: str,
        *,
        base_url: str,
        http: HttpPool,
        api_key: str = "",
        headers: Mapping[str, str] | None = None,
        settings: ModelSettings = ModelSettings(),  # noqa: B008 - frozen
        cache_prompts: bool = True,
    ) -> None:
        own_headers = {"anthropic-version": _VERSION}
        if api_key:
            own_headers["x-api-key"] = sendable_key(api_key)
        super().__init__(
            name,
            base_url=base_url,
            path="/messages",
            http=http,
            own_headers=own_headers,
            headers=headers,
            settings=settings,
            encode=partial(encode_request, model, name=name, cache_prompts=cache_prompts),
            parser=AnthropicMessagesParser,
            answer_noun="message",
        )
