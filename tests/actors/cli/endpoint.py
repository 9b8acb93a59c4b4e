"""A model endpoint on 127.0.0.1 that says what a test tells it to, in the OpenAI Chat Completions wire."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from tests.actors.cli.program import LIMIT_SECONDS

__all__ = ["CUT", "HOLD", "Endpoint", "Step", "endpoint"]


class _Mark(Enum):
    HOLD = "hold"
    CUT = "cut"


HOLD = _Mark.HOLD
"""Say no more until the client leaves."""
CUT = _Mark.CUT
"""Break off."""

Step: TypeAlias = dict[str, Any] | str | _Mark | int | threading.Event
"""A delta, a piece of text, a mark, an HTTP status to refuse with, or what the answer waits for."""


class Endpoint(ThreadingHTTPServer):
    """Gives the answers in `answers` in turn; `requests` are the bodies that came."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.base_url = f"http://127.0.0.1:{self.server_port}/v1"
        self.answers: deque[tuple[Step, ...]] = deque()
        self.requests: list[dict[str, Any]] = []
        self.asked = threading.Event()
        self.client_left = threading.Event()

    def will_say(self, *steps: Step) -> None:
        """Add an answer. One without a mark or a status ends in order."""
        self.answers.append(steps)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Endpoint)
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.requests.append(json.loads(body))
        self.server.asked.set()
        steps = self.server.answers.popleft()
        if isinstance(steps[0], int):
            self.send_response(steps[0])
            self.end_headers()
            self.wfile.write(b'{"error": {"message": "refused by the test"}}')
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()  # HTTP/1.0: the body ends with the connection
        for step in steps:
            match step:
                case _Mark.HOLD:
                    self.rfile.read(1)
                    self.server.client_left.set()
                    return
                case _Mark.CUT:
                    return
                case threading.Event():
                    step.wait(LIMIT_SECONDS)
                case str():
                    self._send({"delta": {"content": step}})
                case _:
                    self._send({"delta": step})
        self._send({"delta": {}, "finish_reason": "stop"})
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, choice: dict[str, Any]) -> None:
        chunk = {"object": "chat.completion.chunk", "choices": [{"index": 0, **choice}]}
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's
        """Say nothing."""


@contextmanager
def endpoint() -> Generator[Endpoint]:
    with Endpoint() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
