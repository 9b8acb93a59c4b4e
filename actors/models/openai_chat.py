"""The OpenAI Chat Completions wire, which many servers speak."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from actors.model_settings import ModelSettings
from actors.models.http import HttpPool
from actors.models.openai_chat_parser import OpenAIChatParser
from actors.models.openai_chat_request import MaxTokensField, encode_request
from actors.models.wire_model import WireModel, bearer

__all__ = ["OpenAIChatModel"]


class OpenAIChatModel(WireModel):
    """A model at `<base_url>/chat/completions`; a `LanguageModel`, see `WireModel`.

    - `ask_for_usage=False` and `max_tokens_field` are for servers that refuse fields that they do not know.
    - `cache_by_conversation` names the conversation to the provider, so that its requests meet the same
      cache (`prompt_cache_key`).
    - `return_thoughts` sends the thoughts before a tool call back with it, for models that go on from there
      (`reasoning_content`).

    The key is sent as a bearer token.

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
        ask_for_usage: bool = True,
        max_tokens_field: MaxTokensField = "max_tokens",
        cache_by_conversation: bool = False,
        return_thoughts: bool = False,
    ) -> None:
        super().__init__(
            name,
            base_url=base_url,
            path="/chat/completions",
            http=http,
            own_headers=bearer(api_key),
            headers=headers,
            settings=settings,
            encode=partial(
                encode_request,
                model,
                name=name,
                ask_for_usage=ask_for_usage,
                max_tokens_field=max_tokens_field,
                cache_by_conversation=cache_by_conversation,
                return_thoughts=return_thoughts,
            ),
            parser=OpenAIChatParser,
            answer_noun="chat completion",
        )
