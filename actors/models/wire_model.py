"""What the models behind HTTP have in common: the URL, the headers, and reading the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Protocol

import httpx
import trio

from actors.connections import shown_url
from actors.conversation import FinishReason, Part
from actors.errors import EngineError, ErrorCode
from actors.model_settings import ModelSettings
from actors.models.base import Emit, ModelRequest
from actors.models.event_stream import EventParser, pump
from actors.models.http import HttpPool
from actors.models.http_errors import endpoint_of
from actors.models.silence import SilenceLimit

__all__ = ["AnswerParser", "WireModel", "bearer", "sendable_key"]

_PORTS = 65_536
_WHOLE_ANSWER_BYTES = 32 * 1024 * 1024
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110, 5.6.2


class AnswerParser(EventParser, Protocol):
    """An `EventParser` that also takes, as its only event, the body of an answer that was not streamed."""

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the model stopped, once it has said so."""
        ...

    def feed(self, data: str | bytes, event: str = "") -> list[Part]: ...


class WireModel:
    """A model at `<base_url>/<path>`; a `LanguageModel`, once a wire has said how to write and to read.

    - `encode` writes the body of a request, whose settings are complete.
    - `parser` makes the parser of one answer; `answer_noun` is what such an answer is called.
    - `own_headers` are the wire's; `headers` come over them.
    - `settings` are what requests say where they say nothing themselves.

    A server that answers all at once, although it was asked to stream, is understood, too.

    Raises:
        EngineError: `INVALID_ARGUMENT`, if the base URL or a header cannot be sent.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str,
        path: str,
        http: HttpPool,
        own_headers: Mapping[str, str],
        headers: Mapping[str, str] | None,
        settings: ModelSettings,
        encode: Callable[[ModelRequest, ModelSettings], bytes],
        parser: Callable[[], AnswerParser],
        answer_noun: str,
    ) -> None:
        self._name = name
        self._url = _url(base_url, path)
        self._http = http
        self._settings = settings
        self._encode = encode
        self._parser = parser
        self._answer_noun = answer_noun
        self._headers = {
            "accept": "text/event-stream, application/json",
            # Compression makes proxies hold a stream back until a block is full.
            "accept-encoding": "identity",
            "content-type": "application/json",
            **own_headers,
            **_sendable_headers(headers or {}),
        }

    @property
    def name(self) -> str:
        return self._name

    @property
    def url(self) -> str:
        """Where requests go."""
        return str(self._url)

    async def stream(self, request: ModelRequest, emit: Emit) -> None:
        """Run one call to its end; see `LanguageModel.stream`."""
        body = self._encode(request, request.settings.over(self._settings))
        async with self._http.post(self._url, self._headers, body) as response:
            content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if content_type == "text/event-stream":
                silence = self._http.silence_seconds
                await pump(response, self._parser(), emit, self._http.traffic, silence_seconds=silence)
            elif content_type == "application/json" or content_type.endswith("+json"):
                self._emit_whole(await _read(response, self._http.silence_seconds), emit)
            else:
                raise EngineError(
                    ErrorCode.EXECUTION_FAILED,
                    f"{endpoint_of(self._url)} answered with {content_type or 'no content type'} instead "
                    f"of an event stream; does the base URL point at an API that sends "
                    f"{self._answer_noun}s?",
                )

    def _emit_whole(self, answer: bytes, emit: Emit) -> None:
        self._http.traffic.events += 1
        self._http.traffic.body_bytes += len(answer)
        parser = self._parser()
        parts = parser.feed(answer)
        if parts:
            emit(tuple(parts))
        if parser.finish_reason is None:
            raise EngineError(
                ErrorCode.EXECUTION_FAILED,
                f"{endpoint_of(self._url)} answered with JSON that is no {self._answer_noun}",
            )


def sendable_key(api_key: str) -> str:
    """The key without the line end of the file it was read from.

    Raises:
        EngineError: `INVALID_ARGUMENT`, if no header can hold it.
    """
    key = api_key.strip()
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            "the API key holds spaces, control characters or letters outside of ASCII; copy it anew",
        )
    return key


def bearer(api_key: str) -> dict[str, str]:
    """The header with the key; nothing is sent in its place without one."""
    return {"authorization": f"Bearer {sendable_key(api_key)}"} if api_key else {}


def _sendable_headers(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or not (value.isascii() and value.isprintable()):
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT,
                f"the header {name!a} cannot be sent: a name is letters, digits and hyphens, "
                f"a value one line of ASCII",
            )
    return {name.lower(): value.strip() for name, value in headers.items()}


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


def _url(base_url: str, path: str) -> httpx.URL:
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT, f"the base URL {shown_url(base_url)!r} is not valid: {error}"
        ) from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"the base URL {shown_url(base_url)!r} is not valid: "
            f"it has to begin with http:// or https:// and a host",
        )
    if url.port is not None and not 0 < url.port < _PORTS:
        raise EngineError(
            ErrorCode.INVALID_ARGUMENT,
            f"the base URL {shown_url(base_url)!r} is not valid: a port is 1 to 65535",
        )
    base, question_mark, query = url.raw_path.partition(b"?")
    return url.copy_with(raw_path=base.rstrip(b"/") + path.encode() + question_mark + query)
