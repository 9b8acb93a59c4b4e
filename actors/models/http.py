"""The HTTP clients that all models of a process share."""

from __future__ import annotations

import ipaddress
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import NamedTuple, TypeAlias
from urllib.request import getproxies

import httpx
import trio

from actors.errors import EngineError, ErrorCode
from actors.models.http_errors import (
    FOREIGN_ERRORS,
    endpoint_of,
    foreign_error,
    status_error,
    without_secrets,
)
from actors.models.stream_transport import StreamTransport
from actors.models.traffic import Traffic, TrafficStatistics

__all__ = ["HttpPool"]

_KEEP_ALIVE_SECONDS = 15.0
_IDLE_CLIENTS_PER_ORIGIN = 100
_ERROR_BODY_BYTES = 64 * 1024
_ERROR_BODY_SECONDS = 5.0

Origin: TypeAlias = tuple[str, str, int | None]


class HttpPool:
    """One HTTP client per running stream, kept with its connection for the next; an async context manager.

    httpx would let streams share a client, but its pool walks all connections whenever one of them is
    taken or given back, and it may close an idle connection that it has just assigned to a request
    (encode/httpcore#1110). A client that carries one stream at a time has neither problem, costs 3 kB and
    70 us, and shares the SSL context with the others. After a broken connection or a cancellation it is
    thrown away. A pool never makes a request wait.

    `silence_seconds` bounds the time between two pieces of an answer, the first included; nothing bounds
    the whole. Cookies are dropped: sessions of different users share the connections.

    `transport` replaces the network, for tests.
    """

    def __init__(
        self,
        *,
        connect_timeout_seconds: float = 10.0,
        silence_seconds: float = 60.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._timeout = httpx.Timeout(silence_seconds, connect=connect_timeout_seconds, pool=None)
        self._silence_seconds = silence_seconds
        self._transport = transport
        self._ssl_context: ssl.SSLContext | None = None
        self._traffic = Traffic()
        # The last one given back is the first one taken, so that those at the left end expire.
        self._idle: dict[Origin, deque[_IdleClient]] = {}
        self._closed = False

    async def __aenter__(self) -> HttpPool:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        for clients in self._idle.values():
            while clients:
                await clients.pop().http.aclose()

    @property
    def traffic(self) -> Traffic:
        """The pool's counters, for the code that reads the answers."""
        return self._traffic

    @property
    def silence_seconds(self) -> float:
        """The longest silence inside an answer, which is for its reader to bound: see `SilenceLimit`."""
        return self._silence_seconds

    def statistics(self) -> TrafficStatistics:
        return self._traffic.statistics()

    @property
    def idle(self) -> int:
        """How many clients wait for a stream, most of them with an open connection."""
        return sum(map(len, self._idle.values()))

    @asynccontextmanager
    async def post(
        self, url: httpx.URL, headers: Mapping[str, str], body: bytes
    ) -> AsyncGenerator[httpx.Response, None]:
        """Send a request and give the response once it began, with a 2xx status, its body unread.

        The connection is closed at the end of the block unless the body was read to its end. Errors of the
        network inside the block are translated, too.

        Raises:
            EngineError: for everything that the endpoint or the network caused; see `http_errors`.
        """
        request_headers = httpx.Headers(headers)
        self._traffic.calls += 1
        self._traffic.running += 1
        try:
            async with self._lease(url) as http:
                request = http.build_request("POST", url, headers=request_headers, content=body)
                response = await http.send(request, stream=True)
                try:
                    _require_one_encoding(response)
                    if not response.is_success:
                        raise status_error(response, await _beginning(response), datetime.now(UTC))
                    yield response
                finally:
                    await response.aclose()
        except httpx.LocalProtocolError as error:
            raise foreign_error(error, url, self._timeout) from None
        except FOREIGN_ERRORS as error:
            raise without_secrets(foreign_error(error, url, self._timeout), request_headers) from error
        except EngineError as error:
            clean = without_secrets(error, request_headers)
            if clean is error:
                raise
            raise clean from None
        finally:
            self._traffic.running -= 1

    @asynccontextmanager
    async def _lease(self, url: httpx.URL) -> AsyncGenerator[httpx.AsyncClient, None]:
        """A client of one's own for one stream."""
        idle = self._idle.setdefault((url.scheme, url.host, url.port), deque())
        http = idle.pop().http if idle else self._new_client(trust_env=not _is_loopback(url.host))
        sound = False
        try:
            yield http
            sound = True
        except EngineError:
            # The endpoint refused, or the answer made no sense; httpx has seen nothing of it.
            sound = True
            raise
        finally:
            surplus = self._give_back(http, idle, trio.current_time()) if sound else [http]
            for client in surplus:
                await client.aclose()

    def _give_back(
        self, http: httpx.AsyncClient, idle: deque[_IdleClient], now: float
    ) -> list[httpx.AsyncClient]:
        """Keep `http` for the next stream; the clients that are to be closed instead."""
        if self._closed:
            return [http]
        idle.append(_IdleClient(http, now))
        surplus: list[httpx.AsyncClient] = []
        while len(idle) > _IDLE_CLIENTS_PER_ORIGIN or idle[0].since < now - _KEEP_ALIVE_SECONDS:
            surplus.append(idle.popleft().http)
        return surplus

    def _new_client(self, *, trust_env: bool) -> httpx.AsyncClient:
        if self._ssl_context is None:
            self._ssl_context = httpx.create_ssl_context()
            self._ssl_context.set_alpn_protocols(["http/1.1"])
        try:
            return httpx.AsyncClient(
                verify=self._ssl_context,
                timeout=self._timeout,
                limits=httpx.Limits(
                    max_connections=None,
                    max_keepalive_connections=1,
                    keepalive_expiry=_KEEP_ALIVE_SECONDS,
                ),
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                trust_env=trust_env,
                transport=self._transport or _direct_transport(self._ssl_context, trust_env=trust_env),
            )
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            raise EngineError(
                ErrorCode.INVALID_ARGUMENT, f"the proxy settings of the environment are not usable: {error}"
            ) from error


def _direct_transport(ssl_context: ssl.SSLContext, *, trust_env: bool) -> httpx.AsyncBaseTransport | None:
    """None where the environment may name a proxy, which httpx's own transport knows how to use."""
    if trust_env and getproxies().keys() - {"no"}:
        return None
    return StreamTransport(ssl_context, keep_alive_seconds=_KEEP_ALIVE_SECONDS)


class _IdleClient(NamedTuple):
    """A client between two streams, and since when, on trio's clock."""

    http: httpx.AsyncClient
    since: float


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _require_one_encoding(response: httpx.Response) -> None:
    """What is compressed twice grows a millionfold in one step, before anybody can count it."""
    encodings = response.headers.get("content-encoding", "")
    if "," in encodings:
        raise EngineError(
            ErrorCode.EXECUTION_FAILED,
            f"{endpoint_of(response.url)} encoded its answer more than once: {encodings[:80]}",
        )


async def _beginning(response: httpx.Response) -> bytes:
    """The first part of an error's body; a server that dribbles or floods does not hold the error up."""
    body = b""
    # Cancelling the read is what closes the generators of httpx; leaving the loop would not.
    with trio.move_on_after(_ERROR_BODY_SECONDS) as reading:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) >= _ERROR_BODY_BYTES:
                reading.cancel()
    return body[:_ERROR_BODY_BYTES]
