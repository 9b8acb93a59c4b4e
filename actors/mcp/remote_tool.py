"""A tool as its server describes it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

__all__ = ["Listing", "RemoteTool"]


class RemoteTool(msgspec.Struct, frozen=True, kw_only=True):
    """`parameters` is the server's JSON schema as it is; `read_only` is what the server claims."""

    name: str
    description: str = ""
    parameters: Mapping[str, object] = {}
    read_only: bool = False


class Listing(msgspec.Struct, frozen=True):
    """All tools of a server, and what was odd about how it listed them."""

    tools: tuple[RemoteTool, ...] = ()
    remarks: tuple[str, ...] = ()
