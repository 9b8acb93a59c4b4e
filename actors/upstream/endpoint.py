"""Decides what each request gets. No I/O, no time: that is for connections and the pacer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import assert_never

import msgspec

from actors.errors import EngineError
from actors.upstream.answers import write_script
from actors.upstream.beat import Beat
from actors.upstream.connection import HttpRequest
from actors.upstream.faults import (
    FAULT_HEADER,
    FAULT_MODEL_PREFIX,
    Fault,
    FaultPlan,
    break_body,
    break_stream,
    fault_named,
)
from actors.upstream.rate_limit import RateLimit
from actors.upstream.replay import Recording
from actors.upstream.reply import JsonReply, PacedReply, Reply
from actors.upstream.settings import UpstreamSettings
from actors.upstream.traffic import Traffic
from actors.upstream.wire import ApiError, ChatRequest, decode_chat_request, digest_of

__all__ = ["MODEL", "Endpoint"]

MODEL = "greenroom-sim"
"""The model that `/v1/models` names first. Any other name is served as well."""

_EVENT_STREAM = "text/event-stream; charset=utf-8"
_JSON = "application/json"


class Endpoint:
    """The simulated service behind the sockets.

    With `recordings`, a request gets the one that its model names, or else one that its content picks.
    """

    def __init__(
        self, settings: UpstreamSettings, recordings: tuple[Recording, ...], traffic: Traffic
    ) -> None:
        self._settings = settings
        self._recordings = recordings
        self._recording_named = {recording.name: recording for recording in recordings}
        self._plan = FaultPlan(settings.faults)
        self._rate_limit = RateLimit(settings.requests_per_second)
        self._traffic = traffic
        self._routes: dict[str, tuple[str, Callable[[HttpRequest], Reply]]] = {
            "/v1/chat/completions": ("POST", self._complete_chat),
            "/chat/completions": ("POST", self._complete_chat),
            "/v1/models": ("GET", self._list_models),
            "/health": ("GET", self._report_health),
            "/statistics": ("GET", self._report_statistics),
        }

    def reply(self, request: HttpRequest, now: float) -> Reply:
        """The reply to `request`; what is wrong with it is a reply, too."""
        self._traffic.requests += 1
        try:
            if request.path not in self._routes:
                raise ApiError(404, f"Invalid URL ({request.method} {request.path})")
            method, handle = self._routes[request.path]
            if request.method != method:
                raise ApiError(
                    405, f"Not allowed to {request.method} on {request.path}", headers=(("allow", method),)
                )
            if method == "POST" and not self._rate_limit.takes(now):
                self._traffic.faults[Fault.RATE_LIMIT] += 1
                _refuse_for(Fault.RATE_LIMIT)
            return handle(request)
        except ApiError as error:
            return error.reply()

    def _complete_chat(self, request: HttpRequest) -> Reply:
        chat = decode_chat_request(request.body)
        digest = digest_of(chat, self._settings.seed)
        fault = _requested_fault(request, chat) or self._plan.draw(digest)
        if fault is not None:
            self._traffic.faults[fault] += 1
            _refuse_for(fault)
        if chat.stream:
            beats = self._stream(chat, digest)
            return PacedReply(_EVENT_STREAM, break_stream(beats, fault) if fault else beats, fault)
        if self._recordings:
            raise ApiError(400, "recordings can only be streamed: set `stream` to true")
        script = write_script(chat, digest, self._settings.tokens)
        pace = self._settings.pace
        if fault is None:
            return PacedReply(_JSON, script.whole(pace))
        wait = pace.total_seconds(len(script.tokens))
        return PacedReply(_JSON, break_body(wait, script.body(), fault), fault)

    def _stream(self, chat: ChatRequest, digest: bytes) -> Iterator[Beat]:
        pace = self._settings.pace
        if not self._recordings:
            script = write_script(chat, digest, self._settings.tokens)
            return script.stream(pace, include_usage=chat.include_usage)
        number = int.from_bytes(digest, "big")
        picked = self._recordings[number % len(self._recordings)]
        return self._recording_named.get(chat.model, picked).stream(pace, number)

    def _list_models(self, _: HttpRequest) -> Reply:
        names = (MODEL, *self._recording_named, *(FAULT_MODEL_PREFIX + fault for fault in Fault))
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "greenroom"} for name in names]
        return _document({"object": "list", "data": models})

    def _report_health(self, _: HttpRequest) -> Reply:
        return _document({"status": "ok"})

    def _report_statistics(self, _: HttpRequest) -> Reply:
        return _document(self._traffic.statistics())


def _requested_fault(request: HttpRequest, chat: ChatRequest) -> Fault | None:
    """The fault that the request asks for, by header or, for clients that cannot set one, by model."""
    name = request.headers.get(FAULT_HEADER)
    if name is None and chat.model.startswith(FAULT_MODEL_PREFIX):
        name = chat.model.removeprefix(FAULT_MODEL_PREFIX)
    if name is None:
        return None
    try:
        return fault_named(name)
    except EngineError as error:
        raise ApiError(400, str(error), code="unknown_fault") from error


def _refuse_for(fault: Fault) -> None:
    match fault:
        case Fault.RATE_LIMIT:
            raise ApiError(
                429,
                "Rate limit reached. Please try again in 1s.",
                kind="requests",
                code="rate_limit_exceeded",
                headers=(("retry-after", "1"),),
            )
        case Fault.SERVER_ERROR:
            raise ApiError(
                500, "The server had an error while processing your request.", kind="server_error"
            )
        case Fault.UNAUTHORIZED:
            raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
        case Fault.DISCONNECT | Fault.RESET | Fault.STALL | Fault.MALFORMED:
            return
        case _:
            assert_never(fault)


def _document(value: object) -> JsonReply:
    return JsonReply(200, msgspec.json.encode(value))
