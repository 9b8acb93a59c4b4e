"""The OpenAI Responses wire."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from actors.model_settings import ModelSettings
from actors.models.http import HttpPool
from actors.models.openai_responses_parser import OpenAIResponsesParser
from actors.models.openai_responses_request import encode_request
from actors.models.wire_model import WireModel, bearer

__all__ = ["OpenAIResponsesModel"]

# OpenAI refuses to be asked for the encrypted reasoning of models that do not reason.
_DO_NOT_REASON = re.compile(r"(?:^|[/:])(?:gpt-[34]|chatgpt-)|-chat(?:-|$)")


class OpenAIResponsesModel(WireModel):
    """A model at `<base_url>/responses`; a `LanguageModel`, see `WireModel`.

    The provider is asked to store nothing; what it has to know again of its answers is kept with them.

    - `cache_by_conversation` names the conversation to the provider, so that its requests meet the same
      cache (`prompt_cache_key`).
    - `encrypted_reasoning` asks for reasoning that can be sent back; None: by the name of the model.

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
        cache_by_conversation: bool = False,
        encrypted_reasoning: bool | None = None,
    ) -> None:
        if encrypted_reasoning is None:
            encrypted_reasoning = not _DO_NOT_REASON.search(model)
        super().__init__(
            name,
            base_url=base_url,
            path="/responses",
            http=http,
            own_headers=bearer(api_key),
            headers=headers,
            settings=settings,
            encode=partial(
                encode_request,
                model,
                name=name,
                cache_by_conversation=cache_by_conversation,
                encrypted_reasoning=encrypted_reasoning,
            ),
            parser=OpenAIResponsesParser,
            answer_noun="response",
        )
