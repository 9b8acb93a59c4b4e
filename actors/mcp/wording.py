"""What goes wrong with a server, in words for people, without its secrets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast
from urllib.parse import parse_qsl, urlsplit

from actors.connections import McpServer
from actors.printable import one_line

__all__ = ["Redactor", "leaves_of"]

_LONGEST = 1000
_SHORTEST_SECRET = 6
"""A shorter value, such as `true` or a port, is no secret, and would be cut out of the midst of words."""


class Redactor:
    """Takes the values of a server's environment and headers out of a text, and bounds its length."""

    def __init__(self, server: McpServer) -> None:
        values: set[str] = set()
        for value in (*server.environment.values(), *server.headers.values()):
            values |= {value, value.strip(), *value.split()}  # also the key of `Bearer KEY` alone
        if server.url:
            url = urlsplit(server.url)
            values |= {url.password or "", *(value for _, value in parse_qsl(url.query))}
        # The longest first: one may be a part of another.
        self._secrets = sorted((value for value in values if len(value) >= _SHORTEST_SECRET), key=len)[::-1]

    def __call__(self, text: str, *, longest: int = _LONGEST) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = one_line(text[: 4 * longest])
        return text if len(text) <= longest else f"{text[: longest - 1]}…"


def leaves_of(error: BaseException) -> Iterator[BaseException]:
    """The exceptions themselves, out of all groups."""
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        inner: Iterable[BaseException] = group.exceptions
        for one in inner:
            yield from leaves_of(one)
    else:
        yield error
