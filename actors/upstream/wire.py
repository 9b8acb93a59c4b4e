"""The requests and errors of the OpenAI Chat Completions wire."""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec

from actors.upstream.reply import JsonReply

__all__ = ["ApiError", "ChatRequest", "decode_chat_request", "digest_of"]

_Count = Annotated[int, msgspec.Meta(ge=1)]


class _StreamOptions(msgspec.Struct, frozen=True):
    include_usage: bool | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """The fields of a chat completion request that the endpoint heeds; all others are ignored."""

    model: Annotated[str, msgspec.Meta(min_length=1)]
    messages: Annotated[list[dict[str, object]], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    n: _Count | None = None
    tools: list[dict[str, object]] | None = None

    @property
    def token_limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class ApiError(Exception):
    """A refusal, as the wire has it: a status, headers, and a body that names the reason."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self._status = status
        self._headers = headers
        self._error = {"message": message, "type": kind, "param": None, "code": code}

    def reply(self) -> JsonReply:
        return JsonReply(self._status, msgspec.json.encode({"error": self._error}), self._headers)


_decoder = msgspec.json.Decoder(ChatRequest)


def decode_chat_request(body: bytes) -> ChatRequest:
    """The request in `body`.

    Raises:
        ApiError: 400, saying what is wrong with it.
    """
    try:
        request = _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise ApiError(400, str(error)) from error
    # Besides DecodeError: UnicodeDecodeError for invalid UTF-8, RecursionError for nesting without end.
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"We could not parse the JSON body of your request: {error}") from error
    for index, message in enumerate(request.messages):
        if not isinstance(message.get("role"), str):
            raise ApiError(400, f"Object missing required field `role` - at `$.messages[{index}]`")
    if request.n not in (None, 1):
        raise ApiError(400, f"n is {request.n}, but this endpoint gives one choice only")
    return request


def digest_of(request: ChatRequest, seed: int) -> bytes:
    """16 bytes that stand for `seed`, model and messages, whatever their spelling in JSON."""
    canonical = msgspec.json.encode((request.model, request.messages), order="sorted")
    return hashlib.blake2b(canonical, digest_size=16, key=seed.to_bytes(8, "big")).digest()
