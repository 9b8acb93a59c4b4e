"""The OpenAI Chat Completions wire, which many servers speak."""

from __future__ import annotations

import httpx
import trio

from actors.errors import EngineError, ErrorCode
from actors.models.base import Emit, ModelRequest
from actors.models.event_stream import pump
from actors.models.http import HttpPool
from actors.models.http_errors import endpoint_of
from actors.models.openai_chat_parser import OpenAIChatParser
from actors.models.openai_chat_request import MaxTokensField, encode_request
from actors.models.silence import SilenceLimit

__all__ = ["OpenAIChatModel"]

_PORTS = 65_536
_WHOLE_ANSWER_BYTES = 32 * 1024 * 1024


class OpenAIChatModel:
    """A model at `<base_url>/chat/completions`; a `LanguageModel`.

    A server that answers all at once, although it was asked to stream, is understood, too.
    `ask_for_usage=False` and `max_tokens_field` are for servers that refuse requests with fields that they
    do not know. The key is sent as a bearer token, and nothing is sent in its place without one.

    Raises:
        EngineError: `INVALID_ARGUMENT`, if the base URL or the key cannot be sent.
    """

    def __init__(
        self,
        name: str,
        model: str,
        *,
        base_url: str,
        http: HttpPool,
        api_key: str = "",
        ask_for_usage: bool = True,
        max_tokens_field: MaxTokensField = "max_tokens",
    ) -> None:
        self._name = name
        self._model = model
        self._url = _chat_completions(base_url)
        self._http = http
        self._ask_for_usage = ask_for_usage
        self._max_tokens_field: MaxTokensField = max_tokens_field
        self._headers = {
            "accept": "text/event-stream, application/json",
            # Compression makes proxies hold a stream back until a block is full.
            "accept-encoding": "identity",
            "content-type": "application/json",
        }
        if api_key:
            self._headers["authorization"] = f"Bearer {_sendable(api_key)}"

    @property
    def name(self) -> str:
        return self._name

    @property
    def url(self) -> str:
        """Where requests go."""
        return str(self._url)

    async def stream(self, request: ModelRequest, emit: Emit) -> None:
        """Run one call to its end; see `LanguageModel.stream`."""
        body = encode_request(
            self._model,
            request,
            ask_for_usage=self._ask_for_usage,
            max_tokens_field=self._max_tokens_field,
        )
        async with self._http.post(self._url, self._headers, body) as response:
            content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if content_type == "text/event-stream":
                silence = self._http.silence_seconds
                await pump(response, OpenAIChatParser(), emit, self._http.traffic, silence_seconds=silence)
            elif content_type == "application/json" or content_type.endswith("+json"):
                self._emit_whole(await _read(response, self._http.silence_seconds), emit)
            else:
                raise EngineError(
                    ErrorCode.EXECUTION_FAILED,
                    f"{endpoint_of(self._url)} answered with {content_type or 'no content type'} instead "
                    f"of an event stream; does the base URL point at an OpenAI-compatible API?",
                )

    def _emit_whole(self, answer: bytes, emit: Emit) -> None:
        self._http.traffic.events += 1
        self._http.traffic.body_bytes += len(answer)
        parser = OpenAIChatParser()
        parts = parser.feed(answer)
        if parts:
            emit(tuple(parts))
        if parser.finish_reason is None:
            raise EngineError(
                ErrorCode.EXECUTION_FAILED,
                f"{endpoint_of(self._url)} answered with JSON that is no chat completion",
            )


async def _read(response: httpx.Response, silence_seconds: float) -> bytes:
    chunks: list[bytes] = []
    length = 0
    with trio.CancelScope() as reading:
        silence = SilenceLimit(reading, silence_seconds)
        async for chunk in response.aiter_bytes():
            silence.heard()
            chunks.append(chunk)
            length += len(chunk)
            if length > _WHOLE_ANSWER_BYTES:
                reading.cancel()
    if length > _WHOLE_ANSWER_BYTES:
        raise EngineError(
            ErrorCode.EXECUTION_FAILED, f"the answer is larger than {_WHOLE_ANSWER_BYTES} bytes"
        )
    if reading.cancelled_caught:
        raise httpx.ReadTimeout("nothing came in time")
    return b"".join(chunks)


def _chat_completions(base_url: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, f"the base URL {_without_secrets(base_url)!r} is not valid: {error}"
        ) from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"the base URL {_without_secrets(base_url)!r} is not valid: "
            f"it has to begin with http:// or https:// and a host",
        )
    if url.port is not None and not 0 < url.port < _PORTS:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"the base URL {_without_secrets(base_url)!r} is not valid: a port is 1 to 65535",
        )
    path, question_mark, query = url.raw_path.partition(b"?")
    return url.copy_with(raw_path=path.rstrip(b"/") + b"/chat/completions" + question_mark + query)


def _without_secrets(base_url: str) -> str:
    """What may be shown of a URL that cannot be parsed: no user info, and no query."""
    scheme, separator, rest = base_url.partition("?")[0].rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]


def _sendable(api_key: str) -> str:
    key = api_key.strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            "the API key holds spaces, control characters or letters outside of ASCII",
        )
    return key
